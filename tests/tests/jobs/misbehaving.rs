//! Agents that block, leak, panic, or outlive what they belong to, and harm nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arcp_tests::peer::numbers;
use arcp_tests::{ALICE, ALL, BOB, Memories, agents, tokens};
use arcp_tower::core::{Error, Json};
use arcp_tower::{Agent, AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::properties::{everything, paused};

#[tokio::test(start_paused = true)]
async fn t7_bad_input_46_a_panic_ends_the_job_with_words_that_say_nothing() {
    let config = Config::default();
    let mut peer = everything(&config).open(ALICE, &ALL).await;
    let job = peer.submit("panics", json!({ "ms": 0 })).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["type"], "job.error");
    assert_eq!(end["payload"]["code"], "INTERNAL_ERROR");
    assert_eq!(end["payload"]["message"], "the agent failed");
    assert!(!end.to_string().contains("the password"));
    peer.works().await;
}

/// Agents that give their thread back only when they are let go: one computes, one blocks.
fn blocking(let_go: &Arc<AtomicBool>) -> [impl Agent; 2] {
    [false, true].map(|sleeps| {
        let let_go = let_go.clone();
        agent_fn(move |(): (), job: Job| {
            let let_go = let_go.clone();
            async move {
                job.status("working").await?;
                while !let_go.load(Ordering::Relaxed) {
                    if sleeps {
                        std::thread::sleep(Duration::from_millis(1));
                    } else {
                        std::hint::spin_loop();
                    }
                }
                Ok(())
            }
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_46_agents_that_never_give_their_threads_back_cost_their_jobs_and_no_session() {
    let workers = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let let_go = Arc::new(AtomicBool::new(false));
    let [spins, sleeps] = blocking(&let_go);
    let config = Config::default().with(|c| c.grace = Duration::from_millis(200));
    let builder = agents::all(Runtime::builder().config(config.clone())).agents_on(workers.handle().clone());
    let runtime = builder.agent("spins", spins).agent("sleeps", sleeps).build().unwrap();
    let memories = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let patience = Duration::from_secs(30);
    let all = tokio::time::timeout(patience, async {
        let mut peer = memories.open(ALICE, &ALL).await;
        let submit = json!({ "agent": "spins", "max_runtime_sec": 1 });
        let (spins, sleeps) = (peer.submit_with(submit).await, peer.submit("sleeps", Value::Null).await);
        for job in [&spins, &sleeps] {
            peer.pick(|frame| frame["job_id"] == job.as_str() && frame["payload"]["kind"] == "status").await;
        }
        // Each thread that agents have is taken, and everything else goes on.
        peer.ping("still there").await;
        memories.open(BOB, &ALL).await.ping("and others").await;
        assert_eq!(peer.cancel(&sleeps).await["type"], "job.cancelled");
        for (job, code) in [(&sleeps, "CANCELLED"), (&spins, "TIMEOUT")] {
            assert_eq!(peer.job(job).await.last().unwrap()["payload"]["code"], code);
        }
        let_go.store(true, Ordering::Relaxed);
        peer.works().await;
    });
    let done = all.await;
    let_go.store(true, Ordering::Relaxed);
    workers.shutdown_background();
    done.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bad_input_40_what_a_leaked_job_emits_after_the_end_is_refused_and_not_delivered() {
    let (leaks, mut leaked) = mpsc::unbounded_channel::<Job>();
    let config = Config::default();
    let leaky = agent_fn(move |(): (), job: Job| {
        let leaks = leaks.clone();
        async move {
            job.log(Level::Info, "the last word").await?;
            leaks.send(job)?;
            Ok(())
        }
    });
    let runtime =
        agents::all(Runtime::builder().config(config.clone())).agent("leaky", leaky).build().unwrap();
    let memories = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut peer = memories.open(ALICE, &ALL).await;
    let id = peer.submit("leaky", Value::Null).await;
    let frames = peer.job(&id).await;
    assert_eq!(numbers(&frames), [1, 2]);
    let job = leaked.recv().await.unwrap();
    for outcome in [
        job.log(Level::Info, "late").await,
        job.status("late").await,
        job.progress(1).send().await,
        job.emit("x-vendor.acme.note", &1).await,
    ] {
        assert_eq!(outcome.unwrap_err().code(), arcp_core::Code::Cancelled);
    }
    assert!(peer.during(Duration::from_secs(5)).await.is_empty());
    peer.works().await;
    assert!(job.is_cancelled(), "whoever waits for the end is told of it");
}

/// An agent that panics before it has a future.
struct Bad(&'static str);

impl Agent for Bad {
    fn check(&self, _: &Json) -> Result<(), Error> {
        assert_ne!(self.0, "check", "the password is 4711");
        Ok(())
    }

    fn run(&self, _: Job) -> futures_util::future::BoxFuture<'static, Result<Json, AgentError>> {
        panic!("the password is 4711");
    }
}

#[test]
fn an_agent_that_panics_before_it_begins_ends_its_job_and_frees_its_place() {
    paused(async {
        let config = Config::default().with(|c| c.max_jobs = 1);
        let builder = agents::all(Runtime::builder().config(config.clone()));
        let runtime = builder.agent("run", Bad("run")).agent("check", Bad("check")).build().unwrap();
        let mut peer = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config).open(ALICE, &ALL).await;
        for _ in 0..3 {
            let job = peer.submit("run", json!(null)).await;
            let end = peer.job(&job).await.pop().unwrap();
            assert_eq!(end["payload"]["code"], "INTERNAL_ERROR");
            assert!(!end.to_string().contains("the password"), "{end}");
            let id = peer.send("job.submit", json!({ "agent": "check" })).await;
            let refused = peer.reply(&id).await;
            assert_eq!(refused["payload"]["code"], "INTERNAL_ERROR");
            assert!(!refused.to_string().contains("the password"), "{refused}");
        }
        peer.works().await;
    });
}
