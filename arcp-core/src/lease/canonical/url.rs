//! URLs: http and https, parsed by the rules of WHATWG and written out again.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::{Result, Unfit, hides_separator};

const SCHEME: &str = "must begin with a scheme such as https:// and a host";
const HOST: &str = "must have a host of letters, digits, hyphens and points, or an address";

/// A URL in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lease) struct Parts {
    pub(in crate::lease) secure: bool,
    pub(in crate::lease) host: HostName,
    pub(in crate::lease) port: u16,
    pub(in crate::lease) path: String,
    pub(in crate::lease) query: Option<String>,
}

/// A host: a name of labels, in lower-case ASCII, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lease) enum HostName {
    Domain(String),
    Address(IpAddr),
}

impl Parts {
    /// Scheme, host and port, as the URL begins.
    pub(in crate::lease) fn origin(&self) -> String {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        let port = if self.port == default { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}", self.host)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// The one spelling of a URL, and its parts.
pub(in crate::lease) fn canonical(text: &str) -> Result<(String, Parts)> {
    let parts = parse(text)?;
    if matches!(&parts.host, HostName::Domain(name) if name.contains('*')) {
        return Err(Unfit(HOST));
    }
    let mut url = parts.origin() + &parts.path;
    if let Some(query) = &parts.query {
        url.push('?');
        url.push_str(query);
    }
    Ok((url, parts))
}

/// The parts of a pattern of URLs, which keep their stars. A host of `**` is `None`.
pub(in crate::lease) fn pattern(text: &str) -> Result<(Option<HostName>, Parts)> {
    let (start, end) = authority(text)?;
    let (host, port) = text[start..end].split_once(':').unwrap_or((&text[start..end], ""));
    if text.contains('#') {
        return Err(Unfit("must have no fragment"));
    }
    let path = &text[end..];
    if let Some(star) = path.find('*')
        && path[star..].split(['/', '?']).any(|segment| segment == "..")
    {
        return Err(Unfit("must have no .. after a wildcard"));
    }
    if host == "**" {
        // Any name will do for parsing the rest; it is the beginning of none.
        let port = if port.is_empty() { String::new() } else { format!(":{port}") };
        let parts = parse(&format!("{}*{port}{path}", &text[..start]))?;
        return Ok((None, parts));
    }
    if host.split('.').any(|label| label.contains('*') && !label.is_ascii()) {
        return Err(Unfit("must be ASCII in a label with a wildcard"));
    }
    let parts = parse(text)?;
    if let HostName::Domain(name) = &parts.host
        && name.contains('*')
        && name.bytes().any(|b| b.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'*'))
    {
        return Err(Unfit("must have no wildcard in an address"));
    }
    Ok((Some(parts.host.clone()), parts))
}

/// Where host and port begin and end in the text.
fn authority(text: &str) -> Result<(usize, usize)> {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
    let start = scheme.ok_or(Unfit(SCHEME))?.len();
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    if start == end {
        return Err(Unfit(SCHEME));
    }
    Ok((start, end))
}

fn parse(text: &str) -> Result<Parts> {
    // The parser would drop or turn around what other clients do not.
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(Unfit("must have no spaces, control characters or backslashes"));
    }
    let (start, end) = authority(text)?;
    if text[start..end].contains('@') {
        return Err(Unfit("must have no user or password"));
    }
    if text[start..end].contains('%') {
        return Err(Unfit(HOST));
    }
    let raw_path = text[end..].split(['?', '#']).next().unwrap_or_default();
    if hides_separator(raw_path) {
        return Err(Unfit("must have no encoded dot, separator or NUL in the path"));
    }
    let url = Url::parse(text).map_err(|_| Unfit("must be a URL"))?;
    let host = match url.host() {
        Some(Host::Domain(name)) => HostName::Domain(domain(name)?.to_owned()),
        Some(Host::Ipv4(address)) => HostName::Address(address.into()),
        // `::ffff:127.0.0.1` is `127.0.0.1`.
        Some(Host::Ipv6(address)) => HostName::Address(IpAddr::V6(address).to_canonical()),
        None => return Err(Unfit(HOST)),
    };
    Ok(Parts {
        secure: url.scheme() == "https",
        host,
        port: url.port_or_known_default().ok_or(Unfit("must have a port"))?,
        path: path(url.path())?,
        query: url.query().map(str::to_owned),
    })
}

