//! Which pages may open a connection, and under which names the host may be reached.
//!
//! A browser lets any page open a WebSocket anywhere, and says only in `Origin` whose page it is. A
//! name of an attacker's that resolves to loopback passes as this machine, but for its `Host`.

use std::net::Ipv6Addr;
use std::str::FromStr;

use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::config::Config;

/// The origin of a page, as browsers send it: a scheme, a host and a port.
///
/// ```
/// use arcp_tower::upgrade::Origin;
/// let origin: Origin = "https://good.test".parse()?;
/// assert_eq!(origin, "https://good.test:443".parse()?);
/// assert_ne!(origin, "https://good.test.evil.test".parse()?);
/// assert!("null".parse::<Origin>().is_err());
/// # Ok::<_, arcp_tower::upgrade::NotAllowable>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

/// A host's name or address, without a port: `arcp.test`, `127.0.0.1`, `[::1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

/// The text is no origin, or no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither scheme://host[:port] nor a host")]
pub struct NotAllowable;

impl Host {
    /// The names of loopback.
    pub fn loopback() -> Vec<Self> {
        ["127.0.0.1", "[::1]", "localhost"].map(|host| Self(host.to_owned())).into()
    }

    fn of(authority: &Authority) -> Result<Self, NotAllowable> {
        let host = authority.host();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(NotAllowable);
        }
        let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) else {
            return Ok(Self(host.to_owned()));
        };
        // An address has many spellings, and one form.
        let address: Ipv6Addr = address.parse().map_err(|_| NotAllowable)?;
        Ok(Self(format!("[{address}]")))
    }
}

impl FromStr for Host {
    type Err = NotAllowable;

    fn from_str(text: &str) -> Result<Self, NotAllowable> {
        let authority: Authority = text.parse().map_err(|_| NotAllowable)?;
        let host = Self::of(&authority)?;
        if authority.as_str() == authority.host() { Ok(host) } else { Err(NotAllowable) }
    }
}

impl Origin {
    /// What a request says.
    pub(crate) fn read(header: &HeaderValue) -> Option<Self> {
        header.to_str().ok()?.parse().ok()
    }
}

impl FromStr for Origin {
    type Err = NotAllowable;

    fn from_str(text: &str) -> Result<Self, NotAllowable> {
        let (scheme, rest) = text.split_once("://").ok_or(NotAllowable)?;
        // `Uri` would take a path, and schemes in any case.
        if rest.contains(['/', '?', '#']) || scheme.is_empty() || scheme.contains(|c: char| c.is_uppercase())
        {
            return Err(NotAllowable);
        }
        let authority: Authority = rest.parse().map_err(|_| NotAllowable)?;
        let host = Host::of(&authority)?;
        let port = port(&authority)?.or(match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        });
        Ok(Self { scheme: scheme.to_owned(), host, port })
    }
}

/// The port; none if there is none, and an error if what stands there is no port.
fn port(authority: &Authority) -> Result<Option<u16>, NotAllowable> {
    match authority.as_str().strip_prefix(authority.host()) {
        Some("") => Ok(None),
        Some(_) => authority.port_u16().map(Some).ok_or(NotAllowable),
        None => Err(NotAllowable),
    }
}

/// Why a request is refused, if it is: 403 for its origin, 421 for the host that it asked for.
pub(super) fn refusal(config: &Config, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if !config.allowed_hosts.is_empty() && !host_is_listed(&config.allowed_hosts, uri, headers) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "this host is not served here"));
    }
    let listed = |value| Origin::read(value).is_some_and(|origin| config.allowed_origins.contains(&origin));
    let refused = !headers.get_all(header::ORIGIN).iter().all(listed);
    refused.then_some((StatusCode::FORBIDDEN, "this origin may not connect"))
}

/// Whether every name that the request gives its host is listed, and it gives one.
fn host_is_listed(allowed: &[Host], uri: &Uri, headers: &HeaderMap) -> bool {
    let header = headers.get_all(header::HOST).iter().map(|value| value.to_str().ok()?.parse().ok());
    let mut named = uri.authority().cloned().map(Some).into_iter().chain(header).peekable();
    let listed = |authority: Option<Authority>| {
        let host = authority.as_ref().and_then(|a| port(a).and_then(|_| Host::of(a)).ok());
        host.is_some_and(|host| allowed.contains(&host))
    };
    named.peek().is_some() && named.all(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(header: header::HeaderName, value: &'static str) -> Option<StatusCode> {
        let config = Config::default().with(|c| {
            c.allowed_origins =
                vec!["https://good.test".parse().unwrap(), "http://[::1]:8080".parse().unwrap()];
            c.allowed_hosts = Host::loopback();
        });
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, http::HeaderValue::from_static("localhost:7777"));
        headers.insert(header, http::HeaderValue::from_static(value));
        refusal(&config, &Uri::from_static("/arcp"), &headers).map(|(status, _)| status)
    }

    #[test]
    fn s16_an_origin_is_listed_or_refused() {
        for listed in
            ["https://good.test", "https://good.test:443", "http://[::1]:8080", "http://[0:0::1]:8080"]
        {
            assert_eq!(answer(header::ORIGIN, listed), None, "{listed}");
        }
        for refused in [
            "null",
            "",
            "http://good.test",
            "https://good.test.evil.test",
            "https://good.test:444",
            "https://good.test:",
            "https://GOOD.test",
            "HTTPS://good.test",
            "https://good.test.",
            "https://good.test/",
            "https://good.test@evil.test",
            "https://evil.test@good.test",
            "http://localhost",
            "http://[::1]",
        ] {
            assert_eq!(answer(header::ORIGIN, refused), Some(StatusCode::FORBIDDEN), "{refused}");
        }
    }

    #[test]
    fn s16_no_origin_is_allowed_and_none_is_listed_by_default() {
        let mut headers = HeaderMap::new();
        let refused =
            |headers: &HeaderMap| refusal(&Config::default(), &Uri::from_static("/arcp"), headers).is_some();
        assert!(!refused(&headers));
        headers.insert(header::ORIGIN, http::HeaderValue::from_static("http://localhost"));
        assert!(refused(&headers));
    }

    #[test]
    fn s17_a_host_is_listed_or_refused() {
        for listed in ["127.0.0.1", "127.0.0.1:80", "[::1]:7777", "[0:0::1]", "localhost"] {
            assert_eq!(answer(header::HOST, listed), None, "{listed}");
        }
        for refused in [
            "attacker.test",
            "localhost.attacker.test",
            "localhost:x",
            "a@localhost",
            "[::2]",
            "127.0.0.2",
            "",
        ] {
            assert_eq!(answer(header::HOST, refused), Some(StatusCode::MISDIRECTED_REQUEST), "{refused}");
        }
    }
}
