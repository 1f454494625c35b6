//! What becomes of the requests that a cut leaves unanswered.

use std::time::Duration;

use arcp_client::{ConnectionStatus, JobError, RequestError};
use arcp_core::Code;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::fake::{self, Fake, JOB, resumable, running};

use crate::resume::{lost, text};

const OTHER: &str = "job_01J00000000000000000000001";

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_repeated_fail_and_the_others_are_sent_again() {
    let features = ["heartbeat", "list_jobs", "subscribe"];
    let (client, mut runtime, mut fake) = resumable(&features).await;
    let job = running(&client, &mut fake).await;
    let asked = async {
        tokio::join!(
            client.submit("echo").send(),
            job.cancel(None),
            client.submit("echo").idempotency_key("k").send(),
            client.subscribe(OTHER.parse().unwrap(), false),
            client.ping(),
            client.list_jobs(arcp_client::JobsFilter::new()).collect::<Vec<_>>(),
        )
    };
    let answers = async {
        let mut frames = Vec::new();
        for _ in 0..6 {
            frames.push(fake.next().await);
        }
        drop(fake);
        let (_, mut fake) = runtime.resumed(&features).await;
        for kind in ["job.submit", "job.subscribe", "session.ping", "session.list_jobs"] {
            let frame = fake.next().await;
            assert_eq!(frame["type"], kind);
            assert!(frames.contains(&frame), "the same once more");
            answer(&mut fake, &frame).await;
        }
        assert!(timeout(Duration::from_secs(5), fake.next()).await.is_err(), "and nothing else");
        fake
    };
    let ((submitted, cancelled, keyed, watched, pinged, listed), _fake) = tokio::join!(asked, answers);
    assert!(matches!(submitted.unwrap_err(), RequestError::Disconnected(_)));
    assert!(matches!(cancelled.unwrap_err(), RequestError::Disconnected(_)));
    assert_eq!(keyed.unwrap().id().as_str(), "job_keyed");
    assert_eq!(watched.unwrap().id().as_str(), OTHER);
    assert!(pinged.unwrap() < Duration::from_millis(50), "from when it was sent again");
    assert_eq!(listed.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_misses_our_heartbeat_refuses_no_request_by_that() {
    let (client, mut runtime, mut fake) = resumable(&["heartbeat"]).await;
    let keyed = tokio::spawn(client.submit("echo").idempotency_key("k").send());
    let submit = fake.next().await;
    fake.send("session.error", json!({}), json!({"code": "HEARTBEAT_LOST", "message": "x"})).await;
    let (_, mut fake) = runtime.resumed(&["heartbeat"]).await;
    assert_eq!(fake.next().await, submit, "the same once more");
    fake.accept(&submit, JOB).await;
    assert_eq!(keyed.await.unwrap().unwrap().id().as_str(), JOB);
}

async fn answer(fake: &mut Fake, frame: &Value) {
    let id = &frame["id"];
    match frame["type"].as_str().unwrap() {
        "job.submit" => {
            assert_eq!(frame["payload"]["idempotency_key"], "k");
            fake.accept(frame, "job_keyed").await;
        }
        "job.subscribe" => {
            let payload =
                json!({"job_id": OTHER, "current_status": "running", "agent": "a", "request_id": id});
            fake.send("job.subscribed", json!({}), payload).await;
        }
        "session.ping" => {
            fake.send("session.pong", json!({}), json!({"ping_nonce": frame["payload"]["nonce"]})).await;
        }
        _ => fake.send("session.jobs", json!({}), json!({"request_id": id, "jobs": []})).await,
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_a_submit_whose_acceptance_was_lost_reach_its_handle() {
    for ends_badly in [false, true] {
        let (client, mut runtime, mut fake) = resumable(&[]).await;
        let submit = client.submit("echo").idempotency_key("k").send();
        let replay = async {
            fake.next().await;
            drop(fake);
            let (_, mut fake) = runtime.resumed(&[]).await;
            // The first submit had been accepted, and the job has ended.
            let submit = fake.next().await;
            if ends_badly {
                fake.numbered("job.error", JOB, json!({"code": "BUDGET_EXHAUSTED", "message": "x"})).await;
            } else {
                fake.thoughts(JOB, 2).await;
                fake.result(JOB, json!(1)).await;
            }
            // One that nobody waits for any more.
            fake.thoughts(OTHER, 1).await;
            fake.accept(&submit, JOB).await;
            fake
        };
        let (job, _fake) = tokio::join!(submit, replay);
        let mut job = job.unwrap();
        let texts = job.by_ref().map(|event| text(event.unwrap())).collect::<Vec<_>>();
        let texts = timeout(Duration::from_secs(60), texts).await.expect("an end");
        match job.result().await {
            Ok(_) => assert_eq!((ends_badly, &*texts), (false, &["0".to_owned(), "1".to_owned()][..])),
            Err(JobError::Ended(failure)) => {
                assert_eq!((ends_badly, failure.error.code()), (true, Code::BudgetExhausted));
            }
            Err(other) => panic!("{other}"),
        }
        sleep(Duration::from_secs(1)).await;
        let point = client.resume_point().unwrap();
        assert_eq!(point.last_event_seq, if ends_badly { 2 } else { 4 }, "nothing is kept for nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_made_without_a_connection_waits_for_one_as_long_as_it_may() {
    let (client, mut runtime, _job) = lost().await;
    client.status().wait_for(|status| *status != ConnectionStatus::Connected).await.unwrap();
    let mut called = runtime.called().await;
    let start = Instant::now();
    assert_eq!(client.submit("echo").send().await.unwrap_err(), RequestError::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(called.next().await["type"], "session.hello");
    let waiting = client.submit("echo").input(&"second").send();
    let accept = async {
        advance(Duration::from_secs(1)).await;
        let mut fake = loop {
            // The hello of an attempt that was given up is still there.
            let mut fake = runtime.called().await;
            if timeout(Duration::from_millis(1), fake.next()).await.is_ok() && !runtime.is_called() {
                break fake;
            }
        };
        fake.raw(fake::again(&[])).await;
        let submit = fake.next().await;
        assert_eq!(submit["payload"]["input"], "second", "the one that was given up is not sent");
        fake.accept(&submit, OTHER).await;
        fake
    };
    let (job, _fake) = tokio::join!(waiting, accept);
    assert_eq!(job.unwrap().id().as_str(), OTHER);
}
