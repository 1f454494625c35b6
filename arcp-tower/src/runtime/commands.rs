//! The innermost service of a session: dispatch, and nothing else.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::{Code, Envelope, Error, MessageType};
use tokio::task::JoinHandle;
use tower_service::Service;
use tracing::{Instrument as _, Span};

use super::{Runtime, cancel, list, stillborn, submit, subscribe};
use crate::auth::Scope;
use crate::profile::Refusable;
use crate::service::{Request, Response, SessionCtx};
use crate::telemetry;

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

    /// Refuses what the scopes of the session do not allow: the same for a job that is there and for
    /// one that is not.
    fn permitted(&self, message: &Envelope) -> Result<(), Error> {
        let needed = match message.kind {
            MessageType::Submit | MessageType::Cancel => Scope::Submit,
            MessageType::Subscribe | MessageType::ListJobs => Scope::Observe,
            _ => return Ok(()),
        };
        self.session.scopes().require(needed)
    }

    /// What can be answered from memory is answered at once.
    fn at_once(&self, message: &Envelope) -> Option<Result<Response, Error>> {
        if self.runtime.0.journal.is_some() {
            return match message.kind {
                MessageType::Submit
                | MessageType::Subscribe
                | MessageType::Unsubscribe
                | MessageType::ListJobs => None,
                _ => Some(Err(Error::fault("type", "is not known here"))),
            };
        }
        Some(match message.kind {
            // Somebody else has to be asked first.
            MessageType::Submit if !self.runtime.0.credentials.is_idle() => return None,
            MessageType::Submit => submit::in_memory(self, message),
            MessageType::Subscribe => subscribe::in_memory(self, message),
            MessageType::Unsubscribe => subscribe::unsubscribe(self, message),
            MessageType::ListJobs => list::in_memory(self, message),
            _ => Err(Error::fault("type", "is not known here")),
        })
    }

    /// What a store has to be asked for.
    async fn stored(self, message: Envelope) -> Result<Response, Error> {
        match message.kind {
            MessageType::Submit => submit::stored(&self, &message).await,
            MessageType::Subscribe => subscribe::stored(&self, &message).await,
            MessageType::Unsubscribe => subscribe::unsubscribe_stored(&self, &message).await,
            MessageType::ListJobs => list::stored(&self, &message).await,
            _ => Err(Error::fault("type", "is not known here")),
        }
    }

    /// What no layer may delay.
    pub(crate) fn urgent(&self, message: Envelope) -> CommandFuture {
        let span = telemetry::message_span(&message, &self.session);
        if let Err(refused) = self.permitted(&message) {
            return CommandFuture(Inner::Ready(Some(ended(&span, Err(refused)))));
        }
        let Some(journal) = self.runtime.0.journal.clone() else {
            let outcome = span.in_scope(|| cancel::in_memory(self, &message));
            return CommandFuture(Inner::Ready(Some(ended(&span, outcome))));
        };
        let (commands, within) = (self.clone(), span.clone());
        let work = async move { ended(&within, cancel::stored(&commands, &journal, &message).await) };
        CommandFuture(Inner::Task(self.runtime.0.handle.spawn(work.instrument(span))))
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
        if let Err(refused) = self.permitted(&request.message) {
            return CommandFuture(Inner::Ready(Some(Err(refused))));
        }
        if let Some(answer) = self.at_once(&request.message) {
            return CommandFuture(Inner::Ready(Some(answer)));
        }
        let work = self.clone().stored(request.message);
        CommandFuture(Inner::Task(self.runtime.0.handle.spawn(work.in_current_span())))
    }
}

/// Says in a span how its command ended.
fn ended(span: &Span, outcome: Result<Response, Error>) -> Result<Response, Error> {
    outcome.inspect_err(|error| telemetry::failed(span, error.code()))
}

/// The response future of [`Commands`]. What asks a store runs as a task: a connection that is
/// dropped, or a time-out of a layer, cannot stop a command half way.
#[derive(Debug)]
pub struct CommandFuture(Inner);

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // A box for each command would cost more than the room.
enum Inner {
    Ready(Option<Result<Response, Error>>),
    Task(JoinHandle<Result<Response, Error>>),
}

impl Future for CommandFuture {
    type Output = Result<Response, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = || Err(Error::new(Code::InternalError, "the command failed"));
        match &mut self.0 {
            Inner::Ready(answer) => Poll::Ready(answer.take().unwrap_or_else(failed)),
            Inner::Task(task) => Pin::new(task).poll(cx).map(|joined| joined.unwrap_or_else(|_| failed())),
        }
    }
}
