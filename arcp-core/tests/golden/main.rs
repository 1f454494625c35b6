//! Golden frames: the exact text of every message, both ways. A change of a frame that peers see
//! shows up here, on purpose or not.
//!
//! The frames are those of the default profile: the draft's form and the additive superset that
//! other SDKs need, such as `session_id` inside a welcome.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod event;
mod job;
mod session;

use arcp_core::lease::Lease;
use arcp_core::{Envelope, JobId, Json, MessageId, SessionId, Timestamp, TraceId};
use common::Payload;
use serde_json::Value;

fn session_id() -> SessionId {
    SessionId::from_bits(2)
}

fn job_id() -> JobId {
    JobId::from_bits(3)
}

fn trace_id() -> TraceId {
    "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_utc(text).unwrap()
}

fn json(text: &'static str) -> Json {
    Json::parse(text).unwrap()
}

fn lease(text: &str) -> Lease {
    serde_json::from_str(text).unwrap()
}

fn joined(lines: &str) -> String {
    lines.lines().map(str::trim_start).collect()
}

/// Has a session.
fn in_session(mut message: Envelope) -> Envelope {
    message.session_id = Some(session_id());
    message
}

/// Has a session and a job.
fn of_job(message: Envelope) -> Envelope {
    in_session(message).with_job(job_id())
}

/// `payload` in an envelope that `header` completes is exactly `lines` without the line breaks, and
/// `lines` read as that envelope and that payload.
#[track_caller]
fn golden(payload: &Payload, header: impl Fn(Envelope) -> Envelope, lines: &str) {
    let frame = joined(lines);
    let id = Some(MessageId::from_bits(1));
    let sent = header(Envelope::of_json(payload.kind(), payload.to_json().unwrap())).with_id(id);
    assert_eq!(sent.encode(None, &MessageId::from_bits(99)), frame);
    let read = common::decode(&frame).unwrap();
    assert_eq!(read, sent);
    assert_eq!(Payload::read(&read).unwrap().as_ref(), Some(payload));
    without_nulls(&frame);
}

/// A `null` may stand in `next_cursor` and in what agents and their clients say to each other.
#[track_caller]
fn without_nulls(frame: &str) {
    #[track_caller]
    fn look(path: &str, value: &Value) {
        match value {
            Value::Null => panic!("{path} is null"),
            Value::Object(members) => {
                let free = ["next_cursor", "input", "result", "output", "args"];
                for (key, value) in members.iter().filter(|(key, _)| !free.contains(&key.as_str())) {
                    look(&format!("{path}.{key}"), value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| look(path, item)),
            _ => {}
        }
    }
    look("", &serde_json::from_str(frame).unwrap());
}

#[test]
fn a_frame_takes_session_and_id_from_the_connection_unless_it_has_its_own() {
    let message = Envelope::of_json("x-vendor.acme.\"hello\"".into(), Json::empty_object());
    let frame = message.encode(Some(&session_id()), &MessageId::from_bits(1));
    let lines = r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"x-vendor.acme.\"hello\"",
        "session_id":"sess_00000000000000000000000002","payload":{}}"#;
    assert_eq!(frame, joined(lines));
    assert_eq!(common::decode(&frame).unwrap().kind, message.kind);
}
