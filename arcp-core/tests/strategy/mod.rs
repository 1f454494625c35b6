//! Strategies for everything that goes on the wire.

pub(crate) mod event;
pub(crate) mod payload;

use arcp_core::id::{DelegateId, InvalidId, ResultId};
use arcp_core::{Envelope, JobId, Json, MessageId, MessageType, SessionId, Timestamp, TraceId};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

/// Text of any kind, often with what JSON must escape.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,20}",
        "[\"\\\\\n\r\t\u{0}-\u{1f}/{}\\[\\]:,é日\u{2028}\u{1f980}]{0,12}",
    ]
}

/// Something, or nothing.
pub(crate) fn maybe<T: Strategy>(some: T) -> impl Strategy<Value = Option<T::Value>>
where
    T::Value: Clone,
{
    option::of(some)
}

/// Any JSON value; numbers keep their text, so any will do.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Any JSON text, compact or with white space.
pub(crate) fn json() -> impl Strategy<Value = Json> {
    (value(), any::<bool>()).prop_map(|(value, pretty)| {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        Json::parse(text).unwrap()
    })
}

/// Any JSON object.
pub(crate) fn object() -> impl Strategy<Value = Json> {
    prop::collection::btree_map(text(), value(), 0..4).prop_map(|members| Json::of(&members).unwrap())
}

/// An identifier as peers choose them: printable, without what JSON must escape.
fn id<T: std::str::FromStr<Err = InvalidId> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    prop_oneof!["[0-9A-HJKMNP-TV-Z]{26}", "[!#-\\[\\]-~]{1,128}"].prop_map(|id| id.parse().unwrap())
}

pub(crate) fn message_id() -> impl Strategy<Value = MessageId> {
    id()
}

pub(crate) fn session_id() -> impl Strategy<Value = SessionId> {
    id()
}

pub(crate) fn job_id() -> impl Strategy<Value = JobId> {
    id()
}

pub(crate) fn result_id() -> impl Strategy<Value = ResultId> {
    id()
}

pub(crate) fn delegate_id() -> impl Strategy<Value = DelegateId> {
    id()
}

pub(crate) fn trace_id() -> impl Strategy<Value = TraceId> {
    any::<u128>().prop_map(TraceId::from_bits)
}

/// A time within the years that can be written.
pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), 0..4_102_444_800_000_i64].prop_map(Timestamp::from_millis)
}

/// A type that we know or do not.
fn kind() -> impl Strategy<Value = MessageType> {
    prop_oneof![
        Just(MessageType::Hello),
        Just(MessageType::Event),
        Just(MessageType::Submit),
        text()
            .prop_filter("a type has 1 to 128 bytes", |name| (1..=128).contains(&name.len()))
            .prop_map(|name| MessageType::from(&*name)),
    ]
}

/// Any message with any payload.
pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    let header = (message_id(), maybe(session_id()), maybe(job_id()), maybe(trace_id()), maybe(any::<u64>()));
    (kind(), header, object()).prop_map(|(kind, (id, session, job, trace, seq), payload)| {
        let mut envelope = Envelope::of_json(kind, payload).with_id(Some(id)).with_trace(trace);
        (envelope.session_id, envelope.job_id, envelope.event_seq) = (session, job, seq);
        envelope
    })
}
