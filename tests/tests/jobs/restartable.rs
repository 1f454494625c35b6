//! Agents whose jobs run again when the process that ran them is gone (§7.3, §14).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::store::Store;
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{Stack, code, contiguous_from, open, resumed};
use arcp_tests::stores::kept;
use arcp_tests::{ALICE, Memories, Peer, Process, timed, tokens};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::sleep;

/// What the agents of all processes did.
#[derive(Debug, Default)]
struct Works {
    runs: AtomicUsize,
    inputs: Mutex<Vec<Value>>,
}

/// Says which run it is and counts, a line each 100 ms; ends early if it should.
async fn counts(works: Arc<Works>, input: Value, job: Job) -> Result<Value, AgentError> {
    let run = works.runs.fetch_add(1, Ordering::SeqCst) + 1;
    works.inputs.lock().unwrap().push(input.clone());
    for line in 0..input["count"].as_u64().unwrap() {
        job.log(Level::Info, format!("run {run} line {line}")).await?;
        tokio::select! {
            () = sleep(Duration::from_millis(100)) => {}
            () = job.cancelled(), if input["stubborn"].is_null() => return Ok(json!("stopped")),
        }
    }
    Ok(json!({ "run": run }))
}

/// A process whose `counts` runs again, and whose `counts-once` does not.
async fn process(
    store: &Arc<dyn Store>,
    works: &Arc<Works>,
    config: &Config,
) -> (Arc<Process>, Memories<Stack>) {
    let process = Arc::new(Process::of(store.clone()));
    let works = works.clone();
    let agent = agent_fn(move |input: Value, job: Job| counts(works.clone(), input, job));
    let builder = Runtime::builder().config(config.clone()).store(process.clone());
    let builder = builder.restartable_agent("counts", agent.clone()).agent("counts-once", agent);
    let runtime = builder.open().await.unwrap();
    (process, Memories::of(runtime.layer(AuthLayer::new(tokens())), config))
}

fn texts(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["payload"]["body"]["message"].as_str()).collect()
}

