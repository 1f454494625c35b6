//! Why a request failed, and how the agent is told.

use std::error::Error as StdError;
use std::io;

use arcp_core::{Code, Error};
use hyper_util::client::legacy;

/// What stood in the way. It travels through hyper's errors as itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{self:?}")]
pub(super) enum Fault {
    /// A part of the request breaks a rule.
    Form(&'static str, &'static str),
    /// The host is, or its name has, an address that is not reached.
    Address,
    /// Neither http nor https.
    Scheme,
    /// A user in the URL.
    UserInfo,
    /// The lease does not cover a URL on the way.
    NotGranted,
    /// A redirect from https to http.
    Downgrade,
    /// Too many redirects.
    Hops,
    /// A redirect to what is no URL.
    Location,
    /// More than a bound: of what, and which.
    Limit(&'static str, usize),
    /// The name has no address.
    Dns,
    /// No connection.
    Connect,
    /// No TLS, or not with a server that is trusted.
    Tls,
    /// The connection ended early, or what came is no HTTP.
    Protocol,
    /// It took too long.
    Timeout,
}

impl Fault {
    /// What is behind an error of the client. `header_bytes` is the bound for the head of a response.
    pub(super) fn of(error: &(dyn StdError + 'static), header_bytes: usize) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(own) = error.downcast_ref::<Self>() {
                return *own;
            }
            if error.is::<rustls::Error>() {
                return Self::Tls;
            }
            if error.downcast_ref().is_some_and(hyper::Error::is_parse_too_large) {
                return Self::Limit("the response's head", header_bytes);
            }
            cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // An I/O error hides what it was made of: its source is the source of that.
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        if error.downcast_ref().is_some_and(legacy::Error::is_connect) {
            Self::Connect
        } else {
            Self::Protocol
        }
    }

    /// The error that an agent sees.
    pub(super) fn into_error(self) -> Error {
        use Code::{InternalError, PermissionDenied};
        let (code, reason, text) = match self {
            Self::Form(field, rule) => return Error::fault(field, rule),
            Self::Limit(of, most) => return Error::limit(format!("{of} must have at most {most} bytes")),
            Self::Address => (PermissionDenied, "address", "the host has an address that is not reached"),
            Self::Scheme => (PermissionDenied, "scheme", "only http and https are fetched"),
            Self::UserInfo => (PermissionDenied, "userinfo", "a URL with a user in it is not fetched"),
            Self::NotGranted => (
                PermissionDenied,
                "not_granted",
                "the URL, or one that it was redirected to, is not covered by the lease",
            ),
            Self::Downgrade => {
                (PermissionDenied, "downgrade", "a redirect from https to http is not followed")
            }
            Self::Hops => (PermissionDenied, "hops", "too many redirects"),
            Self::Location => (PermissionDenied, "location", "a redirect to what is no URL is not followed"),
            Self::Dns => (InternalError, "dns", "the host's name could not be resolved"),
            Self::Connect => (InternalError, "connect", "the host could not be connected to"),
            Self::Tls => (InternalError, "tls", "no TLS connection to a host that is trusted"),
            Self::Protocol => (InternalError, "protocol", "the response broke off or is not HTTP"),
            Self::Timeout => (InternalError, "timeout", "the request took too long"),
        };
        Error::new(code, text).with_detail("reason", reason)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.into_error()
    }
}
