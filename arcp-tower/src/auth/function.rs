//! An async function as an authenticator.

use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Credentials, Principal};
use crate::BoxError;

/// An authenticator made of an async function. What it answers with that is no
/// [`Error`](crate::core::Error) of the protocol's own is told to nobody: the client learns that
/// something failed.
///
/// ```
/// use arcp_tower::core::{Code, Error};
/// use arcp_tower::{AuthLayer, Credentials, Principal, auth_fn};
///
/// let layer = AuthLayer::new(auth_fn(|credentials: Credentials| async move {
///     // Or a question to a database.
///     match credentials.bearer()?.split_once(':') {
///         Some((name, "open sesame")) => Ok(Principal::new(name)),
///         _ => Err(Error::new(Code::Unauthenticated, "the token is not known")),
///     }
/// }));
/// # let _ = layer;
/// ```
pub fn auth_fn<F, Fut, E>(check: F) -> AuthFn<F>
where
    F: Fn(Credentials) -> Fut,
    Fut: Future<Output = Result<Principal, E>>,
    E: Into<BoxError>,
{
    AuthFn(check)
}

/// The authenticator of [`auth_fn`].
#[derive(Clone)]
pub struct AuthFn<F>(F);

impl<F> fmt::Debug for AuthFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthFn")
    }
}

impl<F, Fut, E> Service<Credentials> for AuthFn<F>
where
    F: Fn(Credentials) -> Fut,
    Fut: Future<Output = Result<Principal, E>>,
    E: Into<BoxError>,
{
    type Response = Principal;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, credentials: Credentials) -> Fut {
        (self.0)(credentials)
    }
}
