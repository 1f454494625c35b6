//! Resuming a session by itself (§6.3), against a runtime that does what the test says.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_client::{
    Client, ClientConfig, ConnectError, JobError, JobEvent, JobHandle, NotResumed, Reason, RequestError,
    Status,
};
use arcp_core::Code;
use arcp_core::transport::{Close, Received, Transport as _, WebSocket, WsLimits};
use arcp_core::wire::event::EventBody;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::fake::{self, Fake, JOB, Runtime, reachable, resumable, running};

const OTHER: &str = "job_01J00000000000000000000001";

fn text(event: JobEvent) -> String {
    match event.body {
        EventBody::Thought(thought) => thought.text,
        other => panic!("{other:?}"),
    }
}

async fn seqs(job: &mut JobHandle, count: usize) -> Vec<u64> {
    job.take(count).map(|event| event.unwrap().event_seq.unwrap()).collect().await
}

/// A session with a job that had three events, the connection of which is lost.
async fn lost() -> (Client, Runtime, JobHandle) {
    let (client, runtime, mut fake) = resumable(&["list_jobs", "subscribe"]).await;
    let mut job = running(&client, &mut fake).await;
    fake.thoughts(JOB, 3).await;
    assert_eq!(seqs(&mut job, 3).await, [1, 2, 3]);
    drop(fake);
    (client, runtime, job)
}

fn not_resumed(reason: &Reason) -> (&Reason, &NotResumed) {
    match reason {
        Reason::NotResumed { lost, why } => (lost, why),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_does_not_notice_a_lost_connection() {
    let (client, mut runtime, mut job) = lost().await;
    let mut status = client.status();
    assert_eq!(*status.borrow_and_update(), Status::Connected);
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
    assert_eq!(*status.borrow_and_update(), Status::Connected);
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
        Status::Reconnecting { attempt: 1, why, .. } => assert!(matches!(why.reason(), Reason::Lost(_))),
        other => panic!("{other:?}"),
    }
    let _fake = runtime.resumed(&[]).await;
    status.changed().await.unwrap();
    assert_eq!(*status.borrow_and_update(), Status::Connected);
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
            Status::Reconnecting { attempt, since, .. } => {
                at.push(Instant::now());
                assert_eq!((attempt as usize, since), (at.len(), start.into_std()));
            }
            Status::Closed(end) => break end,
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
        assert_eq!(*client.status().borrow(), Status::Closed(why));
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
    client.status().wait_for(|status| *status != Status::Connected).await.unwrap();
    let start = Instant::now();
    client.close().await;
    assert_eq!(client.closed().await.reason(), &Reason::ClosedByUs);
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop((client, job));
    assert!(!runtime.is_called());
    let (client, mut runtime, job) = lost().await;
    client.status().wait_for(|status| *status != Status::Connected).await.unwrap();
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
    client.status().wait_for(|status| *status != Status::Connected).await.unwrap();
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

/// The runtime's end of a byte stream: upgraded, and welcomed with `welcome`. And the hello.
async fn welcomed<S>(io: S, welcome: String) -> (WebSocket<S>, Value)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ws = tokio_tungstenite::accept_async(io).await.unwrap();
    let mut ws = WebSocket::server(ws.into_inner(), WsLimits::default()).await;
    let Received::Frame(hello) = poll_fn(|cx| ws.poll_recv(cx)).await.unwrap() else { panic!("a hello") };
    poll_fn(|cx| ws.poll_ready(cx)).await.unwrap();
    ws.send(welcome).unwrap();
    poll_fn(|cx| ws.poll_flush(cx)).await.unwrap();
    (ws, serde_json::from_str(&hello).unwrap())
}

fn without_backoff() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.backoff_first = Duration::ZERO;
    config
}

/// Waits until a client was resumed with the token of [`fake::again`].
async fn rotated(client: &Client) {
    let mut status = client.status();
    while client.resume_point().unwrap().resume_token != "rt2" {
        status.changed().await.unwrap();
    }
}

#[tokio::test]
async fn it_reconnects_over_websocket_to_the_same_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    let welcome = async |welcome| welcomed(listener.accept().await.unwrap().0, welcome).await;
    let connect = Client::builder(&url).token("secret").config(without_backoff()).connect();
    let (client, (ws, _)) = tokio::join!(connect, welcome(fake::welcome(&[])));
    let client = client.unwrap();
    drop(ws);
    let (_ws, hello) = welcome(fake::again(&[])).await;
    assert_eq!(hello["payload"]["auth"]["token"], "secret", "never by the resume token alone");
    assert_eq!(hello["payload"]["resume"]["resume_token"], "rt");
    rotated(&client).await;
    assert_eq!(client.resume_point().unwrap().url, Some(url));
}

#[tokio::test(start_paused = true)]
async fn it_reconnects_over_streams_of_the_application() {
    let (opened, mut streams) = mpsc::unbounded_channel();
    let builder = Client::builder("wss://somewhere.test/arcp").over_streams(move || {
        let (ours, theirs) = tokio::io::duplex(64);
        opened.send(theirs).unwrap();
        async { Ok(ours) }
    });
    let connect = builder.token("secret").config(without_backoff()).connect();
    let first = async { welcomed(streams.recv().await.unwrap(), fake::welcome(&[])).await };
    let (client, (ws, _)) = tokio::join!(connect, first);
    let client = client.unwrap();
    drop(ws);
    let (_ws, hello) = welcomed(streams.recv().await.unwrap(), fake::again(&[])).await;
    assert_eq!(hello["payload"]["resume"]["resume_token"], "rt");
    rotated(&client).await;
    assert_eq!(client.resume_point().unwrap().url.as_deref(), Some("wss://somewhere.test/arcp"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened_or_has_no_address_is_an_error() {
    let refused = || async { Err::<DuplexStream, _>(io::ErrorKind::ConnectionRefused.into()) };
    let connect = |url: &str| Client::builder(url).over_streams(refused).connect();
    let error = connect("ws://somewhere.test/").await.unwrap_err();
    assert!(matches!(&error, ConnectError::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused), "{error}");
    assert!(matches!(connect("no address at all").await, Err(ConnectError::Url)));
    let silent = || async { Ok(tokio::io::duplex(64).0) };
    let http = Client::builder("http://somewhere.test/").over_streams(silent).connect().await;
    assert!(matches!(http, Err(ConnectError::Url)), "{http:?}");
}
