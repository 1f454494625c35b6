//! The layers that come with the runtime. All of them are ordinary `tower` layers.

mod ack;
mod auth;
mod each_session;
mod lease;
mod meter;
pub(crate) mod rate;
mod session_cap;
mod trace;

pub use ack::{AckGate, AckGateLayer};
pub use auth::{Auth, AuthFuture, AuthLayer};
pub use each_session::{EachSession, EachSessionFuture, EachSessionService, Plain, WithCtx, Wrap};
pub use each_session::{each_session, each_session_fn};
pub use lease::{Lease, LeaseLayer};
pub use meter::{Meter, MeterFuture, MeterLayer};
pub use rate::{PrincipalRate, PrincipalRateLayer, Quota};
pub use session_cap::{SessionCap, SessionCapFuture, SessionCapLayer};
pub use trace::{OperationSpan, Trace, TraceFuture, TraceLayer};
