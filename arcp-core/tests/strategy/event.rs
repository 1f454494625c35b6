//! Event payloads of ten kinds and a vendor's.

use arcp_core::Error;
use arcp_core::wire::event::{
    ArtifactRef, Delegate, Encoding, EventBody, EventPayload, Log, Metric, Progress, ResultChunk, Status,
    Thought, ToolCall, ToolResult,
};
use proptest::prelude::*;
use serde_json::Number;

use super::payload::{amount, error};
use super::{delegate_id, job_id, json, maybe, object, result_id, text, time};

/// What happened, at a time.
pub(crate) fn event() -> impl Strategy<Value = EventPayload> {
    (time(), body()).prop_map(|(ts, body)| EventPayload::new(ts, body))
}

fn body() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        (text(), text()).prop_map(|(level, message)| EventBody::Log(Log { level: level.into(), message })),
        text().prop_map(|text| EventBody::Thought(Thought { text })),
        (text(), object(), text()).prop_map(|(tool, args, call_id)| EventBody::ToolCall(ToolCall {
            tool,
            args,
            call_id
        })),
        tool_result(),
        (text(), maybe(text())).prop_map(|(phase, message)| EventBody::Status(Status { phase, message })),
        metric(),
        artifact_ref(),
        delegate(),
        (number(), maybe(number()), maybe(text()), maybe(text())).prop_map(
            |(current, total, units, message)| {
                EventBody::Progress(Progress { current, total, units, message })
            }
        ),
        result_chunk(),
        (text(), json()).prop_map(|(name, body)| EventBody::Other { kind: format!("x-vendor.{name}"), body }),
    ]
}

/// A result, which may be null, or an error.
fn tool_result() -> impl Strategy<Value = EventBody> {
    let outcome = prop_oneof![json().prop_map(Ok), error().prop_map(Err)];
    (text(), outcome).prop_map(|(call_id, outcome)| {
        let error = outcome.as_ref().err().map(Error::body);
        EventBody::ToolResult(ToolResult { call_id, result: outcome.ok(), error })
    })
}

/// With what some peers say of a delegation, and what others do.
fn delegate() -> impl Strategy<Value = EventBody> {
    let asked = (maybe(json()), maybe(object()), maybe(object()));
    (maybe(job_id()), maybe(delegate_id()), text(), maybe(object()), asked).prop_map(
        |(child_job_id, delegate_id, agent, lease, (input, lease_request, lease_constraints))| {
            EventBody::Delegate(Delegate {
                child_job_id,
                delegate_id,
                agent,
                input,
                lease,
                lease_request,
                lease_constraints,
            })
        },
    )
}

fn metric() -> impl Strategy<Value = EventBody> {
    let dimensions = prop::collection::btree_map(text(), text(), 0..3);
    let value = amount().prop_map(|amount| arcp_core::Json::of(&amount).unwrap());
    (text(), value, maybe(text()), maybe(dimensions)).prop_map(|(name, value, unit, dimensions)| {
        EventBody::Metric(Metric { name, value, unit, dimensions })
    })
}

fn artifact_ref() -> impl Strategy<Value = EventBody> {
    (text(), text(), maybe(any::<u64>()), maybe(text())).prop_map(|(uri, content_type, byte_size, sha256)| {
        EventBody::ArtifactRef(ArtifactRef { uri, content_type, byte_size, sha256 })
    })
}

fn result_chunk() -> impl Strategy<Value = EventBody> {
    let encoding = prop_oneof![Just(Encoding::Utf8), Just(Encoding::Base64)];
    (result_id(), any::<u64>(), text(), encoding, any::<bool>()).prop_map(
        |(result_id, chunk_seq, data, encoding, more)| {
            EventBody::ResultChunk(ResultChunk { result_id, chunk_seq, data, encoding, more })
        },
    )
}

/// A count, or a number with a binary fraction: `serde_json` reads others to within one unit in the
/// last place only.
fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<u64>().prop_map(Number::from),
        any::<u32>().prop_map(|quarters| Number::from_f64(f64::from(quarters) / 4.0).unwrap()),
    ]
}
