//! `job.*` (§7), events apart.

use std::collections::BTreeMap;

use arcp_core::id::{DelegateId, ResultId};
use arcp_core::job::{FinalStatus, Status};
use arcp_core::lease::LeaseConstraints;
use arcp_core::money::{Amount, Currency};
use arcp_core::wire::job::{
    Accepted, Cancel, Cancelled, JobError, JobResult, Submit, Subscribe, Subscribed, Unsubscribe,
};
use arcp_core::{Code, Envelope, Error, Json, MessageId, Timestamp};

use crate::common::Payload;
use crate::{at, golden, in_session, job_id, json, lease, trace_id};

fn now() -> Timestamp {
    at("2026-05-13T19:42:13.000Z")
}

fn request_id() -> MessageId {
    MessageId::from_bits(9)
}

fn traced(message: Envelope) -> Envelope {
    crate::of_job(message).with_trace(Some(trace_id()))
}

/// As the terminal message has it.
fn numbered(message: Envelope) -> Envelope {
    let mut message = traced(message);
    message.event_seq = Some(7);
    message
}

fn budget(amount: &str) -> BTreeMap<Currency, Amount> {
    [("USD".parse().unwrap(), Amount::parse_budget(amount).unwrap())].into()
}

fn constraints() -> LeaseConstraints {
    LeaseConstraints::expires_at(at("2026-05-13T20:00:00.000Z"))
}

#[test]
fn submit_with_everything() {
    let mut submit =
        Submit::new("echo@1.0.0".parse().unwrap(), json(r#"{"text":"a \"quote\"\n","none":null,"n":1.50}"#));
    submit.lease_request = lease(r#"{"cost.budget":["USD:5.00"],"fs.read":["/w/**"]}"#);
    submit.lease_constraints = Some(constraints());
    submit.idempotency_key = Some("key-1".to_owned());
    submit.max_runtime_sec = Some(60);
    golden(
        &Payload::Submit(submit),
        |message| in_session(message).with_trace(Some(trace_id())),
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.submit",
        "session_id":"sess_00000000000000000000000002","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{
        "agent":"echo@1.0.0","input":{"text":"a \"quote\"\n","none":null,"n":1.50},
        "lease_request":{"fs.read":["/w/**"],"cost.budget":["USD:5.00"]},
        "lease_constraints":{"expires_at":"2026-05-13T20:00:00.000Z"},
        "idempotency_key":"key-1","max_runtime_sec":60}}"#,
    );
}

#[test]
fn submit_with_nothing_but_an_agent() {
    golden(
        &Payload::Submit(Submit::new("echo".parse().unwrap(), Json::null())),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.submit",
        "session_id":"sess_00000000000000000000000002","payload":{
        "agent":"echo","input":null,"lease_request":{}}}"#,
    );
}

#[test]
fn accepted_with_and_without_authority() {
    let mut accepted = Accepted::new(job_id(), "echo@1.0.0", now());
    accepted.request_id = Some(request_id());
    accepted.trace_id = Some(trace_id());
    let bare = accepted.clone();
    accepted.lease = lease(r#"{"cost.budget":["USD:5.00"],"x-vendor.acme.gpu":["a100"]}"#);
    accepted.lease_constraints = Some(constraints());
    accepted.budget = Some(budget("5.00"));
    golden(
        &Payload::Accepted(accepted),
        traced,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.accepted",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{
        "job_id":"job_00000000000000000000000003","agent":"echo@1.0.0",
        "request_id":"00000000000000000000000009",
        "lease":{"cost.budget":["USD:5.00"],"x-vendor.acme.gpu":["a100"]},
        "lease_constraints":{"expires_at":"2026-05-13T20:00:00.000Z"},"budget":{"USD":5},
        "accepted_at":"2026-05-13T19:42:13.000Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}}"#,
    );
    golden(
        &Payload::Accepted(bare),
        traced,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.accepted",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{
        "job_id":"job_00000000000000000000000003","agent":"echo@1.0.0",
        "request_id":"00000000000000000000000009","lease":{},
        "accepted_at":"2026-05-13T19:42:13.000Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}}"#,
    );
}

#[test]
fn accepted_and_subscribed_name_the_delegation_of_a_child() {
    let mut accepted = Accepted::new(job_id(), "echo@1.0.0", now());
    accepted.parent_job_id = Some(arcp_core::JobId::from_bits(4));
    accepted.delegate_id = Some(DelegateId::from_bits(6));
    golden(
        &Payload::Accepted(accepted),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.accepted",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003","agent":"echo@1.0.0","lease":{},
        "accepted_at":"2026-05-13T19:42:13.000Z","parent_job_id":"job_00000000000000000000000004",
        "delegate_id":"del_00000000000000000000000006"}}"#,
    );
    let mut subscribed = Subscribed::new(job_id(), "echo@1.0.0".to_owned(), Status::Running);
    subscribed.parent_job_id = Some(arcp_core::JobId::from_bits(4));
    subscribed.delegate_id = Some(DelegateId::from_bits(6));
    golden(
        &Payload::Subscribed(subscribed),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.subscribed",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003","current_status":"running","agent":"echo@1.0.0","lease":{},
        "parent_job_id":"job_00000000000000000000000004","delegate_id":"del_00000000000000000000000006",
        "subscribed_from":0,"replayed":false}}"#,
    );
}

#[test]
fn cancel_names_the_job_twice_and_cancelled_answers_it() {
    golden(
        &Payload::Cancel(Cancel::new(job_id(), Some("no longer needed".to_owned()))),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.cancel",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003","reason":"no longer needed"}}"#,
    );
    golden(
        &Payload::JobCancelled(Cancelled::new(
            job_id(),
            Some(request_id()),
            Some("no longer needed".to_owned()),
        )),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.cancelled",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003","request_id":"00000000000000000000000009",
        "reason":"no longer needed"}}"#,
    );
    golden(
        &Payload::JobCancelled(Cancelled::new(job_id(), None, None)),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.cancelled",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003"}}"#,
    );
}

