//! A graceful stop (§6.4, §14): nothing new is taken, what runs ends or is left to run again, everybody
//! is told and closed in time, and nothing is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{Store, StoreError};
use arcp_core::transport::{Close, Memory};
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{FEATURES, Stack, code, contiguous_from, open, resume, resumed, say};
use arcp_tests::stores::{kept, stores};
use arcp_tests::wire::request;
use arcp_tests::{ALICE, BOB, Memories, Peer, Process, Server, agents, tokens};
use arcp_tower::{AuthLayer, Config, Handle, Job, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::Instant;

const TEN: Duration = Duration::from_secs(10);

/// A process on `store`, and the hold on its runtime. `again` is an agent that can be run again.
async fn start(store: Option<Arc<dyn Store>>, config: &Config) -> (Handle, Memories<Stack>) {
    start_behind(store, config, config).await
}

/// The same, behind a route that was given its bounds by itself.
async fn start_behind(
    store: Option<Arc<dyn Store>>,
    config: &Config,
    route: &Config,
) -> (Handle, Memories<Stack>) {
    let again = |ms: u64, job: Job| async move {
        job.status("begun").await?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok("done at last")
    };
    let builder = agents::all(Runtime::builder()).restartable_agent("again", agent_fn(again));
    let builder = builder.config(config.clone());
    let runtime = match store {
        Some(store) => builder.store(store).open().await.unwrap(),
        None => builder.build().unwrap(),
    };
    (runtime.handle(), Memories::of(runtime.layer(AuthLayer::new(tokens())), route))
}

fn is_told(frame: &Value) -> bool {
    frame["payload"]["kind"] == "status" && frame["payload"]["body"]["phase"] == "draining"
}

/// Numbered frames up to the close of the connection, and its code.
async fn to_the_close(peer: &mut Peer<Memory>) -> (Vec<Value>, u16) {
    let code = peer.closed().await.code;
    let mut frames = peer.during(Duration::ZERO).await;
    frames.retain(|frame| frame["event_seq"].is_u64());
    (frames, code)
}

/// How each job ended, which each does once.
fn ends(frames: &[Value]) -> BTreeMap<String, &Value> {
    let mut ends = BTreeMap::new();
    for frame in frames.iter().filter(|frame| is_terminal(frame)) {
        let before = ends.insert(frame["job_id"].as_str().unwrap().to_owned(), &frame["payload"]);
        assert!(before.is_none(), "it ended twice: {frame}");
    }
    ends
}

#[tokio::test(start_paused = true)]
async fn a_hundred_jobs_of_fifty_sessions_end_or_can_be_resumed_and_all_are_out_by_the_deadline() {
    for store in stores() {
        let config = Config::default();
        let (handle, server) = start(store.clone(), &config).await;
        let mut clients = Vec::new();
        for n in 0..50_u64 {
            let (mut peer, welcome) = open(&server, if n % 2 == 0 { ALICE } else { BOB }).await;
            // One of each ends in time for half of them, and others later, never, or whatever they are told.
            let slow = peer.submit("slow", json!({ "ms": 100 + 400 * n })).await;
            let other = match n % 5 {
                0 => peer.submit("stubborn", json!({ "ms": 3_600_000 })).await,
                1 => peer.submit("again", json!(15_000)).await,
                2 => peer.submit("chatty", json!({ "count": 200, "delay_ms": 100 })).await,
                3 => peer.submit("slow", json!({})).await,
                _ => peer.submit("slow", json!({ "ms": 100 + 100 * n })).await,
            };
            clients.push((peer, welcome, [slow, other]));
        }
        let began = Instant::now();
        let draining = tokio::spawn(async move { handle.drain(TEN).await });
        let mut sessions = Vec::new();
        for (n, (mut peer, welcome, jobs)) in clients.into_iter().enumerate() {
            let (frames, code) = to_the_close(&mut peer).await;
            assert_eq!(code, Close::RESTART, "{n}");
            assert!(contiguous_from(1, &frames));
            let ended = ends(&frames);
            for (which, job) in jobs.iter().enumerate() {
                let left = store.is_some() && which == 1 && n % 5 == 1;
                assert_eq!(!ended.contains_key(job), left, "{n} {which}");
                let Some(end) = ended.get(job) else { continue };
                let stopped = end["details"]["reason"] == "runtime_stopped";
                assert!(!stopped || (end["code"] == "INTERNAL_ERROR" && end["retryable"] == true), "{end}");
                assert!(stopped || end.get("result").is_some(), "{end}");
            }
            assert_eq!(frames.iter().filter(|frame| is_told(frame)).count(), 1, "{n} is told once");
            sessions.push((welcome, jobs, frames));
        }
        let drained = draining.await.unwrap();
        assert!(began.elapsed() <= TEN, "{:?}", began.elapsed());
        assert!(drained.is_whole(), "{drained:?}");
        assert_eq!((drained.sessions_closed, drained.sessions_cut), (50, 0));
        let jobs = drained.jobs_finished + drained.jobs_stopped + drained.jobs_left;
        assert_eq!((jobs, drained.jobs_left), (100, if store.is_some() { 10 } else { 0 }), "{drained:?}");
        assert!(drained.jobs_finished >= 25, "{drained:?}");
        drop(server);

        let Some(store) = store else { continue };
        let (_handle, server) = start(Some(store), &Config::default()).await;
        for (n, (welcome, jobs, before)) in sessions.iter().enumerate() {
            let token = if n % 2 == 0 { ALICE } else { BOB };
            let (mut peer, _) = resumed(&server, token, welcome, 0).await;
            let after = peer.during(Duration::from_secs(16)).await;
            assert!(after.starts_with(before), "{n}: the same bytes under the same numbers");
            let ended = ends(&after);
            assert!(jobs.iter().all(|job| ended.contains_key(job)), "{n}: none is lost");
            if n % 5 == 1 {
                assert_eq!(ended[&jobs[1]]["result"], "done at last", "{n}: it ran again");
            } else {
                assert_eq!(after.len(), before.len(), "{n}: nothing is new");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_taken_and_every_refusal_says_that_it_can_be_tried_again() {
    let routes = stores().into_iter().flat_map(|store| [(store.clone(), false), (store, true)]);
    for (store, apart) in routes {
        let config = Config::default();
        let route = if apart { Config::default() } else { config.clone() };
        let (handle, server) = start_behind(store, &config, &route).await;
        let (mut busy, _) = open(&server, ALICE).await;
        let job = busy.submit("slow", json!({ "ms": 5000 })).await;
        let (mut idle, welcome) = open(&server, BOB).await;
        let draining = tokio::spawn({
            let handle = handle.clone();
            async move { handle.drain(TEN).await }
        });
        // Who has nothing to wait for is out at once.
        let began = Instant::now();
        assert_eq!(idle.closed().await.code, Close::RESTART);
        assert!(began.elapsed() < Duration::from_millis(100) && handle.is_draining());

        let refused = |answer: &Value| {
            assert_eq!(code(answer), "INTERNAL_ERROR", "{answer}");
            assert_eq!(answer["payload"]["details"]["reason"], "draining");
            assert_eq!(answer["payload"]["retryable"], true);
        };
        let (mut late, answer) = say(&server, arcp_tests::features(BOB, &FEATURES)).await;
        refused(&answer);
        assert_eq!(late.closed().await.code, Close::RESTART);
        let (mut late, answer) = say(&server, resume(BOB, &welcome, 0)).await;
        refused(&answer);
        assert_eq!(late.closed().await.code, Close::RESTART);
        let id = busy.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
        refused(&busy.reply(&id).await);
        // What is there goes on as before.
        busy.ping("still here").await;
        let frames = busy.job(&job).await;
        assert_eq!(frames.last().unwrap()["payload"]["result"], "slept");
        assert_eq!(busy.closed().await.code, Close::RESTART);
        let drained = draining.await.unwrap();
        assert!(drained.is_whole() && began.elapsed() < Duration::from_secs(6), "{drained:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_with_many_jobs_is_told_once_and_an_observer_is_told_too() {
    let (handle, server) = start(None, &Config::default()).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(peer.submit("slow", json!({ "ms": 1000 })).await);
    }
    let (mut watcher, _) = open(&server, ALICE).await;
    for job in &jobs {
        watcher.subscribe(job, false).await;
    }
    let (drained, (own, _), (watched, _)) =
        tokio::join!(handle.drain(TEN), to_the_close(&mut peer), to_the_close(&mut watcher));
    for frames in [own, watched] {
        assert_eq!(frames.iter().filter(|frame| is_told(frame)).count(), 1);
        assert_eq!(ends(&frames).len(), 5);
    }
    assert_eq!((drained.sessions_closed, drained.jobs_finished), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_at_the_deadline_and_resumes_later() {
    for store in kept() {
        let (handle, server) = start(Some(store.clone()), &Config::default()).await;
        let mut deaf = server.narrow(1);
        let welcome = deaf.hello(ALICE, &FEATURES).await;
        let job = deaf.submit("chatty", json!({ "count": 500, "delay_ms": 1 })).await;
        let began = Instant::now();
        let drained = handle.drain(TEN).await;
        assert!(began.elapsed() <= TEN + Duration::from_millis(1), "{:?}", began.elapsed());
        let counted = (drained.sessions_closed, drained.sessions_cut, drained.jobs_finished);
        assert_eq!(counted, (0, 1, 1), "{drained:?}");
        assert!(!drained.is_whole() && drained.written);
        drop((deaf, server));
        let (_handle, server) = start(Some(store), &Config::default()).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let frames = peer.job(&job).await;
        assert!(contiguous_from(1, &frames) && frames.len() >= 501);
        assert_eq!(*numbers(&frames).last().unwrap(), frames.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_holds_nothing_up_beyond_the_deadline_and_no_job_is_lost() {
    for store in kept() {
        let process = Arc::new(Process::of(store.clone()));
        let (handle, server) = start(Some(process.clone()), &Config::default()).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("slow", json!({ "ms": 3_600_000 })).await;
        peer.next().await;
        process.refuse("alice", &StoreError::Unavailable { retry_after: Duration::from_millis(50) });
        let began = Instant::now();
        let drained = handle.drain(TEN).await;
        assert!(began.elapsed() <= TEN + Duration::from_millis(1), "{:?}", began.elapsed());
        assert!(!drained.is_whole(), "{drained:?}");
        process.kill();
        let (_handle, server) = start(Some(store), &Config::default()).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let frames = peer.job(&job).await;
        assert_eq!(frames.last().unwrap()["payload"]["details"]["reason"], "runtime_restarted");
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_everything_is_cut_at_once_and_what_ran_ends_when_the_store_is_opened_next() {
    for store in kept() {
        let (handle, server) = start(Some(store.clone()), &Config::default()).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("slow", json!({})).await;
        let drained = handle.drain(Duration::ZERO).await;
        assert_eq!((drained.sessions_cut, drained.jobs_unsettled), (1, 1), "{drained:?}");
        assert_eq!(peer.closed().await.code, Close::RESTART);
        drop(server);
        let (_handle, server) = start(Some(store), &Config::default()).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert_eq!(ends(&peer.job(&job).await).len(), 1);
    }
}

/// The status that an upgrade is answered with.
async fn status(server: &Server) -> String {
    let head = "GET /arcp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = request(&mut server.tcp().await, head).await;
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn upgrades_are_answered_with_503_while_what_is_open_goes_on() {
    for apart in [false, true] {
        let config = Config::default();
        let route = if apart { Config::default() } else { config.clone() };
        let runtime = agents::all(Runtime::builder()).config(config.clone()).build().unwrap();
        let handle = runtime.handle();
        let server = Server::of(runtime.layer(AuthLayer::new(tokens())), &route).await;
        let mut peer = server.open(ALICE, &FEATURES).await;
        let job = peer.submit("slow", json!({ "ms": 600 })).await;
        let silent = server.connect().await;
        assert_eq!(status(&server).await, "101");
        let draining = tokio::spawn(async move { handle.drain(TEN).await });
        while !config.door.is_draining() {
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&server).await, "503", "{apart}");
        peer.job(&job).await;
        assert_eq!(peer.closed().await.code, Close::RESTART);
        let began = std::time::Instant::now();
        let drained = draining.await.unwrap();
        assert!(
            drained.is_whole() && began.elapsed() < Duration::from_secs(3),
            "who never said hello is not waited for"
        );
        assert!(apart || server.connections() == 0);
        drop(silent);
        server.stop().await;
    }
}
