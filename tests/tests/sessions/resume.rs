//! Resume (§6.3): where it is asked for, from where, and that it repeats what was sent. Each on no
//! store, on one in memory, and on a file.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::Close;
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{
    FEATURES, code, contiguous_from, cut_after, first, open, resume, resumed, say, start,
};
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, features};
use arcp_tower::Config;
use serde_json::json;

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
async fn s10_a_client_that_is_cut_before_it_read_its_welcome_can_come_again() {
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
async fn bad_input_22_nothing_read_and_everything_read_can_both_be_resumed_and_more_than_that_cannot() {
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

/// Events of a job, around what is read ahead.
const COUNTS: [u64; 8] = [0, 1, 2, 3, 63, 64, 65, 500];

#[tokio::test(start_paused = true)]
async fn t25_t26_the_end_of_a_replay_from_a_store_does_not_wait_for_anything() {
    // In few reads of the store, and in many.
    let small = Config::default().with(|c| (c.read_bytes, c.read_runs, c.replay_events) = (500, 1, 4));
    for config in [Config::default(), small] {
        for (capacity, count) in [0, 1, 3, 64].into_iter().flat_map(|c| COUNTS.map(|count| (c, count))) {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
            let server = start(Some(store.clone()), &config).await;
            let (mut peer, welcome) = open(&server, ALICE).await;
            let mut frames = Vec::new();
            for count in [count, 0] {
                let job = peer.submit("chatty", json!({ "count": count })).await;
                frames.extend(peer.job(&job).await);
            }
            drop((peer, server));
            let server = start(Some(store), &config).await;
            let mut peer = server.narrow(capacity);
            assert_eq!(peer.say_hello(resume(ALICE, &welcome, 0)).await["type"], "session.welcome");
            assert!(peer.during(Duration::from_secs(5)).await == frames, "{count} in {capacity}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t34_t35_close_and_bye_end_the_connection_and_not_the_session_or_its_jobs() {
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