#[test]
fn subscribe_and_unsubscribe() {
    let mut subscribe = Subscribe::default();
    subscribe.job_id = Some(job_id());
    subscribe.from_event_seq = Some(0);
    subscribe.history = true;
    golden(
        &Payload::Subscribe(subscribe),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.subscribe",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003","from_event_seq":0,"history":true}}"#,
    );
    let mut unsubscribe = Unsubscribe::default();
    unsubscribe.job_id = Some(job_id());
    golden(
        &Payload::Unsubscribe(unsubscribe),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.unsubscribe",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "job_id":"job_00000000000000000000000003"}}"#,
    );
}

#[test]
fn subscribed_shows_the_authority_and_where_it_begins() {
    let mut subscribed = Subscribed::new(job_id(), "echo@1.0.0".to_owned(), Status::Running);
    subscribed.request_id = Some(request_id());
    let bare = subscribed.clone();
    subscribed.lease = lease(r#"{"cost.budget":["USD:5.00"]}"#);
    subscribed.lease_constraints = Some(constraints());
    subscribed.budget = Some(budget("4.20"));
    subscribed.trace_id = Some(trace_id());
    subscribed.parent_job_id = Some(arcp_core::JobId::from_bits(4));
    subscribed.subscribed_from = 6;
    subscribed.replayed = true;
    golden(
        &Payload::Subscribed(subscribed),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.subscribed",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "request_id":"00000000000000000000000009","job_id":"job_00000000000000000000000003",
        "current_status":"running","agent":"echo@1.0.0","lease":{"cost.budget":["USD:5.00"]},
        "lease_constraints":{"expires_at":"2026-05-13T20:00:00.000Z"},"budget":{"USD":4.2},
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","parent_job_id":"job_00000000000000000000000004",
        "subscribed_from":6,"replayed":true}}"#,
    );
    golden(
        &Payload::Subscribed(bare),
        crate::of_job,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.subscribed",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003","payload":{
        "request_id":"00000000000000000000000009","job_id":"job_00000000000000000000000003",
        "current_status":"running","agent":"echo@1.0.0","lease":{},"subscribed_from":0,"replayed":false}}"#,
    );
}

#[test]
fn a_result_is_inline_and_may_be_null() {
    let mut result = JobResult::new(job_id(), now());
    result.result = Some(json(r#"{"a":[1,null]}"#));
    result.output = result.result.clone();
    result.summary = Some("one line".to_owned());
    golden(
        &Payload::Result(result),
        numbered,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.result",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":7,"payload":{
        "final_status":"success","job_id":"job_00000000000000000000000003",
        "result":{"a":[1,null]},"output":{"a":[1,null]},"summary":"one line",
        "completed_at":"2026-05-13T19:42:13.000Z"}}"#,
    );
    let mut result = JobResult::new(job_id(), now());
    result.result = Some(Json::null());
    golden(
        &Payload::Result(result),
        numbered,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.result",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":7,"payload":{
        "final_status":"success","job_id":"job_00000000000000000000000003","result":null,
        "completed_at":"2026-05-13T19:42:13.000Z"}}"#,
    );
}

#[test]
fn a_streamed_result_has_an_id_and_a_size_and_no_inline_one() {
    let mut result = JobResult::new(job_id(), now());
    result.result_id = Some(ResultId::from_bits(5));
    result.result_size = Some(123);
    golden(
        &Payload::Result(result),
        numbered,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.result",
        "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":7,"payload":{
        "final_status":"success","job_id":"job_00000000000000000000000003",
        "result_id":"res_00000000000000000000000005","result_size":123,
        "completed_at":"2026-05-13T19:42:13.000Z"}}"#,
    );
}

#[test]
fn a_terminal_error_says_how_the_job_ended() {
    for (status, code, retryable, texts) in [
        (FinalStatus::Error, Code::InternalError, true, ("error", "INTERNAL_ERROR")),
        (FinalStatus::Cancelled, Code::Cancelled, false, ("cancelled", "CANCELLED")),
        (FinalStatus::TimedOut, Code::Timeout, false, ("timed_out", "TIMEOUT")),
    ] {
        let error = Error::new(code, "it ended").with_detail("reason", "test");
        let mut ended = JobError::new(status, &error, now());
        ended.job_id = Some(job_id());
        golden(
            &Payload::JobError(ended),
            numbered,
            &r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.error",
            "session_id":"sess_00000000000000000000000002","job_id":"job_00000000000000000000000003",
            "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":7,"payload":{
            "final_status":"STATUS","job_id":"job_00000000000000000000000003",
            "code":"CODE","message":"it ended","retryable":RETRY,"details":{"reason":"test"},
            "completed_at":"2026-05-13T19:42:13.000Z"}}"#
                .replace("STATUS", texts.0)
                .replace("CODE", texts.1)
                .replace("RETRY", &retryable.to_string()),
        );
    }
}

#[test]
fn an_error_without_a_job_refuses_a_request() {
    let error = Error::new(Code::AgentNotAvailable, "no agent is named x");
    let mut refusal = JobError::new(FinalStatus::Error, &error, now());
    refusal.request_id = Some(request_id());
    golden(
        &Payload::JobError(refusal),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"job.error",
        "session_id":"sess_00000000000000000000000002","payload":{"final_status":"error",
        "code":"AGENT_NOT_AVAILABLE","message":"no agent is named x","retryable":false,
        "request_id":"00000000000000000000000009","completed_at":"2026-05-13T19:42:13.000Z"}}"#,
    );
}
