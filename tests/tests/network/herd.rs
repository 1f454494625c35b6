//! Many resumes at once: of one session, and of all after a restart (§6.3).

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_tests::ALICE;
use arcp_tests::sessions::{contiguous_from, open, resumed, start};
use arcp_tower::Config;
use serde_json::json;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn bad_input_49_a_thousand_resumes_of_one_session_in_a_second_leave_it_whole() {
    let stores = [None, Some(Arc::new(MemoryStore::default()) as _)];
    for store in stores {
        let server = start(store, &Config::default()).await;
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 1000, "delay_ms": 1 })).await;
        let (mut seen, mut ended) = (Vec::new(), false);
        for _ in 0..1000 {
            let next = resumed(&server, ALICE, &welcome, seen.len() as u64).await;
            // Half of the connections before are still there, half are gone.
            let old = std::mem::replace(&mut peer, next.0);
            welcome = next.1;
            let held = (seen.len() % 2 == 0).then_some(old);
            sleep(Duration::from_millis(1)).await;
            for frame in peer.during(Duration::ZERO).await {
                if frame["job_id"] == job && frame["event_seq"].is_u64() {
                    ended |= frame["type"] == "job.result";
                    seen.push(frame);
                }
            }
            drop(held);
        }
        if !ended {
            seen.extend(peer.job(&job).await);
        }
        assert!(seen.len() == 1001 && contiguous_from(1, &seen), "{} events", seen.len());
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_49_after_a_restart_a_thousand_sessions_that_resume_at_once_all_get_what_is_theirs() {
    let store: Arc<dyn arcp_core::store::Store> = Arc::new(MemoryStore::default());
    let config = Config::default();
    let server = start(Some(store.clone()), &config).await;
    let mut sessions = Vec::new();
    for n in 0..1000 {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 1 + n % 7 })).await;
        sessions.push((welcome, job.clone(), peer.job(&job).await));
    }
    drop(server);
    let server = start(Some(store), &config).await;
    let resumes = sessions.iter().map(|(welcome, job, frames)| {
        let server = &server;
        async move {
            let (mut peer, _) = resumed(server, ALICE, welcome, 0).await;
            assert!(peer.job(job).await == *frames, "not the same to the byte");
        }
    });
    futures_util::future::join_all(resumes).await;
}
