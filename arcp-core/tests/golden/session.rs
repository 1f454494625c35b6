//! `session.*` (§6).

use arcp_core::agent::Inventory;
use arcp_core::job::Status;
use arcp_core::wire::session::{
    Ack, Auth, ClientCapabilities, Close, Hello, JobEntry, JobFilter, Jobs, ListJobs, Party, Ping, Pong,
    ResumeRequest, SessionError, Welcome,
};
use arcp_core::{Code, Envelope, Error, Feature, Features, JobId, Json, MessageId, MessageType};

use crate::common::{Payload, decode};
use crate::{at, golden, in_session, job_id, joined, lease, session_id, trace_id};

#[test]
fn hello_of_our_own_client() {
    let mut capabilities = ClientCapabilities::default();
    capabilities.encodings = vec!["json".to_owned()];
    capabilities.features = Features::of(Feature::ALL);
    capabilities.profile = Some("draft".to_owned());
    let mut hello = Hello::default();
    hello.client = Some(Party::new("acme \"cli\"", "0.1.0"));
    hello.auth = Some(Auth::bearer("secret"));
    hello.capabilities = capabilities;
    golden(
        &Payload::Hello(hello),
        |message| message,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.hello","payload":{
        "client":{"name":"acme \"cli\"","version":"0.1.0"},
        "auth":{"scheme":"bearer","token":"secret"},
        "capabilities":{"encodings":["json"],
        "features":["heartbeat","ack","list_jobs","subscribe","lease_expires_at","cost.budget","model.use",
        "provisioned_credentials","progress","result_chunk","agent_versions"],
        "x-vendor.arcp.profile":"draft"}}}"#,
    );
}

#[test]
fn the_debug_form_of_a_message_shows_no_token() {
    let mut hello = Hello::default();
    hello.auth = Some(Auth::bearer("t0ken"));
    let hello = Envelope::new(MessageType::Hello, &hello).unwrap();
    assert!(hello.payload.as_str().contains("t0ken"));
    let shown = format!("{hello:?}");
    assert!(shown.contains("Hello") && !shown.contains("t0ken"), "{shown}");
}

#[test]
fn hello_of_a_client_that_names_nothing() {
    golden(
        &Payload::Hello(Hello::default()),
        |message| message,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.hello","payload":{
        "capabilities":{"encodings":[],"features":[]}}}"#,
    );
}

#[test]
fn welcome_carries_the_session_in_its_payload_too() {
    let mut inventory = Inventory::default();
    for agent in ["echo@1.0.0", "echo@2.0.0", "chatty"] {
        inventory.register(&agent.parse().unwrap(), ()).unwrap();
    }
    let features = Features::of(&[Feature::Ack, Feature::Heartbeat]);
    let mut welcome = Welcome::new(Party::new("acme", "1.2.3"), features, inventory.describe());
    welcome.session_id = Some(session_id());
    welcome.accepted_at = Some(at("2026-05-13T19:42:13.000Z"));
    welcome.resume_token = "rt_1".to_owned();
    welcome.resume_window_sec = 600;
    welcome.heartbeat_interval_sec = Some(30);
    golden(
        &Payload::Welcome(welcome),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.welcome",
        "session_id":"sess_00000000000000000000000002","payload":{
        "runtime":{"name":"acme","version":"1.2.3"},
        "session_id":"sess_00000000000000000000000002",
        "accepted_at":"2026-05-13T19:42:13.000Z",
        "resume_token":"rt_1","resume_window_sec":600,"heartbeat_interval_sec":30,
        "capabilities":{"encodings":["json"],"features":["heartbeat","ack"],"agents":[
        {"name":"chatty","versions":["1.0.0"],"default":"1.0.0"},
        {"name":"echo","versions":["1.0.0","2.0.0"],"default":"2.0.0"}]}}}"#,
    );
}

#[test]
fn welcome_without_heartbeats_and_agents_has_the_list_of_agents_all_the_same() {
    let mut welcome = Welcome::new(Party::new("acme", "1"), Features::NONE, Vec::new());
    welcome.resume_token = "rt_1".to_owned();
    welcome.resume_window_sec = 1;
    golden(
        &Payload::Welcome(welcome),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.welcome",
        "session_id":"sess_00000000000000000000000002","payload":{
        "runtime":{"name":"acme","version":"1"},"resume_token":"rt_1","resume_window_sec":1,
        "capabilities":{"encodings":["json"],"features":[],"agents":[]}}}"#,
    );
}

