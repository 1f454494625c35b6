//! A handshake on its way to the runtime.

use std::sync::Arc;

use arcp_core::{Envelope, SessionId};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::profile::Profile;

/// What a connection-level service is called with: the first message, and what is known of the
/// connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connect {
    /// `session.hello` or `session.resume`. The authentication layer takes the token out of it, and out of
    /// the headers in [`HttpInfo`].
    pub handshake: Envelope,
    /// What the transport and the host's middleware know ([`HttpInfo`] and more), and what outer
    /// layers found out ([`Principal`](crate::Principal)).
    pub extensions: Extensions,
    /// The form that the peer wants its frames in.
    pub profile: Arc<dyn Profile>,
}

impl Connect {
    /// A handshake.
    pub fn new(handshake: Envelope, extensions: Extensions, profile: Arc<dyn Profile>) -> Self {
        Self { handshake, extensions, profile }
    }
}

/// The session that a connection leaves if this handshake is let through (§6.3).
#[derive(Debug, Clone)]
pub(crate) struct Leaving(pub(crate) SessionId);

/// What a session can see of the HTTP request that it began with, in every host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpInfo {
    /// The target.
    pub uri: Uri,
    /// The headers, without those that are about the upgrade and nothing else. `Authorization`,
    /// `Proxy-Authorization` and `Cookie` reach the authenticator and no further.
    pub headers: HeaderMap,
}

/// Headers of an upgrade. Every request has them, and they say nothing of this one.
const UPGRADE: [HeaderName; 5] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// Headers that let whoever has them in.
const SECRET: [HeaderName; 3] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];

impl HttpInfo {
    /// The target and headers of a request, copied: they are slices of the buffer that the host
    /// read the request into, and a session would hold all of it for as long as it lives.
    pub fn copied(uri: &Uri, headers: &HeaderMap) -> Self {
        let value = |(name, value): (&HeaderName, &HeaderValue)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            let mut value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            // Who logs headers does not log these.
            value.set_sensitive(SECRET.contains(&name));
            Some((name, value))
        };
        let uri = uri.to_string().parse().unwrap_or_default();
        let kept = || headers.iter().filter(|(name, _)| !UPGRADE.contains(name));
        let mut copy = HeaderMap::with_capacity(kept().count());
        for (name, value) in kept().filter_map(value) {
            copy.append(name, value);
        }
        Self { uri, headers: copy }
    }

    /// What lets somebody in is for the authenticator.
    pub(crate) fn forget_secrets(&mut self) {
        for name in &SECRET {
            self.headers.remove(name);
        }
    }
}
