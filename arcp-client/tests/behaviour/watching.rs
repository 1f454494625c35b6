//! Several who watch one job in one session, and those who watch it no longer (§7.6).

use std::time::Duration;

use arcp_client::{Client, Subscription};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::timeout;

use crate::fake::{Fake, quiet};

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
