//! An event of a job: serialised once, shared by every session that sees it.

use std::fmt::Write as _;

use crate::wire::event::feature_of;
use crate::{Feature, JobId, Json, MessageId, MessageType, SessionId, TraceId};

/// One `job.event`, `job.result` or terminal `job.error`, without what differs per session: the
/// session, the message id and the number.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// `job.event`, `job.result` or `job.error`.
    pub kind: MessageType,
    /// The feature that a session needs to be sent it.
    pub needs: Option<Feature>,
    /// The job.
    pub job_id: JobId,
    /// The job's trace.
    pub trace_id: Option<TraceId>,
    /// The payload.
    pub payload: Json,
}

impl Event {
    /// A `job.event` of `kind`.
    pub fn new(kind: &str, job_id: JobId, trace_id: Option<TraceId>, payload: Json) -> Self {
        Self { kind: MessageType::Event, needs: feature_of(kind), job_id, trace_id, payload }
    }

    /// The end of a job: `kind` is `job.result` or `job.error`.
    pub fn terminal(kind: MessageType, job_id: JobId, trace_id: Option<TraceId>, payload: Json) -> Self {
        Self { kind, needs: None, job_id, trace_id, payload }
    }

    /// Whether nothing follows it (§7.3).
    pub fn is_terminal(&self) -> bool {
        self.kind != MessageType::Event
    }

    /// Renders the event for one session: one exact allocation, one copy of the payload.
    pub fn encode(&self, session_id: &SessionId, id: &EventId, event_seq: u64) -> String {
        const FIXED: usize = r#"{"arcp":"1.1","id":"","type":"","session_id":"","job_id":"","trace_id":"","event_seq":,"payload":}"#.len();
        let length = FIXED
            + 26
            + 32
            + self.kind.as_str().len()
            + session_id.as_str().len()
            + self.job_id.as_str().len()
            + event_seq.checked_ilog10().unwrap_or(0) as usize
            + 1
            + self.payload.as_str().len();
        let without_trace = if self.trace_id.is_none() { r#","trace_id":"""#.len() + 32 } else { 0 };
        let mut out = String::with_capacity(length - without_trace);
        out.push_str(r#"{"arcp":"1.1","id":""#);
        out.push_str(id.as_str());
        out.push_str(r#"","type":""#);
        out.push_str(self.kind.as_str());
        out.push_str(r#"","session_id":""#);
        out.push_str(session_id.as_str());
        out.push_str(r#"","job_id":""#);
        out.push_str(self.job_id.as_str());
        if let Some(trace) = self.trace_id {
            let _ = write!(out, r#"","trace_id":"{trace}"#);
        }
        let _ = write!(out, r#"","event_seq":{event_seq},"payload":"#);
        out.push_str(self.payload.as_str());
        out.push('}');
        out
    }
}

/// The `id` of a numbered frame: a keyed digest of the session's secret and the number, so that a
/// replay repeats it and nobody stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId([u8; 26]);

impl EventId {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<EventId> for MessageId {
    fn from(id: EventId) -> Self {
        // 26 Crockford characters are always an id.
        id.as_str().parse().unwrap_or_else(|_| Self::from_bits(0))
    }
}

/// Makes [`EventId`]s for one session.
#[derive(Clone)]
pub struct EventIds(hmac::Hmac<sha2::Sha256>);

impl EventIds {
    /// Ids under `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        use hmac::Mac as _;
        // A key of 32 bytes is never refused; were it, the ids would still be unique.
        let key = hmac::Hmac::new_from_slice(secret);
        Self(
            key.unwrap_or_else(
                |_| hmac::Hmac::new(&hmac::digest::Key::<hmac::Hmac<sha2::Sha256>>::default()),
            ),
        )
    }

    /// The id of number `event_seq`.
    pub fn id(&self, event_seq: u64) -> EventId {
        use hmac::Mac as _;
        let digest = self.0.clone().chain_update(event_seq.to_be_bytes()).finalize().into_bytes();
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest[..16]);
        EventId(crate::id::crockford(u128::from_be_bytes(bits)))
    }
}

impl std::fmt::Debug for EventIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventIds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Envelope;

    #[test]
    fn a_frame_is_rendered_into_one_exact_allocation() {
        let ids = EventIds::new(&[7; 32]);
        let session = SessionId::from_bits(1);
        for trace in [None, Some(TraceId::from_bits(2))] {
            for seq in [1, 9, 10, 99, 100, u64::MAX] {
                let event = Event::new("log", JobId::from_bits(3), trace, Json::empty_object());
                let frame = event.encode(&session, &ids.id(seq), seq);
                assert_eq!(frame.len(), frame.capacity());
                let read = Envelope::decode(&frame.into(), crate::wire::Limits::default()).unwrap();
                assert_eq!(
                    (read.event_seq, read.trace_id, read.session_id),
                    (Some(seq), trace, Some(session.clone()))
                );
            }
        }
    }

    #[test]
    fn ids_repeat_in_a_replay_and_differ_between_sessions_and_numbers() {
        let (a, b) = (EventIds::new(&[1; 32]), EventIds::new(&[2; 32]));
        assert_eq!(a.id(5), a.id(5));
        assert_ne!(a.id(5), a.id(6));
        assert_ne!(a.id(5), b.id(5));
    }
}
