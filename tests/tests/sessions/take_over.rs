//! A session has one connection (§6.3): what becomes of the others that want it.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::transport::Close;
use arcp_tests::ALICE;
use arcp_tests::sessions::{FEATURES, code, contiguous_from, cut_after, open, resume, resumed, say, start};
use arcp_tests::stores::servers;
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn s14_a_take_over_closes_the_old_connection_and_wakes_the_new_one() {
    for server in servers(&Config::default()).await {
        let (mut old, mut welcome) = open(&server, ALICE).await;
        let job = old.submit("chatty", json!({ "count": 60, "delay_ms": 100 })).await;
        let mut last = 0;
        for _ in 0..5 {
            while last % 10 < 9 {
                last = old.kind("job.event").await["event_seq"].as_u64().unwrap();
            }
            let (mut new, again) = resumed(&server, ALICE, &welcome, last).await;
            assert_eq!(old.closed().await.code, Close::TAKEN_OVER);
            // Nothing is said on the new connection: what comes, comes by itself.
            let event = new.kind("job.event").await;
            assert_eq!(event["event_seq"], last + 1);
            (old, welcome, last) = (new, again, last + 1);
        }
        assert!(contiguous_from(last + 1, &old.job(&job).await));
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_21_of_64_resumes_at_once_one_has_the_session_in_the_end() {
    for server in servers(&Config::default()).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 200, "delay_ms": 10 })).await;
        peer.kind("job.event").await;
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (server, welcome) = (server.clone(), welcome.clone());
                tokio::spawn(async move {
                    let (mut peer, answer) = say(&server, resume(ALICE, &welcome, 1)).await;
                    assert!(matches!(code(&answer), "" | "INTERNAL_ERROR"), "{}", code(&answer));
                    let frames = peer.during(Duration::from_secs(10)).await;
                    assert!(contiguous_from(2, &frames));
                    frames
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all.sort_by_key(Vec::len);
        let (longest, rest) = all.split_last().unwrap();
        assert_eq!(longest.len(), 200);
        assert_eq!(longest.last().unwrap()["job_id"], json!(job));
        assert!(rest.iter().all(|frames| frames.len() < 200 && longest.starts_with(frames)));
        assert_eq!(peer.closed().await.code, Close::TAKEN_OVER);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_21_of_64_resumes_on_several_threads_one_has_the_session_in_the_end() {
    for server in servers(&Config::default()).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        peer.submit("chatty", json!({ "count": 300, "delay_ms": 1 })).await;
        peer.kind("job.event").await;
        let attempt = |welcome: Value| {
            let server = server.clone();
            tokio::spawn(async move {
                let mut peer = server.connect();
                peer.send("session.hello", resume(ALICE, &welcome, 1)).await;
                let mut frames = Vec::new();
                // It may be taken over before it is welcomed.
                let Some(answer) = peer.recv().await else { return frames };
                assert!(matches!(code(&answer), "" | "INTERNAL_ERROR"), "{}", code(&answer));
                while let Some(frame) = peer.recv().await {
                    if !frame["event_seq"].is_u64() {
                        continue;
                    }
                    frames.push(frame);
                    if arcp_tests::peer::is_terminal(frames.last().unwrap()) {
                        break;
                    }
                }
                assert!(contiguous_from(2, &frames));
                frames
            })
        };
        let tasks: Vec<_> = (0..64).map(|_| attempt(welcome.clone())).collect();
        let mut longest = 0;
        for task in tasks {
            longest = longest.max(task.await.unwrap().len());
        }
        if longest < 300 {
            // All lost to one another; who comes again has it.
            longest = attempt(welcome).await.unwrap().len();
        }
        assert_eq!(longest, 300);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_of_the_same_client_take_turns_and_the_last_one_has_the_session() {
    // The store answers one of the first attempt's reads late; the second attempt comes meanwhile.
    for reads in 0..8 {
        let store = Arc::new(FlakyStore::new(MemoryStore::default()));
        let server = start(Some(store.clone()), &Config::default()).await;
        let (welcome, job, frames) = cut_after(&server, 5).await;
        drop(server);
        let server = start(Some(store.clone()), &Config::default()).await;
        for _ in 0..reads {
            store.plan_read(Step::pass());
        }
        let (step, hold) = Step::pass().held();
        store.plan_read(step);
        let mut late = server.connect();
        late.send("session.hello", resume(ALICE, &welcome, 0)).await;
        sleep(Duration::from_millis(100)).await;
        if !late.during(Duration::ZERO).await.is_empty() {
            assert!(reads > 1, "a resume reads the session and what follows");
            return;
        }
        let mut peer = server.connect();
        peer.send("session.hello", resume(ALICE, &welcome, 0)).await;
        sleep(Duration::from_millis(100)).await;
        assert!(peer.during(Duration::ZERO).await.is_empty(), "{reads}: it did not wait");
        hold.release();
        assert_eq!(code(&late.next().await), "", "{reads}");
        let second = peer.next().await;
        assert_eq!(second["type"], "session.welcome", "{reads}: {second}");
        assert_eq!(late.closed().await.code, Close::TAKEN_OVER);
        assert!(peer.job(&job).await == frames, "{reads}");
        peer.works().await;
        resumed(&server, ALICE, &second, 6).await;
    }
    panic!("a resume reads no end");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_the_old_connection_goes_on_with_the_one_that_takes_over() {
    // It waits for acks, or for room.
    for (window, backlog) in [(8, 4 << 20), (4096, 4096)] {
        let config = Config::default().with(|c| (c.window, c.backlog_bytes) = (window, backlog));
        for server in servers(&config).await {
            let mut old = server.narrow(2);
            let welcome = old.hello(ALICE, &FEATURES).await;
            let job = old.submit("chatty", json!({ "count": 100, "bytes": 500 })).await;
            old.pick(|frame| frame["event_seq"] == 1).await;
            old.ack(1).await;
            sleep(Duration::from_secs(1)).await;
            let (mut new, _) = resumed(&server, ALICE, &welcome, 1).await;
            let frames = new.job(&job).await;
            assert!(contiguous_from(2, &frames));
            assert_eq!(frames.last().unwrap()["payload"]["result"]["emitted"], 100);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_resume_acks_go_on_opening_the_window() {
    for server in servers(&Config::default().with(|c| c.window = 8)).await {
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 300, "delay_ms": 1 })).await;
        let mut last = 0;
        for cut_at in [5, 100, u64::MAX] {
            loop {
                let frame = peer.pick(|frame| frame["job_id"] == job && frame["event_seq"].is_u64()).await;
                last += 1;
                assert_eq!(frame["event_seq"], last);
                peer.ack(last).await;
                if frame["type"] == "job.result" {
                    break;
                }
                if last == cut_at {
                    drop(peer);
                    (peer, welcome) = resumed(&server, ALICE, &welcome, last).await;
                    break;
                }
            }
        }
        assert!(last > 300, "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_resumed_again_and_again_leaves_nothing_behind_each_time() {
    for server in servers(&Config::default()).await {
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        peer.submit("slow", json!({ "ms": 3_600_000 })).await;
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let mut before = 0;
        for round in 0..100 {
            drop(peer);
            sleep(Duration::from_millis(10)).await;
            (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
            sleep(Duration::from_millis(10)).await;
            if round == 10 {
                before = alive();
            }
        }
        assert!(alive() <= before, "{} tasks, and {before} before", alive());
    }
}
