//! The Python SDK's client, 1.1.2 and 1.1.3.

use std::collections::BTreeMap;

use arcp_core::job::FinalStatus;
use arcp_core::wire::job::{JobError, JobResult};
use arcp_core::{Code, Envelope, Event, Json, MessageId, MessageType};

use super::{Profile, Refusal, Refused, frames, superset};

/// What the Python SDK's client reads. Where it differs from the draft, and is fed the draft, it
/// fails every job of its session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Python;

impl Profile for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn reply(&self, reply: Envelope, _: Option<&MessageId>) -> Envelope {
        let mut reply = superset::add(reply);
        if reply.kind == MessageType::Accepted {
            reply.payload = texts_for_budgets(&reply.payload).unwrap_or(reply.payload);
        }
        reply
    }

    /// A cancelled or timed-out job is a *result* there; only real failures are errors.
    fn terminal(&self, event: &Event) -> Option<Event> {
        if event.kind == MessageType::JobError {
            let error: JobError = event.payload.decode().ok()?;
            if error.final_status != FinalStatus::Error {
                let mut result = JobResult::new(event.job_id.clone(), error.completed_at?);
                result.final_status = error.final_status;
                let payload = Json::of(&result).ok()?;
                return Some(Event::terminal(
                    MessageType::Result,
                    event.job_id.clone(),
                    event.trace_id,
                    payload,
                ));
            }
        }
        superset::terminal(event, false)
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Refused {
        let say = |frame: Option<Envelope>| frame.map_or_else(Refused::silent, Refused::one);
        match &refusal.request.kind {
            // Any `session.error` fails every live handle of the client.
            Some(MessageType::Submit) if refusal.busy => Refused::Stillborn,
            Some(
                MessageType::Hello
                | MessageType::Resume
                | MessageType::Submit
                | MessageType::ListJobs
                | MessageType::Subscribe,
            ) => say(frames::session_error(refusal)),
            Some(MessageType::Cancel) if refusal.error.code() == Code::JobNotFound => {
                say(frames::job_error(refusal, true))
            }
            // A connection that ends says why; its handles are lost anyway.
            None if refusal.error.code() == Code::HeartbeatLost => say(frames::session_error(refusal)),
            _ => Refused::silent(),
        }
    }

    /// Its `subscribe()` drops what arrives before the call has returned.
    fn holds_back(&self, reply: &Envelope) -> bool {
        reply.kind == MessageType::Subscribed
    }
}

/// `{"USD": 5}` as `{"USD": "USD:5"}`.
fn texts_for_budgets(payload: &Json) -> Option<Json> {
    let mut members: BTreeMap<String, Json> = payload.decode().ok()?;
    let budget: BTreeMap<String, Json> = members.get("budget")?.decode().ok()?;
    let texts: BTreeMap<_, _> = budget
        .into_iter()
        .map(|(currency, amount)| (currency.clone(), format!("{currency}:{}", amount.as_str())))
        .collect();
    members.insert("budget".to_owned(), Json::of(&texts).ok()?);
    Json::of(&members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_become_texts_and_the_rest_stays() {
        let payload = Json::parse(r#"{"job_id":"job_1","budget":{"USD":5.25},"lease":{}}"#).unwrap();
        let texts = texts_for_budgets(&payload).unwrap();
        assert_eq!(texts.as_str(), r#"{"budget":{"USD":"USD:5.25"},"job_id":"job_1","lease":{}}"#);
        assert!(texts_for_budgets(&Json::empty_object()).is_none());
    }
}
