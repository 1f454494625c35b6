//! Acknowledging what the application has processed (§6.5).

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::fake::{Fake, JOB, opened, running};

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
