//! An open session: its stack of services, and the right to be its connection.

use std::any::Any;
use std::sync::Arc;

use arcp_core::Envelope;
use arcp_core::store::Store;

use super::SessionCtx;
use super::attachment::Attachment;
use crate::config::Config;
use crate::runtime::Commands;

/// An open session: its stack of services, and its state.
#[derive(Debug)]
pub struct Session<S> {
    pub(crate) attachment: Attachment,
    pub(crate) service: S,
    /// The welcome; taken when the connection begins.
    pub(crate) greeting: Option<Envelope>,
    /// Takes what no layer may delay.
    pub(crate) urgent: Commands,
    pub(crate) config: Arc<Config>,
    /// Where numbers are kept before they leave, if they are.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// What is given back when its connection is closed.
    pub(crate) kept: Option<Kept>,
}

/// Anything that is dropped when a connection is closed.
pub(crate) type Kept = Box<dyn Any + Send + Sync>;

impl<S> Session<S> {
    /// What outlives the connection.
    pub fn cx(&self) -> &SessionCtx {
        &self.attachment.cx
    }

    /// Wraps the service that takes the session's commands. This is how layers reach it.
    pub fn map_service<T>(self, f: impl FnOnce(&SessionCtx, S) -> T) -> Session<T> {
        let Self { attachment, service, greeting, urgent, config, store, kept } = self;
        let service = f(&attachment.cx, service);
        Session { attachment, service, greeting, urgent, config, store, kept }
    }

    /// Keeps something for as long as the connection is open, such as a permit.
    pub fn keep(self, permit: impl Any + Send + Sync) -> Self {
        let kept: Kept = match self.kept {
            None => Box::new(permit),
            Some(before) => Box::new((permit, before)),
        };
        Self { kept: Some(kept), ..self }
    }
}
