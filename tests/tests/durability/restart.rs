//! A process that is killed and another on the same store (§6.3, §14): what was received stays as it
//! was, and what was accepted comes to an end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::Memory;
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{Stack, contiguous_from, open, resumed, start};
use arcp_tests::stores::kept;
use arcp_tests::{ALICE, Memories, Peer, Process};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

/// A process on `store`, and its server.
async fn process(store: &Arc<dyn Store>) -> (Arc<Process>, Memories<Stack>) {
    let process = Arc::new(Process::of(store.clone()));
    let server = start(Some(process.clone()), &Config::default()).await;
    (process, server)
}

/// What one client saw of its session.
#[derive(Default)]
struct Seen {
    welcome: Option<Value>,
    accepted: Vec<String>,
    frames: Vec<Value>,
}

impl Seen {
    fn take(&mut self, frame: Value) {
        match frame["type"].as_str().unwrap() {
            "session.welcome" => self.welcome = Some(frame),
            "job.accepted" => self.accepted.push(frame["job_id"].as_str().unwrap().to_owned()),
            _ if frame["event_seq"].is_u64() => self.frames.push(frame),
            _ => {}
        }
    }
}

/// Opens a session and submits two jobs, as far as that comes.
async fn live(server: &Memories<Stack>, patience: Duration) -> Seen {
    let (mut seen, mut peer) = (Seen::default(), server.connect());
    peer.send("session.hello", arcp_tests::features(ALICE, &arcp_tests::sessions::FEATURES)).await;
    for frame in peer.during(patience).await {
        seen.take(frame);
    }
    if seen.welcome.is_none() {
        return seen;
    }
    for n in 0..2 {
        let input = json!({ "count": 4, "delay_ms": 100 });
        let submit = json!({ "agent": "chatty", "input": input, "idempotency_key": format!("key {n}") });
        peer.send("job.submit", submit).await;
    }
    for frame in peer.during(patience).await {
        seen.take(frame);
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn p1_p7_bad_input_53_a_kill_at_any_commit_takes_back_nothing_that_was_received_and_loses_no_job() {
    let (mut at, mut last) = (0, 0);
    loop {
        // Before the commit is done, and when it is done and nobody has heard of it.
        for done in [false, true] {
            let flaky = Arc::new(FlakyStore::new(MemoryStore::default()));
            let store: Arc<dyn Store> = flaky.clone();
            let (before, server) = process(&store).await;
            (0..at).for_each(|_| flaky.plan_commit(Step::pass()));
            let (step, _hold) = if done { Step::pass().answer_held() } else { Step::pass().held() };
            flaky.plan_commit(step);
            let seen = live(&server, Duration::from_secs(4)).await;
            before.kill();
            drop(server);
            flaky.heal();
            assert!(contiguous_from(1, &seen.frames));

            let (_after, server) = process(&store).await;
            let Some(welcome) = &seen.welcome else {
                open(&server, ALICE).await.0.works().await;
                continue;
            };
            let (mut peer, _) = resumed(&server, ALICE, welcome, 0).await;
            let again = peer.during(Duration::from_secs(4)).await;
            assert!(contiguous_from(1, &again), "{at} {done}");
            assert!(again.starts_with(&seen.frames), "{at} {done}: other bytes than before");
            let mut ends: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
            for end in again.iter().filter(|frame| is_terminal(frame)) {
                ends.entry(end["job_id"].as_str().unwrap()).or_default().push(&end["payload"]);
            }
            for job in &seen.accepted {
                let ends = &ends[job.as_str()];
                assert_eq!(ends.len(), 1, "{at} {done}: one end for each job");
                let restarted = ends[0]["details"]["reason"] == "runtime_restarted";
                assert!(restarted || ends[0]["result"]["emitted"] == 4, "{}", ends[0]);
                assert!(!restarted || ends[0]["retryable"] == true);
            }
            assert!(ends.len() <= 2, "a job that was not accepted may be there, once for each key");
            last = seen.frames.len();
        }
        if last == 10 {
            break;
        }
        at += 1;
    }
    assert!(at > 10, "{at} commits");
}

/// How often each event of a job is in the store, and how often it is numbered.
async fn stored(store: &dyn Store, session: &Value, job: &str) -> (u64, usize, u64) {
    let job = store.job("alice", &job.parse().unwrap()).await.unwrap().unwrap();
    let events = store.job_events(&job.id, 0, usize::MAX).await.unwrap().items.len();
    let session = session.as_str().unwrap().parse().unwrap();
    let runs = store.runs(&session, 0, usize::MAX).await.unwrap().items;
    (job.head, events, runs.iter().map(|run| run.len).sum())
}

#[tokio::test(start_paused = true)]
async fn t28_a_replay_writes_no_event_and_no_number_again() {
    for store in kept() {
        let (_process, mut server) = process(&store).await;
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 50 })).await;
        let frames = peer.job(&job).await;
        let before = stored(&*store, &welcome["session_id"], &job).await;
        assert_eq!(before, (51, 51, 51));
        for from in [0, 20, 50, 51] {
            drop(server);
            server = process(&store).await.1;
            let (mut peer, again) = resumed(&server, ALICE, &welcome, from).await;
            let replay = peer.during(Duration::from_secs(1)).await;
            assert!(replay == frames[usize::try_from(from).unwrap()..]);
            assert_eq!(stored(&*store, &welcome["session_id"], &job).await, before);
            welcome = again;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_kill_before_anybody_came_back_changes_nothing() {
    for store in kept() {
        let (first, server) = process(&store).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 1000, "delay_ms": 100 })).await;
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.push(peer.kind("job.event").await);
        }
        first.kill();
        drop((peer, server));
        for _ in 0..3 {
            let (next, server) = process(&store).await;
            sleep(Duration::from_millis(5)).await;
            next.kill();
            drop(server);
        }
        let (_last, server) = process(&store).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let frames = peer.job(&job).await;
        assert!(contiguous_from(1, &frames) && frames.starts_with(&seen));
        assert_eq!(frames.last().unwrap()["payload"]["details"]["reason"], "runtime_restarted");
    }
}

async fn listed(peer: &mut Peer<Memory>) -> BTreeMap<String, String> {
    let id = peer.send("session.list_jobs", json!({ "limit": 1000 })).await;
    let page = peer.reply(&id).await;
    let jobs = page["payload"]["jobs"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    jobs.map(|job| (text(&job["job_id"]), text(&job["status"]))).collect()
}

#[tokio::test(start_paused = true)]
async fn p7_no_job_is_left_running_that_nobody_runs() {
    for store in kept() {
        let (before, server) = process(&store).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let mut jobs = Vec::new();
        for agent in ["slow", "stubborn", "slow", "echo"] {
            jobs.push(peer.submit(agent, json!({})).await);
        }
        sleep(Duration::from_secs(1)).await;
        before.kill();
        drop((peer, server));
        let (_after, server) = process(&store).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let listed = listed(&mut peer).await;
        assert_eq!(listed.len(), 4);
        for (n, job) in jobs.iter().enumerate() {
            assert_eq!(listed[job], if n == 3 { "success" } else { "error" });
        }
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        for job in &jobs {
            peer.job(job).await;
        }
        assert!(numbers(&peer.during(Duration::from_secs(60)).await).is_empty(), "nothing follows an end");
    }
}
