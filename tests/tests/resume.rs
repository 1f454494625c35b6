//! Resume (§6.3): where it is asked for, who may, from where, and what becomes of the connection
//! that had the session. Each on no store and on one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::{Close, Memory};
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{FEATURES, Stack, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::{ALICE, BOB, Memories, Peer, features};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

const GONE: &str = "RESUME_WINDOW_EXPIRED";

fn stores() -> [Option<Arc<dyn Store>>; 2] {
    [None, Some(Arc::new(MemoryStore::default()))]
}

async fn servers(config: &Config) -> Vec<Memories<Stack>> {
    let mut servers = Vec::new();
    for store in stores() {
        servers.push(start(store, config).await);
    }
    servers
}

/// A session that was cut after a job with `count` lines, its welcome, and the job's frames.
async fn cut_after(server: &Memories<Stack>, count: u64) -> (Value, String, Vec<Value>) {
    let (mut peer, welcome) = open(server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": count })).await;
    let frames = peer.job(&job).await;
    assert!(contiguous_from(1, &frames) && frames.len() as u64 == count + 1);
    (welcome, job, frames)
}

/// The first frame of a connection that sends `payload` as `kind`.
async fn first(server: &Memories<Stack>, kind: &str, payload: Value) -> (Peer<Memory>, Value) {
    let mut peer = server.connect();
    peer.send(kind, payload).await;
    let answer = peer.next().await;
    if answer["type"] == "session.welcome" {
        peer.welcomed(answer.clone());
    }
    (peer, answer)
}

#[tokio::test(start_paused = true)]
async fn a_resume_is_taken_in_each_of_its_four_placements() {
    for server in servers(&Config::default()).await {
        let (welcome, job, frames) = cut_after(&server, 9).await;
        let mut token = welcome["payload"]["resume_token"].clone();
        let session = &welcome["session_id"];
        for placement in 0..6 {
            let mut hello = features(ALICE, &FEATURES);
            let kind = if placement < 4 { "session.hello" } else { "session.resume" };
            match placement {
                0 => {
                    hello["resume"] =
                        json!({ "session_id": session, "resume_token": token, "last_event_seq": 4 });
                }
                1 => {
                    hello["resume"] = json!({ "session_id": session, "token": token, "last_event_seq": 4 });
                }
                2 => hello["resume"] = json!({ "resume_token": token, "last_event_seq": 4 }),
                3 => (hello["resume_token"], hello["last_event_seq"]) = (token.clone(), json!(4)),
                _ => {
                    hello = json!({
                        "auth": { "scheme": "bearer", "token": ALICE },
                        "resume_token": token, "last_event_seq": 4,
                    });
                    if placement == 4 {
                        hello["session_id"] = session.clone();
                    }
                }
            }
            let (mut peer, again) = first(&server, kind, hello).await;
            assert_eq!(again["type"], "session.welcome", "{placement}: {again}");
            assert_eq!(again["session_id"], *session);
            assert!(again["payload"]["resume_token"] != token, "the token rotates");
            assert!(peer.job(&job).await == frames[4..], "{placement}: not the same to the byte");
            token = again["payload"]["resume_token"].clone();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_alone_lets_nobody_in() {
    for server in servers(&Config::default()).await {
        let (welcome, ..) = cut_after(&server, 1).await;
        let token = &welcome["payload"]["resume_token"];
        for auth in [json!(null), json!({ "scheme": "bearer", "token": "" })] {
            let payload = json!({
                "session_id": welcome["session_id"], "resume_token": token, "last_event_seq": 0, "auth": auth,
            });
            let (_, answer) = first(&server, "session.resume", payload).await;
            assert_eq!(code(&answer), "UNAUTHENTICATED");
        }
        resumed(&server, ALICE, &welcome, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_resume_is_the_same_and_the_session_stays() {
    for server in servers(&Config::default()).await {
        let (welcome, ..) = cut_after(&server, 3).await;
        let (_other, others) = open(&server, ALICE).await;
        let token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
        let flipped =
            format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' });
        let mut cases: Vec<Value> = Vec::new();
        for wrong in [json!("rt_wrong"), json!(flipped), others["payload"]["resume_token"].clone(), json!("")]
        {
            let mut hello = resume(ALICE, &welcome, 0);
            hello["resume"]["resume_token"] = wrong;
            cases.push(hello);
        }
        let mut unknown = resume(ALICE, &welcome, 0);
        unknown["resume"]["session_id"] = json!("sess_00000000000000000000000000");
        cases.push(unknown);
        cases.push(resume(BOB, &welcome, 0));
        let mut seen = Vec::new();
        for hello in cases {
            let (mut peer, mut answer) = say(&server, hello).await;
            assert_eq!(peer.closed().await.code, Close::POLICY);
            // What differs by chance, and what the request said itself.
            for field in ["id", "session_id", "timestamp"] {
                answer.as_object_mut().unwrap().remove(field);
            }
            answer["payload"].as_object_mut().unwrap().remove("request_id");
            seen.push(answer.to_string());
        }
        assert!(seen[0].contains(GONE), "{}", seen[0]);
        assert!(seen.iter().all(|answer| *answer == seen[0]));
        resumed(&server, ALICE, &welcome, 4).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_that_was_presented_works_until_a_message_arrives_under_the_next() {
    for server in servers(&Config::default()).await {
        let (first, ..) = cut_after(&server, 3).await;
        // Any number of times.
        for _ in 0..5 {
            resumed(&server, ALICE, &first, 2).await;
        }
        let (mut peer, second) = resumed(&server, ALICE, &first, 2).await;
        peer.ping("under the second").await;
        drop(peer);
        let (_, refused) = say(&server, resume(ALICE, &first, 2)).await;
        assert_eq!(code(&refused), GONE);
        resumed(&server, ALICE, &second, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_cut_before_it_read_its_welcome_can_come_again() {
    for server in servers(&Config::default()).await {
        let (welcome, job, frames) = cut_after(&server, 30).await;
        // Before anything was read, and then after each frame.
        for read in 0..12 {
            for capacity in [0, 8] {
                let mut peer = server.narrow(capacity);
                peer.send("session.hello", resume(ALICE, &welcome, 7)).await;
                for _ in 0..read {
                    peer.next().await;
                }
                drop(peer);
                tokio::task::yield_now().await;
            }
        }
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 7).await;
        assert!(peer.job(&job).await == frames[7..]);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_read_and_everything_read_can_both_be_resumed_and_more_than_that_cannot() {
    for server in servers(&Config::default()).await {
        let (mut welcome, job, frames) = cut_after(&server, 6).await;
        for bad in [8, 1 << 53, u64::MAX] {
            let (_, refused) = say(&server, resume(ALICE, &welcome, bad)).await;
            assert_eq!(code(&refused), "INVALID_REQUEST", "{bad}");
        }
        for bad in [json!(-1), json!("5"), json!(null), json!(1.5)] {
            let mut hello = resume(ALICE, &welcome, 0);
            hello["resume"]["last_event_seq"] = bad.clone();
            let (_, refused) = say(&server, hello).await;
            assert_eq!(code(&refused), "INVALID_REQUEST", "{bad}");
        }
        let mut missing = resume(ALICE, &welcome, 0);
        missing["resume"].as_object_mut().unwrap().remove("last_event_seq");
        assert_eq!(code(&say(&server, missing).await.1), "INVALID_REQUEST");
        for last in [0, 7, 3] {
            let (mut peer, again) = resumed(&server, ALICE, &welcome, last).await;
            let replay = peer.during(Duration::from_secs(1)).await;
            assert!(replay == frames[usize::try_from(last).unwrap()..], "{last}");
            welcome = again;
        }
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 7).await;
        let more = peer.submit("echo", json!(2)).await;
        assert!(more != job && numbers(&peer.job(&more).await) == [8]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_take_over_closes_the_old_connection_and_wakes_the_new_one() {
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
async fn of_64_resumes_at_once_one_has_the_session_in_the_end() {
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
async fn of_64_resumes_on_several_threads_one_has_the_session_in_the_end() {
    for server in servers(&Config::default()).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 300, "delay_ms": 1 })).await;
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
        assert!(!job.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_replay_from_a_store_does_not_wait_for_anything() {
    for capacity in [0, 1, 3, 64] {
        for count in [0, 1, 2, 3, 63, 64, 65, 500] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
            let server = start(Some(store.clone()), &Config::default()).await;
            let (mut peer, welcome) = open(&server, ALICE).await;
            let mut frames = Vec::new();
            for count in [count, 0] {
                let job = peer.submit("chatty", json!({ "count": count })).await;
                frames.extend(peer.job(&job).await);
            }
            drop((peer, server));
            let server = start(Some(store), &Config::default()).await;
            let mut peer = server.narrow(capacity);
            assert_eq!(peer.say_hello(resume(ALICE, &welcome, 0)).await["type"], "session.welcome");
            assert!(peer.during(Duration::from_secs(5)).await == frames, "{count} in {capacity}");
        }
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
async fn the_window_runs_from_the_loss_of_the_connection() {
    let config = Config::default().with(|c| c.resume_window = Duration::from_secs(60));
    let server = start(None, &config).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    assert_eq!(welcome["payload"]["resume_window_sec"], 60);
    // Long after the welcome.
    sleep(Duration::from_secs(600)).await;
    peer.ping("n").await;
    drop(peer);
    sleep(Duration::from_secs(59)).await;
    let (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
    drop(peer);
    sleep(Duration::from_secs(61)).await;
    let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert_eq!(code(&refused), GONE);
}

#[tokio::test(start_paused = true)]
async fn close_and_bye_end_the_connection_and_not_the_session_or_its_jobs() {
    for server in servers(&Config::default()).await {
        for (kind, payload) in
            [("session.close", json!({})), ("session.bye", json!({ "reason": "client_close" }))]
        {
            let (mut peer, welcome) = open(&server, ALICE).await;
            let job = peer.submit("chatty", json!({ "count": 20, "delay_ms": 10 })).await;
            let mut seen = vec![peer.kind("job.event").await];
            peer.send(kind, payload).await;
            assert_eq!(peer.kind("session.closed").await["type"], "session.closed");
            assert_eq!(peer.closed().await.code, Close::NORMAL);
            seen.extend(peer.during(Duration::ZERO).await.into_iter().filter(|f| f["event_seq"].is_u64()));
            let last = numbers(&seen).last().copied().unwrap();
            let (mut peer, _) = resumed(&server, ALICE, &welcome, last).await;
            let rest = peer.job(&job).await;
            assert!(contiguous_from(last + 1, &rest));
            assert_eq!(rest.last().unwrap()["payload"]["result"]["emitted"], 20);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_caps_force_out_is_refused_and_never_thinned() {
    // Two jobs in turn make many runs.
    for server in servers(&Config::default().with(|c| c.max_runs = 4)).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let mut last = 0;
        for _ in 0..10 {
            let job = peer.submit("chatty", json!({ "count": 1 })).await;
            last = numbers(&peer.job(&job).await)[1];
        }
        drop(peer);
        let mut welcome = welcome;
        let mut reached = false;
        for from in 0..=last {
            let (mut peer, answer) = say(&server, resume(ALICE, &welcome, from)).await;
            if code(&answer).is_empty() {
                reached = true;
                let frames = peer.during(Duration::from_secs(1)).await;
                assert!(frames.len() as u64 == last - from && contiguous_from(from + 1, &frames), "{from}");
                welcome = answer;
            } else {
                assert!(code(&answer) == GONE && !reached, "{from}: {}", code(&answer));
            }
            assert_eq!(reached, from >= last - 8, "{from}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_store_a_log_that_had_to_go_is_refused_and_never_thinned() {
    let server = start(None, &Config::default().with(|c| c.max_session_logs = 3)).await;
    let (mut peer, mut welcome) = open(&server, ALICE).await;
    for _ in 0..6 {
        let job = peer.submit("chatty", json!({ "count": 1 })).await;
        peer.job(&job).await;
    }
    drop(peer);
    for from in 0..=12 {
        let (mut peer, answer) = say(&server, resume(ALICE, &welcome, from)).await;
        assert_eq!(code(&answer), if from < 6 { GONE } else { "" }, "{from}");
        if from >= 6 {
            let frames = peer.during(Duration::from_secs(1)).await;
            assert!(frames.len() as u64 == 12 - from && contiguous_from(from + 1, &frames));
            welcome = answer;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ran_too_far_ahead_is_refused_without_a_store_and_replayed_with_one() {
    let small = Config::default().with(|c| (c.window, c.log_events, c.max_unwritten) = (8, 16, 8));
    for (kept, server) in servers(&small).await.into_iter().enumerate() {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 100, "delay_ms": 10 })).await;
        let first = peer.kind("job.event").await;
        drop(peer);
        sleep(Duration::from_secs(10)).await;
        let (mut peer, answer) = say(&server, resume(ALICE, &welcome, 1)).await;
        if kept == 0 {
            assert_eq!(code(&answer), GONE);
        } else {
            assert_eq!(first["event_seq"], 1);
            let frames = peer.job(&job).await;
            assert!(frames.len() == 100 && contiguous_from(2, &frames));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_its_principals_cap_a_session_without_a_connection_goes_first() {
    let server = start(None, &Config::default().with(|c| c.max_sessions = 3)).await;
    let (_kept, kept) = open(&server, ALICE).await;
    let (cut, first) = open(&server, ALICE).await;
    drop(cut);
    let (_bob, _) = open(&server, BOB).await;
    sleep(Duration::from_secs(1)).await;
    let (_a, _) = open(&server, ALICE).await;
    let (_, still) = say(&server, resume(ALICE, &first, 0)).await;
    assert_eq!(code(&still), "");
    let (_b, _) = open(&server, ALICE).await;
    let (_, refused) = say(&server, features(ALICE, &FEATURES)).await;
    assert_eq!(refused["payload"]["details"]["reason"], "limit", "{refused}");
    resumed(&server, ALICE, &kept, 0).await;
}
