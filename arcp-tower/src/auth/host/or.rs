//! The host's session, or a token.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::{Either, ErrInto, TryFutureExt as _};
use tower_service::Service;

use super::HostSession;
use crate::BoxError;
use crate::auth::{Credentials, Principal};

/// The authenticator of [`HostSession::or`].
#[derive(Debug, Clone)]
pub struct HostSessionOr<A> {
    pub(super) session: HostSession,
    pub(super) tokens: A,
}

impl<A> Service<Credentials> for HostSessionOr<A>
where
    A: Service<Credentials, Response = Principal, Error: Into<BoxError>>,
{
    type Response = Principal;
    type Error = BoxError;
    type Future = Either<ErrInto<A::Future, BoxError>, Ready<Result<Principal, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tokens.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, credentials: Credentials) -> Self::Future {
        if credentials.token.is_some() {
            return Either::Left(self.tokens.call(credentials).err_into());
        }
        Either::Right(ready(self.session.principal(&credentials).map_err(Into::into)))
    }
}
