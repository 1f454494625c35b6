//! Submitting, following, cancelling and watching jobs.

use std::time::Duration;

use arcp_client::{JobError, JobEvent, Reason, RequestError};
use arcp_core::job::{FinalStatus, Status};
use arcp_core::wire::event::EventBody;
use arcp_core::{Code, Timestamp};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use crate::fake::{self, Fake, JOB, quiet, running};

const OTHER: &str = "job_01J00000000000000000000001";

fn text(event: JobEvent) -> String {
    match event.body {
        EventBody::Thought(thought) => thought.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_submit_carries_every_field() {
    let (client, mut fake) = quiet().await;
    let submission = client
        .submit("echo@1.0.0")
        .input(&json!({"a": 1}))
        .lease("fs.read", ["/a/**", "/b"])
        .budget("USD", "5.00")
        .expires_at(Timestamp::parse("2099-05-13T23:42:00Z").unwrap())
        .idempotency_key("k")
        .max_runtime(Duration::from_millis(1500))
        .trace_id("4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap());
    let accept = async {
        let submit = fake.next().await;
        fake.accept(&submit, JOB).await;
        submit
    };
    let (job, submit) = tokio::join!(submission.send(), accept);
    assert_eq!(submit["session_id"], fake::SESSION);
    assert_eq!(submit["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let payload = json!({
        "agent": "echo@1.0.0", "input": {"a": 1},
        "lease_request": {"fs.read": ["/a/**", "/b"], "cost.budget": ["USD:5.00"]},
        "lease_constraints": {"expires_at": "2099-05-13T23:42:00.000Z"},
        "idempotency_key": "k", "max_runtime_sec": 2,
    });
    assert_eq!(submit["payload"], payload);
    let job = job.unwrap();
    assert_eq!(job.id().as_str(), JOB);
    assert_eq!(job.accepted().agent.as_deref(), Some("echo@1.0.0"));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_form_is_refused_before_it_is_sent() {
    let (client, mut fake) = quiet().await;
    for bad in [
        client.submit("No Agent"),
        client.submit("echo").lease("fs.exec", ["x"]),
        client.submit("echo").lease("cost.budget", ["USD"]),
        client.submit("echo").input(&std::collections::BTreeMap::from([((1, 2), 3)])),
        client.submit("echo").input(&"x".repeat(3 << 20)),
    ] {
        let refused = bad.send().await.unwrap_err();
        assert!(matches!(refused, RequestError::Invalid(_)), "{refused}");
    }
    client.close().await;
    assert_eq!(fake.next().await["type"], "session.close", "nothing was sent before it");
}

#[tokio::test(start_paused = true)]
async fn events_come_in_order_and_the_end_is_no_item() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 3).await;
    fake.event(JOB, "x-vendor.acme.note", json!([1])).await;
    fake.numbered("job.result", JOB, json!({"output": {"n": 7}, "summary": "done"})).await;
    for n in 0..3u64 {
        let event = job.next().await.unwrap().unwrap();
        assert_eq!((event.event_seq, event.ts.is_some()), (Some(n + 1), true));
        assert_eq!(text(event), n.to_string());
    }
    let vendor = job.next().await.unwrap().unwrap();
    assert_eq!(vendor.body.kind(), "x-vendor.acme.note");
    assert!(job.next().await.is_none() && job.next().await.is_none());
    for _ in 0..2 {
        let outcome = job.result().await.unwrap();
        assert_eq!(outcome.decode::<Value>().unwrap(), json!({"n": 7}));
        assert_eq!((outcome.summary.as_deref(), outcome.streamed()), (Some("done"), None));
    }
}

#[tokio::test(start_paused = true)]
async fn t62_replies_find_their_submit_out_of_order() {
    let (client, mut fake) = quiet().await;
    let answer = async {
        let (one, two) = (fake.next().await, fake.next().await);
        assert_ne!(one["trace_id"], two["trace_id"], "each submit has a trace of its own");
        fake.accept(&two, OTHER).await;
        fake.accept(&one, JOB).await;
        // Events may follow at once.
        fake.thoughts(OTHER, 1).await;
        fake.result(OTHER, two["payload"]["input"].clone()).await;
        fake.result(JOB, one["payload"]["input"].clone()).await;
    };
    let one = client.submit("echo").input(&1);
    let two = client.submit("echo").input(&2);
    let (one, two, ()) = tokio::join!(one.send(), two.send(), answer);
    for (job, wanted) in [(one.unwrap(), JOB), (two.unwrap(), OTHER)] {
        let mut job = job;
        assert_eq!(job.id().as_str(), wanted);
        assert_eq!(job.result().await.unwrap().decode::<u8>(), Ok(if wanted == JOB { 1 } else { 2 }));
    }
}

fn body() -> Value {
    json!({"code": "AGENT_NOT_AVAILABLE", "message": "no such agent", "retryable": false})
}

fn with(mut payload: Value, key: &str, value: &Value) -> Value {
    payload[key] = value.clone();
    payload
}

/// The envelope's members and the payload of a refusal of this submit.
type Refusal = fn(&Value) -> (&'static str, Value, Value);

#[tokio::test(start_paused = true)]
async fn t4_a_refusal_is_understood_in_each_form() {
    let forms: [Refusal; 7] = [
        |submit| ("session.error", json!({}), with(body(), "request_id", &submit["id"])),
        |submit| ("job.error", json!({}), with(body(), "request_id", &submit["id"])),
        |submit| ("session.error", json!({"id": submit["id"]}), body()),
        |submit| ("job.error", json!({"id": submit["id"]}), body()),
        |submit| ("session.error", json!({}), with(body(), "reply_to", &submit["id"])),
        |_| ("session.error", json!({}), with(body(), "details", &Value::Null)),
        |_| ("job.error", json!({"job_id": OTHER}), with(body(), "job_id", &json!(OTHER))),
    ];
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    for form in forms {
        let refuse = async {
            let submit = fake.next().await;
            let (kind, more, payload) = form(&submit);
            fake.send(kind, more, payload).await;
        };
        let (refused, ()) = tokio::join!(client.submit("nobody").send(), refuse);
        match refused.unwrap_err() {
            RequestError::Refused(error) => assert_eq!(error.code(), Code::AgentNotAvailable),
            other => panic!("{other}"),
        }
    }
    fake.result(JOB, json!("fine")).await;
    assert_eq!(job.result().await.unwrap().decode(), Ok("fine".to_owned()), "no live job was harmed");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_does_not_end_the_job_that_has_it() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    let refuse = async {
        fake.next().await;
        fake.numbered("job.error", JOB, json!({"code": "DUPLICATE_KEY", "message": "taken"})).await;
    };
    let (refused, ()) = tokio::join!(client.submit("echo").idempotency_key("k").send(), refuse);
    assert!(matches!(refused, Err(RequestError::Refused(e)) if e.code() == Code::DuplicateKey));
    fake.result(JOB, json!(1)).await;
    assert!(job.result().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_submit_gets_a_handle_of_its_own() {
    let (client, mut fake) = quiet().await;
    let mut first = running(&client, &mut fake).await;
    let mut second = running(&client, &mut fake).await;
    fake.thoughts(JOB, 1).await;
    fake.result(JOB, json!(1)).await;
    for job in [&mut first, &mut second] {
        assert_eq!(text(job.next().await.unwrap().unwrap()), "0");
        assert!(job.result().await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_an_error_after_the_time_allowed() {
    let (client, mut fake) = quiet().await;
    let start = Instant::now();
    assert_eq!(client.submit("echo").send().await.unwrap_err(), RequestError::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 10);
    // The late acceptance is nobody's, and the next submit is not confused by it.
    let submit = fake.next().await;
    fake.accept(&submit, OTHER).await;
    fake.numbered("job.error", OTHER, json!({"code": "INTERNAL_ERROR", "message": "x"})).await;
    let job = running(&client, &mut fake).await;
    assert_eq!(job.id().as_str(), JOB);
}

#[tokio::test(start_paused = true)]
async fn a_bad_end_and_a_cut_connection_are_told_apart() {
    let ends = [
        (
            "job.error",
            json!({"final_status": "error", "code": "BUDGET_EXHAUSTED", "message": "x"}),
            FinalStatus::Error,
        ),
        ("job.error", json!({"code": "INTERNAL_ERROR", "message": "no status"}), FinalStatus::Error),
        ("job.error", json!({"code": "TIMEOUT", "final_status": "timed_out"}), FinalStatus::TimedOut),
        ("job.result", json!({"final_status": "cancelled"}), FinalStatus::Cancelled),
        ("job.result", json!({"final_status": "timed_out"}), FinalStatus::TimedOut),
    ];
    for (kind, payload, wanted) in ends {
        let (client, mut fake) = quiet().await;
        let mut job = running(&client, &mut fake).await;
        fake.numbered(kind, JOB, payload).await;
        match job.result().await.unwrap_err() {
            JobError::Ended(failure) => assert_eq!(failure.final_status, wanted),
            other => panic!("{other}"),
        }
        assert!(job.next().await.is_none());
        drop(client);
    }
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 1).await;
    fake.close(arcp_core::transport::Close::new(1012, "restart")).await;
    assert!(job.next().await.unwrap().is_ok(), "what came before is not lost");
    let cut = job.next().await.unwrap().unwrap_err();
    assert!(matches!(cut.reason(), Reason::ClosedByPeer(close) if close.code == 1012));
    assert!(job.next().await.is_none());
    assert_eq!(job.result().await.unwrap_err(), JobError::Cut(cut));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_read_is_still_an_end() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    fake.numbered("job.result", JOB, json!({"final_status": 7})).await;
    assert!(matches!(job.result().await, Err(JobError::Damaged(_))));
}

#[tokio::test(start_paused = true)]
async fn t36_a_missing_event_breaks_the_session_and_a_repeated_one_does_not() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 1).await;
    let again = json!({"kind": "thought", "body": {"text": "again"}});
    fake.send("job.event", json!({"job_id": JOB, "event_seq": 1}), again).await;
    fake.thoughts(JOB, 1).await;
    fake.lose(2);
    fake.thoughts(JOB, 1).await;
    for _ in 0..2 {
        assert_eq!(text(job.next().await.unwrap().unwrap()), "0");
    }
    let cut = job.next().await.unwrap().unwrap_err();
    assert_eq!(cut.reason(), &Reason::Gap { expected: 3, arrived: 5 });
    assert!(fake.end().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn t51_a_handle_that_nobody_reads_is_bounded() {
    let (builder, mut fake) = fake::pair();
    let mut config = arcp_client::ClientConfig::default();
    config.job_events = 4;
    let (client, ()) = tokio::join!(builder.config(config).connect(), async {
        fake.next().await;
        fake.welcome(&[]).await;
    });
    let client = client.unwrap();
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 4).await;
    fake.result(JOB, json!(1)).await;
    assert!(job.result().await.is_ok(), "the end fits behind a full queue");
    let job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 5).await;
    let why = client.closed().await;
    assert_eq!(why.reason(), &Reason::Overrun { job_id: job.id().clone() });
    assert_eq!(job.map(|event| event.is_ok()).collect::<Vec<_>>().await, [true, true, true, true, false]);
}

async fn cancelled(fake: &mut Fake, answer: impl AsyncFnOnce(&mut Fake, Value)) {
    let cancel = fake.next().await;
    assert_eq!((&cancel["type"], &cancel["job_id"]), (&json!("job.cancel"), &json!(JOB)));
    let payload = json!({"job_id": JOB, "reason": "cancelled by the client"});
    assert_eq!(cancel["payload"], payload);
    answer(fake, cancel["id"].clone()).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_ends_the_job() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    let runtime = cancelled(&mut fake, async |fake, id| {
        fake.send("job.cancelled", json!({"job_id": JOB}), json!({"job_id": JOB, "request_id": id})).await;
    });
    let (done, ()) = tokio::join!(job.cancel(None), runtime);
    done.unwrap();
    // One runtime reports the agent's own error then.
    fake.numbered("job.error", JOB, json!({"code": "INTERNAL_ERROR", "message": "aborted"})).await;
    match job.result().await.unwrap_err() {
        JobError::Ended(failure) => assert_eq!(failure.final_status, FinalStatus::Cancelled),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_answered_by_the_end_of_the_job_or_by_a_refusal() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    let refusal = json!({"code": "PERMISSION_DENIED", "message": "not yours"});
    let runtime = cancelled(&mut fake, async |fake, _| {
        fake.send("job.error", json!({"job_id": JOB}), refusal).await;
    });
    let (refused, ()) = tokio::join!(job.cancel(None), runtime);
    assert!(matches!(refused, Err(RequestError::Refused(e)) if e.code() == Code::PermissionDenied));
    let runtime = cancelled(&mut fake, async |fake, _| {
        fake.numbered("job.result", JOB, json!({"final_status": "cancelled"})).await;
    });
    let (done, ()) = tokio::join!(job.cancel(None), runtime);
    done.unwrap();
    assert!(matches!(job.result().await, Err(JobError::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn a_streamed_result_is_assembled_whether_it_is_read_or_not() {
    for reads in [true, false] {
        let (client, mut fake) = quiet().await;
        let mut job = running(&client, &mut fake).await;
        for (n, (data, more)) in [("WzEs", true), ("Ml0=", false)].into_iter().enumerate() {
            let body = json!({"result_id": "res_1", "chunk_seq": n, "data": data, "encoding": "base64", "more": more});
            fake.event(JOB, "result_chunk", body).await;
        }
        fake.numbered("job.result", JOB, json!({"result_id": "res_1", "result_size": 5})).await;
        if reads {
            assert_eq!(job.by_ref().count().await, 2);
        }
        let outcome = job.result().await.unwrap();
        assert_eq!(outcome.streamed(), Some(&b"[1,2]"[..]));
        assert_eq!(outcome.decode::<Vec<u8>>(), Ok(vec![1, 2]));
        assert_eq!(outcome.result_id.as_ref().map(ToString::to_string).as_deref(), Some("res_1"));
        assert_eq!(outcome.into_streamed().unwrap(), b"[1,2]");
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn t109_a_streamed_result_with_a_hole_is_no_result() {
    let chunk = |n: u64, more: bool| json!({"result_id": "res_1", "chunk_seq": n, "data": "x", "encoding": "utf8", "more": more});
    let streams =
        [vec![], vec![chunk(0, true)], vec![chunk(1, false)], vec![chunk(0, true), chunk(2, false)]];
    for chunks in streams {
        let (client, mut fake) = quiet().await;
        let mut job = running(&client, &mut fake).await;
        for chunk in chunks {
            fake.event(JOB, "result_chunk", chunk).await;
        }
        fake.numbered("job.result", JOB, json!({"result_id": "res_1"})).await;
        assert!(matches!(job.result().await, Err(JobError::Damaged(_))));
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_of_another_session_can_be_watched() {
    let (client, mut fake) = quiet().await;
    let answer = async {
        let subscribe = fake.next().await;
        assert_eq!((&subscribe["type"], &subscribe["job_id"]), (&json!("job.subscribe"), &json!(OTHER)));
        assert_eq!(subscribe["payload"], json!({"job_id": OTHER, "from_event_seq": 0, "history": true}));
        // Some runtimes send history first.
        fake.thoughts(OTHER, 1).await;
        let payload =
            json!({"job_id": OTHER, "current_status": "running", "agent": "echo@1.0.0", "replayed": 1 == 1});
        fake.send("job.subscribed", json!({}), payload).await;
        fake.thoughts(OTHER, 1).await;
    };
    let (watched, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), answer);
    let mut watched = watched.unwrap();
    assert_eq!(watched.subscribed().current_status, Status::Running);
    for _ in 0..2 {
        assert_eq!(text(watched.next().await.unwrap().unwrap()), "0");
    }
    watched.unsubscribe().await.unwrap();
    let unsubscribe = fake.next().await;
    assert_eq!(
        (&unsubscribe["type"], &unsubscribe["payload"]),
        (&json!("job.unsubscribe"), &json!({"job_id": OTHER}))
    );
    // Words that were under way are nobody's.
    fake.numbered("job.error", OTHER, json!({"code": "INTERNAL_ERROR", "message": "x"})).await;
    running(&client, &mut fake).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_leaves_nothing_behind() {
    let (client, mut fake) = quiet().await;
    for kind in ["session.error", "job.error"] {
        let refuse = async {
            fake.next().await;
            let payload = json!({"code": "JOB_NOT_FOUND", "message": "none", "job_id": OTHER});
            fake.send(kind, json!({}), payload).await;
        };
        let (refused, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), false), refuse);
        assert!(matches!(refused, Err(RequestError::Refused(e)) if e.code() == Code::JobNotFound));
    }
    advance(Duration::from_secs(60)).await;
    assert_eq!(client.disconnected(), None);
}
