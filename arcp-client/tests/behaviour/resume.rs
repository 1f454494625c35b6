//! Resuming a session by itself (§6.3), against a runtime that does what the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arcp_client::{
    Client, ClientConfig, ConnectionStatus, JobError, JobEvent, JobHandle, NotResumed, Reason,
};
use arcp_core::transport::Close;
use arcp_core::wire::event::EventBody;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::fake::{self, JOB, Runtime, reachable, resumable, running};

pub(crate) fn text(event: JobEvent) -> String {
    match event.body {
        EventBody::Thought(thought) => thought.text,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn seqs(job: &mut JobHandle, count: usize) -> Vec<u64> {
    job.take(count).map(|event| event.unwrap().event_seq.unwrap()).collect().await
}

/// A session with a job that had three events, the connection of which is lost.
pub(crate) async fn lost() -> (Client, Runtime, JobHandle) {
    let (client, runtime, mut fake) = resumable(&["list_jobs", "subscribe"]).await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 3).await;
    assert_eq!(seqs(&mut job, 3).await, [1, 2, 3]);
    drop(fake);
    (client, runtime, job)
}

pub(crate) fn not_resumed(reason: &Reason) -> (&Reason, &NotResumed) {
    match reason {
        Reason::NotResumed { lost, why } => (lost, why),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_does_not_notice_a_lost_connection() {
    let (client, mut runtime, mut job) = lost().await;
    let mut status = client.status();
    assert_eq!(*status.borrow_and_update(), ConnectionStatus::Connected);
    let (resume, mut fake) = runtime.resumed(&["ack"]).await;
    assert_eq!(resume, json!({"session_id": fake::SESSION, "resume_token": "rt", "last_event_seq": 3}));
    // One that it had already, as some runtimes repeat it.
    let again = json!({"kind": "thought", "body": {"text": "again"}});
    fake.send("job.event", json!({"job_id": JOB, "event_seq": 3}), again).await;
    fake.thoughts(JOB, 2).await;
    fake.result(JOB, json!("done")).await;
    assert_eq!(seqs(&mut job, 9).await, [4, 5]);
    assert_eq!(job.result().await.unwrap().decode(), Ok("done".to_owned()));
    assert!(status.has_changed().unwrap());
    assert_eq!(*status.borrow_and_update(), ConnectionStatus::Connected);
    assert_eq!(client.disconnected(), None);
    // The next time with the newest token.
    drop(fake);
    let (resume, _fake) = runtime.resumed(&[]).await;
    assert_eq!((&resume["resume_token"], &resume["last_event_seq"]), (&json!("rt2"), &json!(6)));
}

#[tokio::test(start_paused = true)]
async fn the_status_says_that_it_is_reconnecting_and_why() {
    let (client, mut runtime, _job) = lost().await;
    let mut status = client.status();
    status.changed().await.unwrap();
    match &*status.borrow_and_update() {
        ConnectionStatus::Reconnecting { attempt: 1, why, .. } => {
            assert!(matches!(why.reason(), Reason::Lost(_)));
        }
        other => panic!("{other:?}"),
    }
    let _fake = runtime.resumed(&[]).await;
    status.changed().await.unwrap();
    assert_eq!(*status.borrow_and_update(), ConnectionStatus::Connected);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_resumed_and_what_is_final_is_not() {
    for (code, resumes) in [
        (1001, true),
        (1006, true),
        (1011, true),
        (1012, true),
        (1013, true),
        (4408, true),
        (1000, false),
        (1008, false),
        (4409, false),
    ] {
        let (client, mut runtime, mut fake) = resumable(&[]).await;
        fake.close(Close::new(code, "bye")).await;
        if resumes {
            runtime.resumed(&[]).await;
            assert_eq!(client.disconnected(), None, "{code}");
        } else {
            let why = client.closed().await;
            assert!(matches!(why.reason(), Reason::ClosedByPeer(close) if close.code == code));
            sleep(Duration::from_secs(60)).await;
            assert!(!runtime.is_called(), "{code}");
        }
    }
    for (code, resumes) in [("HEARTBEAT_LOST", true), ("UNAUTHENTICATED", false)] {
        let (client, mut runtime, mut fake) = resumable(&[]).await;
        fake.send("session.error", json!({}), json!({"code": code, "message": "x"})).await;
        if resumes {
            runtime.resumed(&[]).await;
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!((client.disconnected().is_none(), runtime.is_called()), (resumes, resumes));
    }
}

#[tokio::test(start_paused = true)]
async fn two_silent_intervals_are_a_loss_that_is_resumed() {
    let (client, mut runtime, mut fake) = resumable(&["heartbeat"]).await;
    let start = Instant::now();
    let (_, mut second) = runtime.resumed(&["heartbeat"]).await;
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(fake.next().await["type"], "session.ping");
    assert_eq!(fake.end().await.unwrap().code, Close::NORMAL, "the old connection is closed");
    assert_eq!(second.next().await["type"], "session.ping", "and the new one has heartbeats of its own");
    assert_eq!(client.disconnected(), None);
}

#[tokio::test(start_paused = true)]
async fn t36_a_gap_is_filled_by_a_resume() {
    let (client, mut runtime, mut fake) = resumable(&[]).await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 2).await;
    fake.lose(2);
    fake.thoughts(JOB, 1).await;
    let (resume, mut second) = runtime.resumed(&[]).await;
    assert_eq!(resume["last_event_seq"], 2);
    assert_eq!(fake.end().await.unwrap().code, Close::PROTOCOL);
    second.thoughts(JOB, 3).await;
    second.result(JOB, json!(null)).await;
    assert_eq!(seqs(&mut job, 9).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_late_attempt_of_this_client_took_is_taken_back_and_another_is_not() {
    let taken = || Close::new(Close::TAKEN_OVER, "resumed elsewhere");
    for (later, back) in [(1, true), (6, false)] {
        let (client, mut runtime, _job) = lost().await;
        let silent = runtime.called().await;
        let (_, mut fake) = runtime.resumed(&[]).await;
        sleep(Duration::from_secs(later)).await;
        // The runtime got to see the silent one only now.
        drop(silent);
        fake.close(taken()).await;
        if back {
            let (resume, mut fake) = runtime.resumed(&[]).await;
            assert_eq!(resume["resume_token"], "rt2");
            // That was it; this is somebody else.
            fake.close(taken()).await;
        }
        let why = client.closed().await;
        assert!(matches!(why.reason(), Reason::ClosedByPeer(close) if *close == taken()), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_session_is_no_resume() {
    let (client, mut runtime, _job) = lost().await;
    let mut fake = runtime.called().await;
    fake.next().await;
    fake.raw(fake::again(&[]).replace(fake::SESSION, "sess_other")).await;
    let why = client.closed().await;
    assert_eq!(not_resumed(why.reason()).1, &NotResumed::OtherSession);
    assert!(fake.end().await.is_some(), "and it is not left open");
}

#[tokio::test(start_paused = true)]
async fn the_switch_turns_it_off() {
    let (builder, mut runtime) = reachable(|| true);
    let (client, mut fake) = tokio::join!(builder.resume(false).connect(), async {
        let mut fake = runtime.called().await;
        fake.next().await;
        fake.welcome(&[]).await;
        fake
    });
    let client = client.unwrap();
    let job = running(&client, &mut fake).await;
    drop(fake);
    assert!(matches!(client.closed().await.reason(), Reason::Lost(_)));
    assert!(matches!({ job }.result().await, Err(JobError::Cut(_))));
    sleep(Duration::from_secs(60)).await;
    assert!(!runtime.is_called());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_or_gone_does_not_come_back() {
    let (client, mut runtime, job) = lost().await;
    client.status().wait_for(|status| *status != ConnectionStatus::Connected).await.unwrap();
    let start = Instant::now();
    client.close().await;
    assert_eq!(client.closed().await.reason(), &Reason::ClosedByUs);
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop((client, job));
    assert!(!runtime.is_called());
    let (client, mut runtime, job) = lost().await;
    client.status().wait_for(|status| *status != ConnectionStatus::Connected).await.unwrap();
    drop((client, job));
    sleep(Duration::from_secs(60)).await;
    assert!(!runtime.is_called());
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_after_the_welcome_acknowledges_what_was_processed() {
    let (client, mut runtime, mut fake) = resumable(&["ack"]).await;
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 0);
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 5).await;
    assert_eq!(seqs(&mut job, 3).await, [1, 2, 3]);
    drop(fake);
    let (resume, mut fake) = runtime.resumed(&["ack"]).await;
    assert_eq!(resume["last_event_seq"], 5, "all that arrived");
    let start = Instant::now();
    let ack = fake.next().await;
    assert_eq!((&ack["type"], &ack["payload"]["last_processed_seq"]), (&json!("session.ack"), &json!(3)));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(seqs(&mut job, 2).await, [4, 5]);
    assert_eq!(fake.next().await["payload"]["last_processed_seq"], 5, "and acks go on");
}

#[tokio::test(start_paused = true)]
async fn who_closes_does_not_wait_for_a_connection_that_does_not_come_back() {
    let up = Arc::new(AtomicBool::new(true));
    let (builder, mut runtime) = reachable({
        let up = up.clone();
        move || up.load(Ordering::Relaxed)
    });
    let mut config = ClientConfig::default();
    config.close_wait = Duration::from_secs(100);
    let welcome = async {
        let mut fake = runtime.called().await;
        fake.next().await;
        fake.welcome(&["heartbeat"]).await;
        fake
    };
    let (client, _silent) = tokio::join!(builder.config(config).connect(), welcome);
    let client = client.unwrap();
    up.store(false, Ordering::Relaxed);
    // The runtime answers nothing any more, which is noticed before the wait is over.
    let begun = Instant::now();
    client.close().await;
    assert!(begun.elapsed() <= Duration::from_secs(200), "{:?}", begun.elapsed());
    assert_eq!(client.disconnected().unwrap().reason(), &Reason::ClosedByUs);
}
