//! The innermost service of a session: dispatch, and nothing else.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::{Envelope, Error, MessageType};
use tower_service::Service;

use super::{Runtime, cancel, stillborn, submit, subscribe};
use crate::profile::Refusable;
use crate::service::{Request, Response, SessionCtx};

/// Takes the commands of one session.
#[derive(Clone)]
pub struct Commands {
    pub(super) runtime: Runtime,
    pub(super) session: SessionCtx,
}

impl Commands {
    pub(super) fn new(runtime: Runtime, session: SessionCtx) -> Self {
        Self { runtime, session }
    }

    fn dispatch(&self, message: &Envelope) -> Result<Response, Error> {
        match &message.kind {
            MessageType::Submit => submit::submit(self, message),
            MessageType::Subscribe => subscribe::subscribe(self, message),
            MessageType::Unsubscribe => subscribe::unsubscribe(self, message),
            MessageType::ListJobs => Err(Error::not_negotiated(arcp_core::Feature::ListJobs)),
            _ => Err(Error::fault("type", "is not known here")),
        }
    }

    /// What no layer may delay.
    pub(crate) fn urgent(&self, message: &Envelope) -> Result<Response, Error> {
        cancel::cancel(self, message)
    }

    /// Says a refusal as a job that is accepted and ends at once with `error`.
    pub(crate) fn stillborn(&self, error: &Error, request: &Refusable) -> Result<Response, Error> {
        stillborn::stillborn(self, error, request)
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Service<Request> for Commands {
    type Response = Response;
    type Error = Error;
    type Future = CommandFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> CommandFuture {
        CommandFuture(ready(self.dispatch(&request.message)))
    }
}

/// The response future of [`Commands`].
#[derive(Debug)]
pub struct CommandFuture(Ready<Result<Response, Error>>);

impl Future for CommandFuture {
    type Output = Result<Response, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}
