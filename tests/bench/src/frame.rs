//! Frames that go out, and the little that is read of those that come in: by searching the text,
//! not by parsing it, so that the figures are the runtime's and not the generator's.

use serde_json::{Value, json};

/// The message id with number `n`, in the form of a ULID.
pub fn id(n: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |at: u32| char::from(DIGITS[usize::try_from((n >> (5 * at)) & 31).unwrap_or(0)]);
    // 13 digits of 5 bits hold any `u64`.
    "01J0000000000".chars().chain((0..13).rev().map(digit)).collect()
}

/// Whether a session acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// Everything that is asked of it here.
    All,
    /// Nothing waits for its acknowledgements.
    WithoutAck,
}

/// The session that a hello continues.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// Its id.
    pub session: String,
    /// Its token.
    pub token: String,
}

/// `session.hello` without heartbeats: nobody would answer them while frames are counted. A session
/// that is resumed begins again at its first event.
pub fn hello(id: &str, token: &str, features: Features, resume: Option<&Resume>) -> String {
    const NAMES: [&str; 8] = [
        "ack",
        "list_jobs",
        "subscribe",
        "lease_expires_at",
        "cost.budget",
        "progress",
        "result_chunk",
        "agent_versions",
    ];
    let names = if features == Features::All { &NAMES[..] } else { &NAMES[1..] };
    let mut payload = json!({
        "client": {"name": "load", "version": "0"},
        "auth": {"scheme": "bearer", "token": token},
        "capabilities": {"encodings": ["json"], "features": names},
    });
    if let Some(Resume { session, token }) = resume {
        payload["resume"] = json!({"session_id": session, "resume_token": token, "last_event_seq": 0});
    }
    json!({"arcp": "1.1", "id": id, "type": "session.hello", "payload": payload}).to_string()
}

/// `session.ping`.
pub fn ping(id: &str, session: &str) -> String {
    json!({"arcp": "1.1", "id": id, "type": "session.ping", "session_id": session,
        "payload": {"nonce": id, "sent_at": "2026-01-01T00:00:00.000Z"}})
    .to_string()
}

/// `job.submit`.
pub fn submit(id: &str, session: &str, agent: &str, input: &Value) -> String {
    json!({"arcp": "1.1", "id": id, "type": "job.submit", "session_id": session,
        "payload": {"agent": agent, "input": input}})
    .to_string()
}

/// `job.subscribe` with the whole history.
pub fn subscribe(id: &str, session: &str, job: &str) -> String {
    json!({"arcp": "1.1", "id": id, "type": "job.subscribe", "session_id": session, "job_id": job,
        "payload": {"job_id": job, "history": true, "from_event_seq": 0}})
    .to_string()
}

/// `session.ack`.
pub fn ack(id: &str, session: &str, seq: u64) -> String {
    format!(
        r#"{{"arcp":"1.1","id":"{id}","type":"session.ack","session_id":"{session}","payload":{{"last_processed_seq":{seq}}}}}"#
    )
}

/// What a frame is, as far as counting needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `job.event`.
    Event,
    /// `job.result`.
    Result,
    /// `job.error` or `session.error`.
    Error,
    /// Anything else.
    Other,
}

impl Kind {
    /// Looks for the type, with or without a space before it.
    pub fn of(frame: &str) -> Self {
        let Some((_, rest)) = frame.split_once("\"type\":") else { return Self::Other };
        let rest = rest.trim_start();
        if rest.starts_with("\"job.event\"") {
            Self::Event
        } else if rest.starts_with("\"job.result\"") {
            Self::Result
        } else if rest.starts_with("\"job.error\"") || rest.starts_with("\"session.error\"") {
            Self::Error
        } else {
            Self::Other
        }
    }
}

/// The number of a frame in its session.
pub fn event_seq(frame: &str) -> Option<u64> {
    let (_, rest) = frame.split_once("\"event_seq\":")?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_a_ulid_and_differ() {
        assert_eq!(id(0), "01J00000000000000000000000");
        assert_eq!(id(33), "01J00000000000000000000011");
        assert_eq!(id(u64::MAX).len(), 26);
        assert_ne!(id(u64::MAX), id(u64::MAX - 1));
    }

    #[test]
    fn compact_and_spaced_frames_are_read() {
        let compact = r#"{"arcp":"1.1","type":"job.event","event_seq":12,"payload":{}}"#;
        let spaced = r#"{"arcp": "1.1", "type": "job.event", "event_seq": 12, "payload": {}}"#;
        for frame in [compact, spaced] {
            assert_eq!((Kind::of(frame), event_seq(frame)), (Kind::Event, Some(12)));
        }
        assert_eq!(Kind::of(r#"{"type":"session.error"}"#), Kind::Error);
        assert_eq!(Kind::of(r#"{"type":"job.result"}"#), Kind::Result);
        assert_eq!((Kind::of("{}"), event_seq("{}")), (Kind::Other, None));
    }

    #[test]
    fn an_ack_is_json() {
        let ack: Value = serde_json::from_str(&ack("1", "sess_1", 256)).unwrap();
        assert_eq!(ack["payload"]["last_processed_seq"], 256);
    }
}
