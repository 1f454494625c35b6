//! Who is calling (§6.1).

mod bearer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arcp_core::wire::session::{Auth, Hello, ResumeRequest};
use arcp_core::{Code, Error, Json};
use http::Extensions;

pub use bearer::BearerTokens;

use crate::service::{Connect, HttpInfo};

/// Whom a session acts for. Sessions and jobs of the same principal know of each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// A principal by its name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client presented. Its `Debug` shows no token.
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token.
    pub token: String,
    /// What the transport and the host knew.
    pub extensions: Extensions,
}

impl Credentials {
    /// Takes the token out of a handshake, so that nothing further in can log or store it.
    pub(crate) fn take_from(connect: &mut Connect) -> Result<Self, Error> {
        let unauthenticated = || Error::new(Code::Unauthenticated, "a bearer token is required");
        let hello: Hello = connect.handshake.payload.decode()?;
        let resumes = ResumeRequest::read(&connect.handshake)?.is_some();
        let auth = hello.auth.or_else(|| upgrade(&connect.extensions).filter(|_| resumes));
        let Some(Auth { scheme, token, .. }) = auth else { return Err(unauthenticated()) };
        let token = token.filter(|token| !token.is_empty()).ok_or_else(unauthenticated)?;
        if scheme != "bearer" {
            return Err(Error::new(Code::Unauthenticated, "payload.auth.scheme: must be bearer"));
        }
        let mut members: BTreeMap<String, Json> = connect.handshake.payload.decode()?;
        members.remove("auth");
        connect.handshake.payload = Json::of(&members)?;
        Ok(Self { token, extensions: connect.extensions.clone() })
    }
}

/// The bearer token that the upgrade came with. A resume may do without one of its own (§6.3).
fn upgrade(extensions: &Extensions) -> Option<Auth> {
    let header = extensions.get::<HttpInfo>()?.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Auth::bearer(token.trim()))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
