//! The additive superset: the draft's form and what other clients need beside it.

use arcp_core::wire::job::{JobError, JobResult};
use arcp_core::wire::session::Welcome;
use arcp_core::{Code, Envelope, Event, Json, MessageId, MessageType};

use super::{Profile, Refusal, Refused, frames};
use crate::clock::Clock;

/// The default: one frame that serves as many clients as possible.
#[derive(Debug, Clone, Copy, Default)]
pub struct Superset;

/// The largest result that is repeated as `output`, which one SDK reads.
const OUTPUT_CAP: usize = 256 << 10;

impl Profile for Superset {
    fn name(&self) -> &'static str {
        "superset"
    }

    fn reply(&self, reply: Envelope, request: Option<&MessageId>) -> Envelope {
        // Two SDKs match a reply by its own id.
        let id = request.cloned();
        add(reply).with_id(id)
    }

    fn terminal(&self, event: &Event) -> Option<Event> {
        terminal(event, true)
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Refused {
        let mut b = frames::session_error(refusal);
        let mut a = frames::job_error(refusal, false).map(|frame| frame.with_id(refusal.request.id.clone()));
        let order: [&mut Option<Envelope>; 2] = match &refusal.request.kind {
            // The first frame that a client sees decides whether it is let in.
            Some(MessageType::Hello | MessageType::Resume) => [&mut b, &mut a],
            // A job that is not there cannot be ended by this; one that is there could.
            Some(MessageType::Cancel) if refusal.error.code() == Code::JobNotFound => {
                return frames::job_error(refusal, true).map_or_else(Refused::silent, Refused::one);
            }
            Some(
                MessageType::Submit | MessageType::ListJobs | MessageType::Subscribe | MessageType::Cancel,
            ) => [&mut a, &mut b],
            _ => return b.map_or_else(Refused::silent, Refused::one),
        };
        Refused::Frames(order.into_iter().filter_map(Option::take).collect())
    }
}

/// Adds to a reply what some clients require and no client minds.
pub(super) fn add(mut reply: Envelope) -> Envelope {
    if reply.kind == MessageType::Welcome
        && let Ok(mut welcome) = reply.payload.decode::<Welcome>()
    {
        welcome.session_id.clone_from(&reply.session_id);
        welcome.accepted_at = Some(Clock::system().wall());
        if let Ok(payload) = Json::of(&welcome) {
            reply.payload = payload;
        }
    }
    reply
}

/// Adds the job to a terminal's payload, and `output` beside a `result` if `output` says so.
pub(super) fn terminal(event: &Event, output: bool) -> Option<Event> {
    let payload = if event.kind == MessageType::Result {
        let mut result: JobResult = event.payload.decode().ok()?;
        result.job_id = Some(event.job_id.clone());
        let small = |json: &Json| output && json.as_str().len() <= OUTPUT_CAP;
        result.output = result.result.clone().filter(small);
        Json::of(&result).ok()?
    } else {
        let mut error: JobError = event.payload.decode().ok()?;
        error.job_id = Some(event.job_id.clone());
        Json::of(&error).ok()?
    };
    Some(Event::terminal(event.kind.clone(), event.job_id.clone(), event.trace_id, payload))
}
