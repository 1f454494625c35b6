//! What an agent gets to see of a job.

use std::sync::Arc;

use arcp_core::agent::AgentRef;
use arcp_core::{Json, TraceContext};
use tower_layer::Layer as _;
use tracing::Span;

use crate::agent::{Job, JobParts};
use crate::layer::AckGateLayer;
use crate::runtime::registry::JobRecord;
use crate::runtime::{JobAuthority, Publish, Runtime, delegate};
use crate::service::SessionCtx;
use crate::telemetry::{self, Opened};

/// What a job begins with.
pub(in crate::runtime) struct Birth {
    pub(in crate::runtime) agent: AgentRef,
    pub(in crate::runtime) input: Json,
    pub(in crate::runtime) authority: Arc<JobAuthority>,
    /// Whether its session is sent its events, and so decides how far it may be ahead.
    pub(in crate::runtime) followed: bool,
    /// The span that the client says it is caused by.
    pub(in crate::runtime) cause: Option<TraceContext>,
}

/// What an agent gets to see of a job, and the span that it runs in.
pub(in crate::runtime) fn job_of(
    runtime: &Runtime,
    record: &Arc<JobRecord>,
    session: &SessionCtx,
    birth: Birth,
) -> (Job, Span) {
    let config = &runtime.0.config;
    let max_unwritten = config.max_unwritten.min(config.log_caps().events / 2).max(1);
    let Birth { agent, input, authority, followed, cause } = birth;
    let Opened { span, context } = telemetry::job_span(record, &agent, &authority, session, cause);
    let follower = followed.then(|| session.clone());
    if runtime.0.restartable.contains(&record.agent) && !authority.remaining().is_empty() {
        record.log.note(authority.clone());
    }
    let credits = if followed { session.credits() } else { delegate::unfollowed() };
    let publish = Publish { log: record.log.clone(), session: follower, max_unwritten };
    let job = Job::new(JobParts {
        id: record.id.clone(),
        agent,
        input,
        trace_id: record.log.trace_id(),
        origin: context,
        session: session.clone(),
        followed,
        extensions: session.extensions(),
        events: AckGateLayer::spending(credits).layer(publish),
        operations: runtime.0.operations.clone(),
        authority,
        runtime: runtime.clone(),
        record: record.clone(),
        log: record.log.clone(),
        cancel: record.cancel.clone(),
        config: config.clone(),
        credentials: runtime.0.credentials.clone(),
    });
    (job, span)
}