async fn status<T: arcp_core::transport::Transport>(peer: &mut Peer<T>, job: &str) -> String {
    let id = peer.send("session.list_jobs", json!({})).await;
    let page = peer.reply(&id).await;
    let jobs = page["payload"]["jobs"].as_array().unwrap();
    jobs.iter().find(|entry| entry["job_id"] == job).unwrap()["status"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn p7_it_runs_again_under_the_same_id_and_its_numbers_go_on() {
    for store in kept() {
        let (works, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("counts", json!({ "count": 5, "keeps": 1.0 })).await;
        let other = peer.submit("counts-once", json!({ "count": 5 })).await;
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.push(peer.kind("job.event").await);
        }
        first.kill();
        drop((peer, server));

        let (_second, server) = process(&store, &works, &config).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert_eq!(status(&mut peer, &job).await, "running");
        let all = peer.during(Duration::from_secs(10)).await;
        assert!(contiguous_from(1, &all) && all.starts_with(&seen), "what was sent stays as it was");
        let of = |job: &str| all.iter().filter(|frame| frame["job_id"] == job).cloned().collect::<Vec<_>>();
        let (again, once) = (of(&job), of(&other));
        assert_eq!(again.iter().filter(|frame| is_terminal(frame)).count(), 1);
        let end = &again.last().unwrap()["payload"];
        assert_eq!(end["result"], json!({ "run": 3 }));
        let texts = texts(&again);
        assert!(
            texts[0].starts_with("run 1") && texts.last().unwrap().ends_with("run 3 line 4"),
            "{texts:?}"
        );
        let end = &once.last().unwrap()["payload"];
        assert_eq!(end["details"]["reason"], "runtime_restarted");
        assert_eq!(*works.inputs.lock().unwrap().last().unwrap(), json!({ "count": 5, "keeps": 1.0 }));
    }
}

#[tokio::test(start_paused = true)]
async fn it_runs_again_though_nobody_comes_back_for_it_and_is_there_later() {
    for store in kept() {
        let (works, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("counts", json!({ "count": 30 })).await;
        peer.kind("job.event").await;
        first.kill();
        drop((peer, server));
        let (_second, server) = process(&store, &works, &config).await;
        sleep(Duration::from_secs(60)).await;
        let (mut other, _) = open(&server, ALICE).await;
        assert_eq!(status(&mut other, &job).await, "success");
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let frames = peer.job(&job).await;
        assert!(contiguous_from(1, &frames));
        assert_eq!(frames.last().unwrap()["payload"]["result"]["run"], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_had_ended_does_not_run_again_and_what_is_killed_twice_runs_a_third_time() {
    for store in kept() {
        let (works, config): (Arc<Works>, _) = (Arc::default(), timed(|_| {}));
        let (mut alive, mut server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let ended = peer.submit("counts", json!({ "count": 1 })).await;
        let end = peer.job(&ended).await;
        let job = peer.submit("counts", json!({ "count": 30 })).await;
        peer.kind("job.event").await;
        drop(peer);
        for runs in 3..=4 {
            alive.kill();
            drop(server);
            (alive, server) = process(&store, &works, &config).await;
            sleep(Duration::from_secs(1)).await;
            assert_eq!(works.runs.load(Ordering::SeqCst), runs);
        }
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert!(peer.job(&ended).await == end);
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"]["run"], 4);
    }
}

#[tokio::test(start_paused = true)]
async fn its_session_may_still_cancel_it_and_others_may_not() {
    for store in kept() {
        let (works, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("counts", json!({ "count": 3000 })).await;
        peer.kind("job.event").await;
        first.kill();
        drop((peer, server));
        let (_second, server) = process(&store, &works, &config).await;
        let (mut other, _) = open(&server, ALICE).await;
        assert_eq!(code(&other.cancel(&job).await), "PERMISSION_DENIED");
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["code"], "CANCELLED");
    }
}

#[tokio::test(start_paused = true)]
async fn its_time_is_counted_from_its_beginning_however_often_it_runs() {
    for store in kept() {
        let (works, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let submit = json!({ "agent": "counts", "input": { "count": 3000 }, "max_runtime_sec": 10 });
        let job = peer.submit_with(submit).await;
        sleep(Duration::from_secs(5)).await;
        first.kill();
        drop((peer, server));
        // The time without a process is time, too.
        sleep(Duration::from_secs(3)).await;
        let (_second, server) = process(&store, &works, &config).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let began = tokio::time::Instant::now();
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["code"], "TIMEOUT");
        assert!((1_900..2_200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_time_was_up_before_there_was_a_process_again_ends_with_that() {
    for store in kept() {
        let (works, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let submit = json!({ "agent": "counts", "input": { "count": 3000 }, "max_runtime_sec": 10 });
        let job = peer.submit_with(submit).await;
        peer.kind("job.event").await;
        first.kill();
        drop((peer, server));
        sleep(Duration::from_secs(60)).await;
        let (_second, server) = process(&store, &works, &config).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let began = tokio::time::Instant::now();
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(
            (&end["payload"]["code"], &end["payload"]["final_status"]),
            (&json!("TIMEOUT"), &json!("timed_out"))
        );
        assert_eq!(end["payload"]["message"], "the job passed its max_runtime_sec");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_agent_is_not_there_any_more_ends() {
    for store in kept() {
        let (works, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("counts", json!({ "count": 3000 })).await;
        peer.kind("job.event").await;
        first.kill();
        drop((peer, server));
        let runtime = Runtime::builder().config(config.clone()).store(store).open().await.unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["payload"]["details"]["reason"], "runtime_restarted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_session_is_gone_comes_to_an_end() {
    for store in kept() {
        let short = |c: &mut Config| {
            (c.resume_window, c.retention, c.sweep) =
                (Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(10));
        };
        let (works, config): (Arc<Works>, _) = (Arc::default(), timed(short));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("counts", json!({ "count": 1_000_000 })).await;
        peer.kind("job.event").await;
        drop(peer);
        // What follows a job is held as long as jobs are; then it is forgotten.
        sleep(Duration::from_secs(100)).await;
        assert!(
            store.session(&welcome["session_id"].as_str().unwrap().parse().unwrap()).await.unwrap().is_none()
        );
        first.kill();
        drop(server);
        let (_second, server) = process(&store, &works, &config).await;
        sleep(Duration::from_secs(60)).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let now = status(&mut peer, &job).await;
        assert_eq!(
            (now.as_str(), works.runs.load(Ordering::SeqCst)),
            ("error", 1),
            "nobody is there to hear of it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_cancelled_does_not_run_again() {
    for store in kept() {
        let (works, config): (Arc<Works>, _) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &works, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("counts", json!({ "count": 3000, "stubborn": true })).await;
        peer.kind("job.event").await;
        assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
        // Before it obeyed.
        first.kill();
        drop((peer, server));
        let (_second, server) = process(&store, &works, &config).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(works.runs.load(Ordering::SeqCst), 1, "who was told that it is cancelled may rely on it");
        assert_eq!(end["payload"]["code"], "CANCELLED");
    }
}
