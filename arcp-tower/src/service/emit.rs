//! An event on its way from an agent to the job's log.

use arcp_core::Event;

/// What an event-level service is called with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Emit(pub Event);
