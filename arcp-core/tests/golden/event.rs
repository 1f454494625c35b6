//! `job.event` (§8): ten kinds and a vendor's, as a session is sent them.

use std::collections::BTreeMap;

use arcp_core::event::EventIds;
use arcp_core::id::{DelegateId, ResultId};
use arcp_core::wire::event::{
    ArtifactRef, Delegate, Encoding, EventBody, EventPayload, Log, Metric, Progress, ResultChunk, Status,
    Thought, ToolCall, ToolResult,
};
use arcp_core::{Code, Error, Event, JobId, Json, MessageType};

use crate::common::{Payload, decode};
use crate::{at, job_id, joined, json, session_id, trace_id, without_nulls};

/// The event `body` is sent, as number 7 of its session, as the frame with `kind` and `text`.
#[track_caller]
fn golden(body: EventBody, text: &str) {
    let payload = EventPayload::new(at("2026-05-13T19:42:13.250Z"), body);
    let kind = payload.body.kind().to_owned();
    let event = Event::new(&kind, job_id(), Some(trace_id()), payload.to_json().unwrap());
    let frame = event.encode(&session_id(), &EventIds::new(&[7; 32]).id(7), 7);
    let head = joined(
        r#"{"arcp":"1.1","id":"4HYQ1Q9EZPF3GGKDVR7Z2QBQ9Y","type":"job.event",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":7,"payload":{"kind":"#,
    );
    let body = joined(text);
    assert_eq!(frame, format!(r#"{head}"{kind}","ts":"2026-05-13T19:42:13.250Z","body":{body}}}}}"#));
    let read = decode(&frame).unwrap();
    assert_eq!((&read.kind, read.event_seq), (&MessageType::Event, Some(7)));
    assert_eq!((read.job_id.as_ref(), read.trace_id), (Some(&event.job_id), event.trace_id));
    assert_eq!(Payload::read(&read).unwrap(), Some(Payload::Event(payload)));
    without_nulls(&frame);
}

#[test]
fn log() {
    let body = Log { level: "info".into(), message: "a \"line\"\nand 日本".to_owned() };
    golden(EventBody::Log(body), r#"{"level":"info","message":"a \"line\"\nand 日本"}"#);
}

#[test]
fn thought() {
    golden(EventBody::Thought(Thought { text: "hm".to_owned() }), r#"{"text":"hm"}"#);
}

#[test]
fn tool_call_has_arguments_even_if_there_are_none() {
    let call = |args| ToolCall { tool: "search".to_owned(), args, call_id: "call_1".to_owned() };
    golden(
        EventBody::ToolCall(call(json(r#"{"q":"rust","page":null}"#))),
        r#"{"tool":"search","args":{"q":"rust","page":null},"call_id":"call_1"}"#,
    );
    golden(
        EventBody::ToolCall(call(Json::empty_object())),
        r#"{"tool":"search","args":{},"call_id":"call_1"}"#,
    );
}

#[test]
fn tool_result_is_a_result_or_an_error() {
    let answer = |result, error| ToolResult { call_id: "call_1".to_owned(), result, error };
    golden(
        EventBody::ToolResult(answer(Some(json(r#"{"hits":3}"#)), None)),
        r#"{"call_id":"call_1","result":{"hits":3}}"#,
    );
    golden(EventBody::ToolResult(answer(Some(Json::null()), None)), r#"{"call_id":"call_1","result":null}"#);
    let denied = Error::new(Code::PermissionDenied, "the lease has no tool.call").body();
    golden(
        EventBody::ToolResult(answer(None, Some(denied))),
        r#"{"call_id":"call_1","error":{"code":"PERMISSION_DENIED",
        "message":"the lease has no tool.call","retryable":false}}"#,
    );
}

#[test]
fn status() {
    let status = |message| Status { phase: "working".to_owned(), message };
    golden(EventBody::Status(status(None)), r#"{"phase":"working"}"#);
    let body = EventBody::Status(status(Some("on it".to_owned())));
    golden(body, r#"{"phase":"working","message":"on it"}"#);
}

#[test]
fn metric_keeps_every_digit_of_its_value() {
    let metric = |value, unit: Option<&str>, dimensions| Metric {
        name: "cost.search".to_owned(),
        value: json(value),
        unit: unit.map(str::to_owned),
        dimensions,
    };
    let dimensions = BTreeMap::from([("model".to_owned(), "m/1".to_owned())]);
    golden(
        EventBody::Metric(metric("0.1000000000000000000000000001", Some("USD"), Some(dimensions))),
        r#"{"name":"cost.search","value":0.1000000000000000000000000001,"unit":"USD",
        "dimensions":{"model":"m/1"}}"#,
    );
    golden(EventBody::Metric(metric("12", None, None)), r#"{"name":"cost.search","value":12}"#);
}

#[test]
fn artifact_ref() {
    let artifact = |byte_size, sha256: Option<&str>| ArtifactRef {
        uri: "s3://bucket/report.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        byte_size,
        sha256: sha256.map(str::to_owned),
    };
    golden(
        EventBody::ArtifactRef(artifact(Some(1024), Some("9f86d081"))),
        r#"{"uri":"s3://bucket/report.pdf","content_type":"application/pdf","byte_size":1024,
        "sha256":"9f86d081"}"#,
    );
    golden(
        EventBody::ArtifactRef(artifact(None, None)),
        r#"{"uri":"s3://bucket/report.pdf","content_type":"application/pdf"}"#,
    );
}

#[test]
fn delegate_says_what_was_asked_for_and_what_came_of_it() {
    let mut body = Delegate {
        child_job_id: Some(JobId::from_bits(4)),
        agent: "web@2.0.0".to_owned(),
        lease: Some(json(r#"{"net.fetch":["https://example.com/**"]}"#)),
        ..Delegate::default()
    };
    golden(
        EventBody::Delegate(body.clone()),
        r#"{"child_job_id":"job_00000000000000000000000004","agent":"web@2.0.0",
        "lease":{"net.fetch":["https://example.com/**"]}}"#,
    );
    body.delegate_id = Some(DelegateId::from_bits(6));
    body.input = Some(json(r#"{"q":null}"#));
    body.lease_request = body.lease.clone();
    body.lease_constraints = Some(json(r#"{"expires_at":"2026-05-13T20:00:00Z"}"#));
    golden(
        EventBody::Delegate(body),
        r#"{"child_job_id":"job_00000000000000000000000004","delegate_id":"del_00000000000000000000000006",
        "agent":"web@2.0.0","input":{"q":null},"lease":{"net.fetch":["https://example.com/**"]},
        "lease_request":{"net.fetch":["https://example.com/**"]},
        "lease_constraints":{"expires_at":"2026-05-13T20:00:00Z"}}"#,
    );
}

#[test]
fn progress_writes_whole_numbers_without_a_fraction() {
    let body = Progress {
        current: 3.into(),
        total: Some(10.into()),
        units: Some("items".to_owned()),
        message: Some("a third".to_owned()),
    };
    golden(EventBody::Progress(body), r#"{"current":3,"total":10,"units":"items","message":"a third"}"#);
    let body = Progress { current: 0.into(), total: None, units: None, message: None };
    golden(EventBody::Progress(body), r#"{"current":0}"#);
}

#[test]
fn result_chunk() {
    for (encoding, name, data) in
        [(Encoding::Utf8, "utf8", "{\"a\":\n"), (Encoding::Base64, "base64", "AAEC")]
    {
        let result_id = ResultId::from_bits(5);
        let body = ResultChunk { result_id, chunk_seq: 0, data: data.to_owned(), encoding, more: true };
        let data = serde_json::to_string(data).unwrap();
        golden(
            EventBody::ResultChunk(body),
            &r#"{"result_id":"res_00000000000000000000000005","chunk_seq":0,"data":DATA,
            "encoding":"NAME","more":true}"#
                .replace("DATA", &data)
                .replace("NAME", name),
        );
    }
}

#[test]
fn a_vendors_kind_keeps_its_body_as_it_is() {
    let kind = "x-vendor.acme.note".to_owned();
    golden(EventBody::Other { kind, body: json(r#"{ "text" : 1.0 }"#) }, r#"{ "text" : 1.0 }"#);
}

#[test]
fn a_job_without_a_trace_has_none_in_its_events() {
    let event = Event::terminal(MessageType::Result, job_id(), None, json(r#"{"final_status":"success"}"#));
    let frame = event.encode(&session_id(), &EventIds::new(&[7; 32]).id(1), 1);
    let lines = r#"{"arcp":"1.1","id":"69BXB3G6P7TAQ0MNX8H2GB9HY8","type":"job.result",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "event_seq":1,"payload":{"final_status":"success"}}"#;
    assert_eq!(frame, joined(lines));
}
