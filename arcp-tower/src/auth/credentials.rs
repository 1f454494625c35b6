//! What a handshake presents.

use std::collections::BTreeMap;
use std::fmt;

use arcp_core::wire::session::{Auth, Hello, ResumeRequest};
use arcp_core::{Code, Error, Json};
use http::Extensions;

use crate::service::{Connect, HttpInfo};

/// What a client presented. Its `Debug` shows no token.
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token, if there was one.
    pub token: Option<String>,
    /// What the transport and the host knew.
    pub extensions: Extensions,
}

impl Credentials {
    /// The bearer token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if there was none.
    pub fn bearer(&self) -> Result<&str, Error> {
        let token = self.token.as_deref();
        token.ok_or_else(|| Error::new(Code::Unauthenticated, "a bearer token is required"))
    }

    /// Takes the token out of a handshake, and out of what is known of its request whatever lets somebody in,
    /// so that nothing further in can log or store it.
    pub(crate) fn take_from(connect: &mut Connect) -> Result<Self, Error> {
        let hello: Hello = connect.handshake.payload.decode()?;
        let resumes = ResumeRequest::read(&connect.handshake)?.is_some();
        let auth = hello.auth.or_else(|| upgrade(&connect.extensions).filter(|_| resumes));
        let token = match auth {
            Some(Auth { scheme, .. }) if scheme != "bearer" => {
                return Err(Error::new(Code::Unauthenticated, "payload.auth.scheme: must be bearer"));
            }
            auth => auth.and_then(|auth| auth.token).filter(|token| !token.is_empty()),
        };
        let mut members: BTreeMap<String, Json> = connect.handshake.payload.decode()?;
        if members.remove("auth").is_some() {
            connect.handshake.payload = Json::of(&members)?;
        }
        let extensions = connect.extensions.clone();
        if let Some(http) = connect.extensions.get_mut::<HttpInfo>() {
            http.forget_secrets();
        }
        Ok(Self { token, extensions })
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
