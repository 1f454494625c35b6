//! What holds whatever happens in whatever order, on virtual time.

use std::time::Duration;

use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::{ALICE, ALL, Memories, guarded, tokens};
use arcp_tower::layer::Auth;
use arcp_tower::{AuthLayer, BearerTokens, Config, Job, Runtime, agent_fn};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, advance};

type Everything = Memories<Auth<BearerTokens, Runtime>>;

pub(crate) fn everything(config: &Config) -> Everything {
    Memories::of(guarded(config), config)
}

/// Runs a future on virtual time.
pub(crate) fn paused<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

/// What must hold for the frames of a session, and returns how each of its jobs ended.
fn check_session(frames: &[Value]) -> Result<Vec<(String, Value)>, TestCaseError> {
    let numbers = numbers(frames);
    prop_assert_eq!(&numbers, &(1..=numbers.len() as u64).collect::<Vec<_>>(), "contiguous from 1");
    let mut ends = Vec::new();
    let (mut accepted, mut ended) = (Vec::new(), Vec::new());
    for frame in frames {
        let Some(job) = frame["job_id"].as_str() else { continue };
        match frame["type"].as_str().unwrap() {
            "job.accepted" => accepted.push(job),
            "job.cancelled" => prop_assert!(accepted.contains(&job)),
            _ => {
                prop_assert!(accepted.contains(&job), "before its acceptance: {}", frame);
                prop_assert!(!ended.contains(&job), "after the terminal: {}", frame);
                if is_terminal(frame) {
                    ended.push(job);
                    ends.push((job.to_owned(), frame.clone()));
                }
            }
        }
    }
    accepted.sort_unstable();
    ended.sort_unstable();
    prop_assert_eq!(accepted, ended, "each job ends once");
    Ok(ends)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t21_numbers_are_contiguous_under_64_emitters_in_several_jobs(
        jobs in 1usize..6,
        each in 1u64..20,
        capacity in 1usize..200,
        window in 8usize..600,
        acks in prop::collection::vec(any::<bool>(), 16),
    ) {
        paused(async move {
            let config = Config::default().with(|c| c.window = window);
            let memories = everything(&config);
            let mut peer = memories.narrow(capacity);
            peer.hello(ALICE, &ALL).await;
            let emitters = 64 / jobs as u64;
            for _ in 0..jobs {
                peer.send("job.submit", json!({ "agent": "swarm", "input": { "emitters": emitters, "each": each } })).await;
            }
            // A client that acknowledges now and then: once it did, it must not stop.
            let (mut frames, mut ends, mut seen) = (Vec::new(), 0, 0);
            while ends < jobs {
                let frame = peer.next().await;
                seen = frame["event_seq"].as_u64().unwrap_or(seen);
                if seen > 0 && acks[frames.len() % acks.len()] || frames.len() % 4 == 0 && acks.contains(&true) {
                    peer.ack(seen).await;
                }
                ends += usize::from(is_terminal(&frame));
                frames.push(frame);
            }
            frames.extend(peer.during(Duration::from_secs(100)).await);
            for (_, end) in check_session(&frames)? {
                prop_assert_eq!(&end["payload"]["result"], &json!(emitters * each));
            }
            let phases = frames.iter().filter(|f| f["payload"]["body"]["phase"] == "back_pressure").count();
            let lines = usize::try_from(emitters * each).unwrap();
            prop_assert_eq!(numbers(&frames).len(), jobs * (lines + 1) + phases);
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t21_numbers_are_contiguous_when_the_emitters_run_in_several_threads() {
    let config = Config::default();
    let memories = everything(&config);
    let mut peer = memories.open(ALICE, &ALL).await;
    for _ in 0..4 {
        peer.send("job.submit", json!({ "agent": "swarm", "input": { "emitters": 16, "each": 200 } })).await;
    }
    let (mut frames, mut ends) = (Vec::new(), 0);
    while ends < 4 {
        let frame = peer.next().await;
        ends += usize::from(is_terminal(&frame));
        frames.push(frame);
    }
    check_session(&frames).unwrap();
    let lines = frames.iter().filter(|frame| frame["payload"]["kind"] == "log").count();
    assert_eq!(lines, 4 * 16 * 200);
}

/// What happens to one job, in tenths of a second.
#[derive(Debug, Clone)]
struct Schedule {
    agent: &'static str,
    finishes_at: u64,
    cancelled_at: Option<u64>,
    max_runtime_sec: Option<u64>,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let agent = prop::sample::select(vec!["slow", "stubborn", "panics", "fails", "spinning"]);
    // Whole seconds often, so that things happen at the same moment.
    let tenths = || prop_oneof![Just(10u64), Just(20), 0u64..40];
    (agent, tenths(), prop::option::of(tenths()), prop::option::of(1u64..4)).prop_map(
        |(agent, finishes_at, cancelled_at, max_runtime_sec)| {
            // Nothing else would ever end it.
            let never = agent == "spinning" && cancelled_at.is_none() && max_runtime_sec.is_none();
            let max_runtime_sec = if never { Some(1) } else { max_runtime_sec };
            Schedule { agent, finishes_at, cancelled_at, max_runtime_sec }
        },
    )
}

/// Whether a job of `schedule` may end with `end`.
fn fits(schedule: &Schedule, was_cancelled: bool, end: &Value) -> bool {
    let finished = match schedule.agent {
        "slow" | "stubborn" => json!(["success", null]),
        _ => json!(["error", "INTERNAL_ERROR"]),
    };
    let end = json!([end["payload"]["final_status"], end["payload"]["code"]]);
    if was_cancelled {
        return end == json!(["cancelled", "CANCELLED"]);
    }
    let timed_out = schedule.max_runtime_sec.is_some() && end == json!(["timed_out", "TIMEOUT"]);
    timed_out || (schedule.agent != "spinning" && end == finished)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p9_t67_bad_input_36_each_job_ends_once_however_cancel_time_out_and_finish_race(
        schedules in prop::collection::vec(schedule(), 1..5),
    ) {
        paused(async move {
            let config = Config::default().with(|c| c.grace = Duration::from_secs(1));
            let memories = everything(&config);
            let mut peer = memories.open(ALICE, &ALL).await;
            let mut jobs = Vec::new();
            for schedule in &schedules {
                let mut submit = json!({ "agent": schedule.agent, "input": { "ms": schedule.finishes_at * 100 } });
                if let Some(seconds) = schedule.max_runtime_sec {
                    submit["max_runtime_sec"] = json!(seconds);
                }
                jobs.push(peer.submit_with(submit).await);
            }
            let mut asked = vec![None; jobs.len()];
            for tenth in 0..60 {
                for (i, schedule) in schedules.iter().enumerate() {
                    if schedule.cancelled_at == Some(tenth) {
                        asked[i] = Some(peer.send_of("job.cancel", &jobs[i], json!({})).await);
                    }
                }
                // By hand: a job that never sleeps keeps the clock from moving by itself.
                advance(Duration::from_millis(100)).await;
            }
            let mut frames = peer.during(Duration::from_secs(60)).await;
            // The acceptances were taken by `submit_with`; each came first.
            let accepted = jobs.iter().map(|job| json!({ "type": "job.accepted", "job_id": job }));
            frames.splice(0..0, accepted);
            let ends = check_session(&frames)?;
            for (i, schedule) in schedules.iter().enumerate() {
                let end = &ends.iter().find(|(job, _)| *job == jobs[i]).unwrap().1;
                let at = |wanted: &str| frames.iter().position(|f| f["job_id"] == jobs[i].as_str() && f["type"] == wanted);
                let cancelled = at("job.cancelled");
                prop_assert!(fits(schedule, cancelled.is_some(), end), "{:?} {} {}", schedule, cancelled.is_some(), end);
                if let Some(cancelled) = cancelled {
                    let terminal = frames.iter().position(|f| f == end).unwrap();
                    prop_assert!(cancelled < terminal, "job.cancelled comes first");
                }
                if let Some(id) = &asked[i] {
                    let answered = frames.iter().any(|f| f["payload"]["request_id"] == id.as_str());
                    prop_assert!(answered, "a cancellation is answered");
                }
                prop_assert!(!end.to_string().contains("the password"), "a panic's words stay inside");
            }
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn p10_an_agent_that_ignores_its_cancellation_is_cancelled_after_the_grace() {
    let config = Config::default();
    let mut peer = everything(&config).open(ALICE, &ALL).await;
    let job = peer.submit("stubborn", json!({})).await;
    let began = Instant::now();
    assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
    assert_eq!(began.elapsed(), Duration::ZERO, "it is answered at once");
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(end["payload"]["final_status"], "cancelled");
    assert_eq!(end["payload"]["code"], "CANCELLED");
    assert_eq!(end["payload"]["retryable"], false);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_obeys_ends_at_once_and_as_cancelled_whatever_it_returns() {
    let config = Config::default();
    let mut peer = everything(&config).open(ALICE, &ALL).await;
    let job = peer.submit("slow", json!({})).await;
    let began = Instant::now();
    peer.cancel(&job).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(end["payload"]["code"], "CANCELLED");
    assert!(end["payload"]["result"].is_null());
}

#[tokio::test(start_paused = true)]
async fn t69_a_job_that_passes_its_time_ends_with_timeout() {
    let config = Config::default();
    let mut peer = everything(&config).open(ALICE, &ALL).await;
    for (agent, seconds) in [("slow", 7), ("stubborn", 7 + 30)] {
        let began = Instant::now();
        let submit = json!({ "agent": agent, "input": {}, "max_runtime_sec": 7 });
        let job = peer.submit_with(submit).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(began.elapsed().as_secs(), seconds, "{agent}");
        assert_eq!(end["payload"]["final_status"], "timed_out");
        assert_eq!(end["payload"]["code"], "TIMEOUT");
    }
}

#[tokio::test(start_paused = true)]
async fn t33_a_session_that_goes_neither_stalls_nor_ends_its_jobs() {
    let config = Config::default().with(|c| c.window = 4);
    let memories = everything(&config);
    let mut owner = memories.open(ALICE, &ALL).await;
    // It acknowledged once, so it is gated: the job waits for its acks.
    let job = owner.submit("chatty", json!({ "count": 500, "delay_ms": 10 })).await;
    owner.pick(|frame| frame["event_seq"] == 1).await;
    owner.ack(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut watcher = memories.open(ALICE, &ALL).await;
    let subscribed = watcher.subscribe(&job, true).await;
    assert_eq!(subscribed["payload"]["current_status"], "running", "it is held by its own submitter");
    drop(owner);
    let frames = watcher.job(&job).await;
    let end = frames.last().unwrap();
    assert_eq!(end["payload"]["result"], json!({ "emitted": 500 }));
    let lines = frames.iter().filter(|frame| frame["payload"]["kind"] == "log").count();
    assert_eq!(lines, 500);
    let numbers = numbers(&frames);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "a watcher has numbers of its own");
}

#[tokio::test(start_paused = true)]
async fn a_submit_whose_connection_is_gone_at_once_still_runs() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let config = Config::default();
    let agent = agent_fn(move |n: u64, _: Job| {
        let started = started.clone();
        async move { Ok(started.send(n)?) }
    });
    let runtime = Runtime::builder().agent("starts", agent).build().unwrap();
    let memories = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut peer = memories.open(ALICE, &ALL).await;
    for n in 0..10 {
        peer.send("job.submit", json!({ "agent": "starts", "input": n })).await;
    }
    peer.kind("job.accepted").await;
    drop(peer);
    for n in 0..10 {
        assert_eq!(starts.recv().await, Some(n));
    }
}
