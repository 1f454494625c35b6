//! A handshake on its way to the runtime.

use std::sync::Arc;

use arcp_core::Envelope;
use http::{Extensions, HeaderMap, Uri};

use crate::profile::Profile;

/// What a connection-level service is called with: the first message, and what is known of the
/// connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connect {
    /// `session.hello` or `session.resume`. The authentication layer takes the token out of it.
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

/// What a session can see of the HTTP request that it began with, in every host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpInfo {
    /// The target.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
}

impl HttpInfo {
    /// The target and headers of a request.
    pub fn new(uri: Uri, headers: HeaderMap) -> Self {
        Self { uri, headers }
    }
}
