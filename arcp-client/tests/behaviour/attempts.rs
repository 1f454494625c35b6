//! When a client tries to resume again, how often and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_client::{ConnectionStatus, JobError, NotResumed, Reason, RequestError};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::Instant;

use crate::fake::{JOB, reachable, resumable, running};

use crate::resume::{lost, not_resumed};

#[tokio::test(start_paused = true)]
async fn a_runtime_that_always_has_the_same_gap_is_not_asked_for_ever_nor_often() {
    let (client, mut runtime, mut fake) = resumable(&[]).await;
    let mut job = running(&client, &mut fake).await;
    fake.lose(1);
    fake.thoughts(JOB, 1).await;
    let (start, mut resumes) = (Instant::now(), 0);
    let broken = async {
        loop {
            let (_, mut fake) = runtime.resumed(&[]).await;
            resumes += 1;
            fake.lose(1);
            fake.thoughts(JOB, 1).await;
        }
    };
    let why = tokio::select! {
        biased;
        why = client.closed() => why,
        () = broken => unreachable!(),
    };
    let (lost, why) = not_resumed(why.reason());
    assert_eq!(lost, &Reason::Gap { expected: 1, arrived: 2 });
    assert!(matches!(why, NotResumed::GaveUp { .. }), "{why}");
    assert!((600..620).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    // 5 s each on average once they are long.
    assert!((60..400).contains(&resumes), "{resumes}");
    assert!(matches!(job.result().await, Err(JobError::Cut(_))));
}

#[tokio::test(start_paused = true)]
async fn attempts_come_at_growing_random_waits_until_the_window_is_over() {
    let ups = Arc::new(AtomicUsize::new(0));
    let (builder, mut runtime) = reachable({
        let ups = ups.clone();
        move || ups.fetch_add(1, Ordering::Relaxed) == 0
    });
    let (client, fake) = tokio::join!(builder.connect(), async {
        let mut fake = runtime.called().await;
        fake.next().await;
        fake.welcome(&[]).await;
        fake
    });
    let client = client.unwrap();
    let mut status = client.status();
    let start = Instant::now();
    drop(fake);
    let mut at = Vec::new();
    let end = loop {
        status.changed().await.unwrap();
        match status.borrow_and_update().clone() {
            ConnectionStatus::Reconnecting { attempt, since, .. } => {
                at.push(Instant::now());
                assert_eq!((attempt as usize, since), (at.len(), start.into_std()));
            }
            ConnectionStatus::Closed(end) => break end,
            other => panic!("{other:?}"),
        }
    };
    for (n, pair) in at.windows(2).enumerate() {
        let most = Duration::from_millis(100 << n.min(7)).min(Duration::from_secs(10));
        let wait = pair[1] - pair[0];
        // The clock of the tests has steps of a millisecond.
        assert!(wait <= most + Duration::from_millis(1), "wait {n} is {wait:?}");
    }
    let long: Duration = at.windows(2).skip(8).map(|pair| pair[1] - pair[0]).sum();
    let mean = long / (u32::try_from(at.len()).unwrap() - 9);
    assert!((3_000..7_000).contains(&mean.as_millis()), "full jitter: {mean:?}");
    assert!((600..601).contains(&start.elapsed().as_secs()), "the welcome's window");
    let (lost, why) = not_resumed(end.reason());
    assert!(matches!(lost, Reason::Lost(_)));
    let tried = u32::try_from(ups.load(Ordering::Relaxed)).unwrap() - 1;
    assert!(matches!(why, NotResumed::GaveUp { attempts, .. } if *attempts == tried), "{why}");
}

#[tokio::test(start_paused = true)]
async fn the_window_can_be_shorter_and_none_at_all() {
    for seconds in [3, 0] {
        let (builder, mut runtime) = reachable(|| true);
        let mut config = arcp_client::ClientConfig::default();
        config.resume_for = Some(Duration::from_secs(seconds));
        let (client, fake) = tokio::join!(builder.config(config).connect(), async {
            let mut fake = runtime.called().await;
            fake.next().await;
            fake.welcome(&[]).await;
            fake
        });
        let start = Instant::now();
        drop(fake);
        // Nobody welcomes anyone any more.
        let why = client.unwrap().closed().await;
        match why.reason() {
            Reason::Lost(_) => assert_eq!((seconds, start.elapsed().as_secs()), (0, 0)),
            other => {
                assert!(matches!(not_resumed(other).1, NotResumed::GaveUp { .. }));
                assert!((3..15).contains(&start.elapsed().as_secs()), "an attempt is not cut short");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t20_a_refusal_that_is_final_ends_every_handle() {
    for code in ["RESUME_WINDOW_EXPIRED", "PERMISSION_DENIED", "UNAUTHENTICATED"] {
        let (client, mut runtime, mut job) = lost().await;
        let mut fake = runtime.called().await;
        fake.next().await;
        fake.send("session.error", json!({}), json!({"code": code, "message": "no"})).await;
        let why = client.closed().await;
        let NotResumed::Refused(error) = not_resumed(why.reason()).1 else { panic!("{why}") };
        assert_eq!(error.code().as_str(), code);
        assert_eq!(job.next().await.unwrap().unwrap_err(), why);
        assert!(job.next().await.is_none());
        assert_eq!(job.result().await.unwrap_err(), JobError::Cut(why.clone()));
        assert_eq!(client.submit("echo").send().await.unwrap_err(), RequestError::Disconnected(why.clone()));
        assert_eq!(*client.status().borrow(), ConnectionStatus::Closed(why));
        assert!(!runtime.is_called());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_may_pass_is_tried_again_and_so_is_a_welcome_that_does_not_come() {
    let (_client, mut runtime, mut job) = lost().await;
    let mut fake = runtime.called().await;
    fake.next().await;
    let busy = json!({"code": "INTERNAL_ERROR", "message": "the store", "retryable": true});
    fake.send("session.error", json!({}), busy).await;
    // Cut during the welcome.
    let mut fake = runtime.called().await;
    fake.next().await;
    drop(fake);
    // No answer at all.
    let silent = runtime.called().await;
    let (resume, mut fake) = runtime.resumed(&[]).await;
    assert_eq!(resume["resume_token"], "rt", "the token of a welcome that did not arrive is not known");
    drop(silent);
    fake.result(JOB, json!(1)).await;
    job.result().await.unwrap();
}