/// A host's name without its last point, each label of which must be one.
fn domain(name: &str) -> Result<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*');
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain);
    if name.len() <= 253 && name.split('.').all(label) { Ok(name) } else { Err(Unfit(HOST)) }
}

/// The path with each escape in its one spelling: none for what needs none, the others in capitals.
fn path(path: &str) -> Result<String> {
    if path.contains("//") {
        return Err(Unfit("must have no empty segment in the path"));
    }
    if path.contains(';') {
        return Err(Unfit("must have no ; in the path"));
    }
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    let mut decoded = bytes.clone();
    for piece in pieces {
        let escape = piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(byte) = escape.filter(|_| !piece.starts_with('+')) else {
            return Err(Unfit("must have two hex digits after each % of the path"));
        };
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            bytes.push(byte);
        } else {
            bytes.push(b'%');
            bytes.extend(piece[..2].to_ascii_uppercase().bytes());
        }
        decoded.push(byte);
        bytes.extend(&piece.as_bytes()[2..]);
        decoded.extend(&piece.as_bytes()[2..]);
    }
    match (String::from_utf8(bytes), std::str::from_utf8(&decoded)) {
        (Ok(path), Ok(_)) => Ok(path),
        _ => Err(Unfit("must be UTF-8 in the path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(text: &str, url: &str) {
        assert_eq!(canonical(text).map(|(url, _)| url).as_deref(), Ok(url), "{text}");
    }

    #[test]
    fn a_url_has_one_spelling() {
        is("HTTPS://API.Example.COM", "https://api.example.com/");
        is("https://api.example.com.:443/a/./b/../c#frag", "https://api.example.com/a/c");
        is("http://h:80/", "http://h/");
        is("http://h:443/", "http://h:443/");
        is("https://h/%61%7e%c3%a9/é?q=%61/#x", "https://h/a~%C3%A9/%C3%A9?q=%61/");
        is("https://h?q", "https://h/?q");
        is("https://h/a/", "https://h/a/");
    }

    #[test]
    fn an_address_has_one_spelling() {
        for text in ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]"] {
            is(&format!("http://{text}/"), "http://127.0.0.1/");
        }
        is("http://0/", "http://0.0.0.0/");
        is("http://[0:0::1]/", "http://[::1]/");
    }

    #[test]
    fn what_clients_read_in_two_ways_is_refused() {
        for bad in [
            "gopher://127.0.0.1/",
            "file:///etc/passwd",
            "//h/a",
            "/a",
            "https:h",
            "https:/h",
            "https:///h",
            "https://user@h/",
            "https://@h/",
            "https://api.example.com@evil.test/",
            "https://api.example.com:443@evil.test/",
            "https://api.example.com%2f@evil.test/",
            "https://api.example.com\\@evil.test/",
            "https://h/a\\..\\b",
            "https://h/a%2fb",
            "https://h/a%5Cb",
            "https://h/%2e%2e/b",
            "https://h/a/..;/admin",
            "https://h//a",
            "https://h/a//b",
            "https://h/a//",
            "https://h/%zz",
            "https://h/%",
            "https://h/%ff",
            "https://h/%c0%af",
            " https://h/",
            "ht\ttps://h/",
            "https://h/\n",
            "https://h/\0",
            "https://ex%61mple.com/",
            "https://a..b/",
            "https://.a/",
            "https://*.example.com/",
            "https://h:99999/",
            "https://xn--a/",
            "https://1.2.3.4.5/",
        ] {
            assert!(canonical(bad).is_err(), "{bad:?} is {:?}", canonical(bad));
        }
    }

    #[test]
    fn patterns_keep_their_stars() {
        let parts = |text| pattern(text).map(|(host, parts)| (host, parts.path));
        let domain = |name: &str| Some(HostName::Domain(name.to_owned()));
        assert_eq!(parts("https://*.Example.com/v1/*"), Ok((domain("*.example.com"), "/v1/*".to_owned())));
        assert_eq!(parts("https://**:8443/**"), Ok((None, "/**".to_owned())));
        assert_eq!(
            parts("https://api-*.bücher.example/"),
            Ok((domain("api-*.xn--bcher-kva.example"), "/".to_owned()))
        );
        for bad in [
            "https://bü*.example/",
            "https://10.0.0.*/",
            "https://h:*/",
            "http*://h/",
            "*://h/",
            "https://h/*/../x",
            "https://h/a#b",
            "https://h/a/*;x",
            "**",
        ] {
            assert!(pattern(bad).is_err(), "{bad} is {:?}", pattern(bad));
        }
    }
}