#[test]
fn a_hello_that_resumes_is_written_as_it_is_read() {
    let mut hello = Hello::default();
    hello.auth = Some(Auth::bearer("secret"));
    hello.resume = Some(ResumeRequest::new(session_id(), "rt_1", 7));
    let message = Envelope::new(MessageType::Hello, &hello).unwrap();
    let text = message.encode(None, &MessageId::from_bits(1));
    let read = ResumeRequest::read(&decode(&text).unwrap()).unwrap();
    assert_eq!(read, hello.resume);
    let payload: serde_json::Value = serde_json::from_str(message.payload.as_str()).unwrap();
    let wanted = serde_json::json!({
        "session_id": "sess_00000000000000000000000002", "resume_token": "rt_1", "last_event_seq": 7,
    });
    assert_eq!(payload["resume"], wanted);
    let resume = Envelope::of_json(MessageType::Resume, Json::of(&hello.resume).unwrap());
    let text = resume.encode(None, &MessageId::from_bits(1));
    assert_eq!(ResumeRequest::read(&decode(&text).unwrap()).unwrap(), hello.resume);
}

#[test]
fn resume_reads_the_same_wherever_it_was_placed() {
    let frame = joined(
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.resume",
        "session_id":"sess_00000000000000000000000002","payload":{
        "resume_token":"rt_1","last_event_seq":7}}"#,
    );
    let resume = ResumeRequest::read(&decode(&frame).unwrap()).unwrap().unwrap();
    assert_eq!(resume.session_id, Some(session_id()));
    assert_eq!((resume.token.as_str(), resume.last_event_seq), ("rt_1", 7));
    let fields = r#""session_id":"sess_00000000000000000000000002","resume_token":"rt_1","last_event_seq":7"#;
    for (kind, payload) in [
        ("session.resume", format!("{{{fields}}}")),
        ("session.hello", format!(r#"{{{fields},"capabilities":{{}}}}"#)),
        ("session.hello", format!(r#"{{"resume":{{{fields}}}}}"#)),
        ("session.hello", format!(r#"{{"resume":{{{}}}}}"#, fields.replace("resume_token", "token"))),
    ] {
        let frame = format!(r#"{{"arcp":"1.1","id":"1","type":"{kind}","payload":{payload}}}"#);
        let read = ResumeRequest::read(&decode(&frame).unwrap()).unwrap();
        assert_eq!(read.as_ref(), Some(&resume), "{frame}");
    }
}

#[test]
fn ping_and_pong() {
    let sent_at = Some("2026-05-13T19:42:13.000Z".to_owned());
    golden(
        &Payload::Ping(Ping { nonce: "p_1".to_owned(), sent_at: sent_at.clone() }),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.ping",
        "session_id":"sess_00000000000000000000000002","payload":{
        "nonce":"p_1","sent_at":"2026-05-13T19:42:13.000Z"}}"#,
    );
    golden(
        &Payload::Pong(Pong { ping_nonce: "p_1".to_owned(), received_at: sent_at }),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.pong",
        "session_id":"sess_00000000000000000000000002","payload":{
        "ping_nonce":"p_1","received_at":"2026-05-13T19:42:13.000Z"}}"#,
    );
}

#[test]
fn ack() {
    golden(
        &Payload::Ack(Ack { last_processed_seq: u64::MAX }),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.ack",
        "session_id":"sess_00000000000000000000000002","payload":{"last_processed_seq":18446744073709551615}}"#,
    );
}

#[test]
fn close_bye_and_closed_have_one_form() {
    let close = Close { reason: Some("done\nhere".to_owned()) };
    for (payload, kind) in [
        (Payload::Close(close.clone()), "session.close"),
        (Payload::Bye(close.clone()), "session.bye"),
        (Payload::Closed(close), "session.closed"),
    ] {
        golden(
            &payload,
            in_session,
            &r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"KIND",
            "session_id":"sess_00000000000000000000000002","payload":{"reason":"done\nhere"}}"#
                .replace("KIND", kind),
        );
    }
    golden(
        &Payload::Closed(Close::default()),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.closed",
        "session_id":"sess_00000000000000000000000002","payload":{}}"#,
    );
}

#[test]
fn list_jobs_with_a_filter_and_without() {
    let mut filter = JobFilter::default();
    filter.status = Some(vec![Status::Running, Status::TimedOut]);
    filter.agent = Some("echo".to_owned());
    filter.created_after = Some(at("2026-05-13T00:00:00.000Z"));
    let mut list = ListJobs::default();
    list.filter = Some(filter);
    list.limit = Some(50);
    list.cursor = Some("c1".to_owned());
    golden(
        &Payload::ListJobs(list),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.list_jobs",
        "session_id":"sess_00000000000000000000000002","payload":{
        "filter":{"status":["running","timed_out"],"agent":"echo","created_after":"2026-05-13T00:00:00.000Z"},
        "limit":50,"cursor":"c1"}}"#,
    );
    golden(
        &Payload::ListJobs(ListJobs::default()),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.list_jobs",
        "session_id":"sess_00000000000000000000000002","payload":{}}"#,
    );
}

