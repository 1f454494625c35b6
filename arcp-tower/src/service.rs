//! What the services of the stack are called with, and what they answer.

mod attach;
mod attachment;
mod connect;
mod emit;
mod follow;
mod request;
mod session;
mod session_ctx;
mod window;

pub(crate) use attach::{AttachError, Caller, Remembered};
pub(crate) use attachment::{Attachment, Early, Next, Numbered, Staged};
pub(crate) use connect::Leaving;
pub use connect::{Connect, HttpInfo};
pub use emit::Emit;
pub use request::{After, Request, Response};
pub use session::Session;
pub(crate) use session_ctx::Opening;
pub use session_ctx::SessionCtx;

use tower_service::Service;

use crate::BoxError;

/// Anything that opens sessions: the runtime, and the runtime under any layers. It is implemented
/// for every such service, as `tower`'s `MakeService` is.
pub trait MakeSession: Service<Connect, Response = Session<Self::Commands>, Error: Into<BoxError>> {
    /// The service that takes a session's commands.
    type Commands: Service<Request, Response = Response, Error: Into<BoxError>>;
}

impl<M, S> MakeSession for M
where
    M: Service<Connect, Response = Session<S>, Error: Into<BoxError>>,
    S: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    type Commands = S;
}

/// A [`MakeSession`] that a host with several threads can mount: all bounds of one, named once.
///
/// ```
/// fn app() -> impl arcp_tower::Mount {
///     arcp_tower::Runtime::builder().build().unwrap()
/// }
/// # tokio::runtime::Runtime::new().unwrap().block_on(async { app(); });
/// ```
pub trait Mount:
    MakeSession<
        Future: Send,
        Error: Send,
        Commands: Service<Request, Future: Send, Error: Send> + Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<M> Mount for M where
    M: MakeSession<
            Future: Send,
            Error: Send,
            Commands: Service<Request, Future: Send, Error: Send> + Send + 'static,
        > + Clone
        + Send
        + 'static
{
}
