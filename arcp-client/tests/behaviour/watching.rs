//! Several who watch one job in one session, and those who watch it no longer (§7.6).

use std::time::Duration;

use arcp_client::{Client, ConnectionStatus, RequestError, Subscription};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::fake::{Fake, JOB, quiet, resumable, running};

const OTHER: &str = "job_01J00000000000000000000001";

async fn answer(fake: &mut Fake) {
    answer_after(fake, 0).await;
}

/// Answers a subscription, and says before what it was about to say anyway.
async fn answer_after(fake: &mut Fake, thoughts: usize) {
    let subscribe = fake.next().await;
    assert_eq!(subscribe["type"], "job.subscribe", "{subscribe}");
    fake.thoughts(OTHER, thoughts).await;
    let payload = json!({"job_id": OTHER, "current_status": "running", "agent": "echo@1.0.0", "request_id": subscribe["id"]});
    fake.send("job.subscribed", json!({}), payload).await;
}

async fn watching(client: &Client, fake: &mut Fake) -> Subscription {
    let (watched, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), answer(fake));
    watched.unwrap()
}

async fn unsubscribed(fake: &mut Fake) -> bool {
    match timeout(Duration::from_secs(5), fake.next()).await {
        Ok(frame) => frame["type"] == "job.unsubscribe" && frame["job_id"] == OTHER,
        Err(_) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_watched_as_long_as_anybody_here_watches_it() {
    let (client, mut fake) = quiet().await;
    let first = watching(&client, &mut fake).await;
    let mut second = watching(&client, &mut fake).await;
    first.unsubscribe().await.unwrap();
    assert!(!unsubscribed(&mut fake).await, "the other one watches it still");
    fake.thoughts(OTHER, 1).await;
    fake.result(OTHER, json!(7)).await;
    assert!(second.next().await.unwrap().is_ok());
    assert_eq!(second.result().await.unwrap().decode::<u8>(), Ok(7));
    drop(second);
    assert!(!unsubscribed(&mut fake).await, "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_dropped_ends() {
    let (client, mut fake) = quiet().await;
    let watched = watching(&client, &mut fake).await;
    drop(watched);
    assert!(unsubscribed(&mut fake).await);
    // Given up before the answer, and after it.
    for answered in [false, true] {
        let wait = timeout(Duration::from_secs(1), client.subscribe(OTHER.parse().unwrap(), true));
        assert!(wait.await.is_err());
        if answered {
            answer(&mut fake).await;
        } else {
            assert_eq!(fake.next().await["type"], "job.subscribe");
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert!(unsubscribed(&mut fake).await, "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_a_job_was_watched_no_longer_is_not_taken_for_what_is_watched_next() {
    let (client, mut fake) = quiet().await;
    let first = watching(&client, &mut fake).await;
    fake.thoughts(OTHER, 3).await;
    drop(first);
    let again = async {
        assert!(unsubscribed(&mut fake).await);
        answer_after(&mut fake, 3).await;
        fake.event(OTHER, "thought", json!({"text": "history"})).await;
        fake.result(OTHER, json!(1)).await;
    };
    let (watched, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), again);
    let events: Vec<_> =
        watched.unwrap().map(|event| event.unwrap().payload.as_str().to_owned()).collect().await;
    assert!(events.len() == 1 && events[0].contains("history"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn of_many_subscriptions_that_are_dropped_at_once_each_ends() {
    let (client, mut fake) = quiet().await;
    let mut watched = Vec::new();
    for n in 0..100_u128 {
        let job = arcp_core::JobId::from_bits(n);
        let answer = async {
            let subscribe = fake.next().await;
            let payload = json!({"job_id": job, "current_status": "running", "agent": "echo@1.0.0", "request_id": subscribe["id"]});
            fake.send("job.subscribed", json!({}), payload).await;
        };
        watched.push(tokio::join!(client.subscribe(job.clone(), false), answer).0.unwrap());
    }
    drop(watched);
    let mut ended = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let frame = fake.next().await;
        assert_eq!(frame["type"], "job.unsubscribe");
        ended.insert(frame["job_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ended.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_under_way_is_not_that_of_who_watches_the_job_next() {
    let (client, mut fake) = quiet().await;
    drop(watching(&client, &mut fake).await);
    let again = async {
        assert!(unsubscribed(&mut fake).await);
        let subscribe = fake.next().await;
        fake.result(OTHER, json!("of the first")).await;
        let payload = json!({"job_id": OTHER, "current_status": "success", "agent": "echo@1.0.0", "request_id": subscribe["id"]});
        fake.send("job.subscribed", json!({}), payload).await;
        fake.thoughts(OTHER, 2).await;
        fake.result(OTHER, json!("of the second")).await;
    };
    let (watched, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), again);
    let mut watched = watched.unwrap();
    assert_eq!(watched.by_ref().count().await, 2);
    assert_eq!(watched.result().await.unwrap().decode::<String>().unwrap(), "of the second");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_submitted_again_after_it_was_watched_is_heard_at_once() {
    let (client, mut fake) = quiet().await;
    drop(watching(&client, &mut fake).await);
    assert!(unsubscribed(&mut fake).await);
    let accept = async {
        let submit = fake.next().await;
        fake.accept(&submit, OTHER).await;
        fake.thoughts(OTHER, 2).await;
        fake.result(OTHER, json!(1)).await;
    };
    let (job, ()) = tokio::join!(client.submit("echo").idempotency_key("k").send(), accept);
    let mut job = job.unwrap();
    let heard = timeout(Duration::from_secs(5), job.by_ref().count()).await;
    assert_eq!(heard.expect("its events and its end come at once"), 2);
    // It is this session's own now: that it is watched no longer is nothing to tell.
    drop(watching(&client, &mut fake).await);
    assert!(!unsubscribed(&mut fake).await);
    job.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn that_a_job_is_watched_no_longer_is_said_again_after_a_resume_and_before_it_is_watched_again() {
    // The job is watched again before the connection is lost, or while there is none.
    for before in [true, false] {
        let (client, mut runtime, mut fake) = resumable(&["subscribe"]).await;
        drop(watching(&client, &mut fake).await);
        assert!(unsubscribed(&mut fake).await);
        // Longer than what comes of it is taken for what was under way.
        sleep(Duration::from_secs(20)).await;
        let mut fake = Some(fake);
        if !before {
            drop(fake.take());
            client.status().wait_for(|status| *status != ConnectionStatus::Connected).await.unwrap();
        }
        let again = async {
            if let Some(mut fake) = fake {
                assert_eq!(fake.next().await["type"], "job.subscribe");
            }
            let (_, mut fake) = runtime.resumed(&["subscribe"]).await;
            // The runtime went on as nobody had told it.
            fake.thoughts(OTHER, 3).await;
            assert!(unsubscribed(&mut fake).await, "{before}");
            answer(&mut fake).await;
            fake.event(OTHER, "thought", json!({"text": "history"})).await;
            fake.result(OTHER, json!(1)).await;
            assert!(
                timeout(Duration::from_secs(5), fake.next()).await.is_err(),
                "{before}: and nothing else"
            );
            fake
        };
        let (watched, fake) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), again);
        let events = watched.unwrap().map(|event| event.unwrap().payload.as_str().to_owned());
        let events: Vec<_> = events.collect().await;
        assert!(events.len() == 1 && events[0].contains("history"), "{before}: {events:?}");
        // It is watched, and was then seen to its end: there is nothing to take back.
        drop(fake);
        let (_, mut fake) = runtime.resumed(&["subscribe"]).await;
        assert!(timeout(Duration::from_secs(60), fake.next()).await.is_err(), "{before}: no more of it");
    }
}

#[tokio::test(start_paused = true)]
async fn that_a_job_is_watched_no_longer_is_not_said_to_a_runtime_that_cannot_be_told() {
    let (client, mut runtime, mut fake) = resumable(&["subscribe"]).await;
    drop(watching(&client, &mut fake).await);
    assert!(unsubscribed(&mut fake).await);
    drop(fake);
    let (_, mut fake) = runtime.resumed(&[]).await;
    sleep(Duration::from_secs(20)).await;
    fake.thoughts(OTHER, 3).await;
    assert!(timeout(Duration::from_secs(60), fake.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_to_come_of_a_job_that_is_watched_no_longer_has_the_runtime_told_again() {
    let (client, mut fake) = quiet().await;
    drop(running(&client, &mut fake).await);
    drop(watching(&client, &mut fake).await);
    assert!(unsubscribed(&mut fake).await);
    for _ in 0..3 {
        // What was under way, and what was not.
        fake.thoughts(OTHER, 3).await;
        assert!(!unsubscribed(&mut fake).await);
        sleep(Duration::from_secs(10)).await;
        fake.thoughts(OTHER, 3).await;
        assert!(unsubscribed(&mut fake).await);
        // Of a job of this session nobody may be told that, whoever listens.
        fake.thoughts(JOB, 3).await;
    }
    // Not behind a request to watch it again.
    sleep(Duration::from_secs(20)).await;
    let again = async {
        let subscribe = fake.next().await;
        assert_eq!(subscribe["type"], "job.subscribe");
        fake.thoughts(OTHER, 3).await;
        assert!(!unsubscribed(&mut fake).await);
        let payload = json!({"job_id": OTHER, "current_status": "running", "agent": "echo@1.0.0", "request_id": subscribe["id"]});
        fake.send("job.subscribed", json!({}), payload).await;
        fake.result(OTHER, json!(1)).await;
    };
    let (watched, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), again);
    watched.unwrap().result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_whose_answer_cannot_be_read_ends() {
    let (client, mut fake) = quiet().await;
    let garbled = async {
        let subscribe = fake.next().await;
        let payload = json!({"job_id": OTHER, "current_status": 7, "request_id": subscribe["id"]});
        fake.send("job.subscribed", json!({}), payload).await;
        assert!(unsubscribed(&mut fake).await);
    };
    let (watched, ()) = tokio::join!(client.subscribe(OTHER.parse().unwrap(), true), garbled);
    assert!(matches!(watched.unwrap_err(), RequestError::Unreadable(_)));
}