#[test]
fn jobs_has_both_names_of_the_time_and_a_null_on_the_last_page_only() {
    let created = at("2026-05-13T19:42:13.000Z");
    let plain = JobEntry::new(job_id(), "echo@1.0.0".to_owned(), Status::Running, created);
    let mut child = JobEntry::new(JobId::from_bits(4), "web@2.0.0".to_owned(), Status::Success, created);
    child.lease = lease(r#"{"net.fetch":["https://example.com/**"]}"#);
    child.last_event_seq = 3;
    child.trace_id = Some(trace_id());
    child.parent_job_id = Some(job_id());
    golden(
        &Payload::Jobs(Jobs::new(Some(MessageId::from_bits(9)), vec![plain, child], Some("c2".to_owned()))),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.jobs",
        "session_id":"sess_00000000000000000000000002","payload":{
        "request_id":"00000000000000000000000009","jobs":[
        {"job_id":"job_00000000000000000000000003","agent":"echo@1.0.0","status":"running","lease":{},
        "created_at":"2026-05-13T19:42:13.000Z","submitted_at":"2026-05-13T19:42:13.000Z","last_event_seq":0},
        {"job_id":"job_00000000000000000000000004","agent":"web@2.0.0","status":"success",
        "lease":{"net.fetch":["https://example.com/**"]},
        "created_at":"2026-05-13T19:42:13.000Z","submitted_at":"2026-05-13T19:42:13.000Z","last_event_seq":3,
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","parent_job_id":"job_00000000000000000000000003"}],
        "next_cursor":"c2"}}"#,
    );
    golden(
        &Payload::Jobs(Jobs::new(None, Vec::new(), None)),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.jobs",
        "session_id":"sess_00000000000000000000000002","payload":{"jobs":[],"next_cursor":null}}"#,
    );
}

#[test]
fn session_error_names_the_request_and_the_job() {
    let error = Error::fault("payload.agent", "must be \"lower-case\"");
    let refusal = SessionError::new(&error, Some(MessageId::from_bits(9)), Some(job_id()));
    golden(
        &Payload::SessionError(refusal),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.error",
        "session_id":"sess_00000000000000000000000002","payload":{
        "code":"INVALID_REQUEST","message":"payload.agent: must be \"lower-case\"","retryable":false,
        "details":{"path":"payload.agent","rule":"must be \"lower-case\""},
        "request_id":"00000000000000000000000009","job_id":"job_00000000000000000000000003"}}"#,
    );
    let refusal = SessionError::new(&Error::new(Code::Unauthenticated, ""), None, None);
    golden(
        &Payload::SessionError(refusal),
        in_session,
        r#"{"arcp":"1.1","id":"00000000000000000000000001","type":"session.error",
        "session_id":"sess_00000000000000000000000002","payload":{
        "code":"UNAUTHENTICATED","message":"UNAUTHENTICATED","retryable":false}}"#,
    );
}
