//! Acknowledging what the application has processed (§6.5).

use std::time::Duration;

use arcp_client::{Client, ClientConfig};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::fake::{Fake, JOB, opened, pair, running};

const OTHER: &str = "job_01J00000000000000000000001";

/// The number of the next ack.
async fn acked(fake: &mut Fake) -> u64 {
    let ack = fake.next().await;
    assert_eq!(ack["type"], "session.ack");
    ack["payload"]["last_processed_seq"].as_u64().unwrap()
}

async fn silent(fake: &mut Fake) -> bool {
    timeout(Duration::from_secs(5), fake.next()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn acks_follow_the_application_and_are_few() {
    let (client, mut fake) = opened(&["ack"]).await;
    assert_eq!(acked(&mut fake).await, 0, "it says that it acks");
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 10).await;
    assert!(silent(&mut fake).await, "nothing was taken");
    let start = Instant::now();
    for _ in 0..7 {
        job.next().await.unwrap().unwrap();
    }
    assert_eq!(acked(&mut fake).await, 7, "one ack for all that was taken");
    assert_eq!(start.elapsed().as_millis() / 10, 20);
    fake.thoughts(JOB, 200).await;
    let start = Instant::now();
    for _ in 0..203 {
        job.next().await.unwrap().unwrap();
    }
    let first = acked(&mut fake).await;
    assert!(
        first >= 7 + 128 && start.elapsed() < Duration::from_millis(200),
        "many are acknowledged at once"
    );
    if first < 210 {
        assert_eq!(acked(&mut fake).await, 210);
    }
    assert!(silent(&mut fake).await);
}

#[tokio::test(start_paused = true)]
async fn an_unread_job_holds_the_ack_back_until_its_handle_is_dropped() {
    let (client, mut fake) = opened(&["ack"]).await;
    acked(&mut fake).await;
    let unread = running(&client, &mut fake).await;
    fake.thoughts(JOB, 2).await;
    let (read, ()) = tokio::join!(client.submit("echo").send(), async {
        let submit = fake.next().await;
        fake.accept(&submit, OTHER).await;
        fake.thoughts(OTHER, 2).await;
        fake.result(OTHER, json!(1)).await;
    });
    read.unwrap().result().await.unwrap();
    assert!(silent(&mut fake).await, "1 and 2 are not processed");
    drop(unread);
    assert_eq!(acked(&mut fake).await, 5);
    fake.thoughts(JOB, 3).await;
    fake.numbered("job.error", JOB, json!({"code": "INTERNAL_ERROR", "message": "x"})).await;
    assert_eq!(acked(&mut fake).await, 9, "later events of the dropped handle count too");
}

#[tokio::test(start_paused = true)]
async fn without_the_feature_nothing_is_acknowledged() {
    let (client, mut fake) = opened(&[]).await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 3).await;
    fake.result(JOB, json!(1)).await;
    job.result().await.unwrap();
    assert!(silent(&mut fake).await);
}

/// A client that acknowledges what it did not take once 100 wait, of handles with room for 1,000.
async fn ahead() -> (Client, Fake) {
    let (builder, mut fake) = pair();
    let mut config = ClientConfig::default();
    (config.unread, config.job_events) = (100, 1000);
    let welcome = async {
        fake.next().await;
        fake.welcome(&["ack"]).await;
    };
    let (client, ()) = tokio::join!(builder.config(config).connect(), welcome);
    acked(&mut fake).await;
    (client.unwrap(), fake)
}

#[tokio::test(start_paused = true)]
async fn who_waited_and_has_not_looked_yet_at_what_came_does_not_wait_any_more() {
    let (client, mut fake) = ahead().await;
    let mut job = running(&client, &mut fake).await;
    assert!(timeout(Duration::from_millis(1), job.next()).await.is_err());
    fake.thoughts(JOB, 150).await;
    assert!(silent(&mut fake).await, "its own events are there, and none of them was taken");
    job.next().await.unwrap().unwrap();
    assert_eq!(acked(&mut fake).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_reads_yet_does_not_hold_up_one_that_is_waited_for_until_it_is_half_full() {
    let (client, mut fake) = ahead().await;
    let mut unread = running(&client, &mut fake).await;
    let accept = async {
        let submit = fake.next().await;
        fake.accept(&submit, OTHER).await;
    };
    let (other, ()) = tokio::join!(client.submit("echo").send(), accept);
    let mut other = other.unwrap();
    fake.thoughts(JOB, 101).await;
    assert!(silent(&mut fake).await, "nobody waits for anything");
    let waits = tokio::spawn(async move { other.result().await });
    assert_eq!(acked(&mut fake).await, 101);
    assert_eq!(client.resume_point().map(|point| point.last_event_seq), Some(0), "none of them was taken");
    fake.thoughts(JOB, 700).await;
    let mut last = 0;
    while let Ok(frame) = timeout(Duration::from_secs(5), fake.next()).await {
        last = frame["payload"]["last_processed_seq"].as_u64().unwrap();
    }
    assert!((101..500 + 128).contains(&last), "it is half full, and its runtime waits: {last}");
    for _ in 0..400 {
        unread.next().await.unwrap().unwrap();
    }
    while last < 801 {
        last = acked(&mut fake).await;
    }
    fake.result(OTHER, json!(1)).await;
    waits.await.unwrap().unwrap();
}
