//! What a principal can find out about jobs of others: nothing, not even that they are there (§6.6,
//! §7.6, §14).

use std::collections::HashSet;
use std::sync::Arc;

use arcp_core::store::MemoryStore;
use arcp_core::store::flaky::FlakyStore;
use arcp_core::transport::Memory;
use arcp_tests::sessions::{code, open, resume, resumed, say, start};
use arcp_tests::stores::{kept, servers, stores};
use arcp_tests::{ALICE, BOB, Peer};
use arcp_tower::Config;
use serde_json::{Value, json};

/// A job that never was.
const NONE: &str = "job_7ZZZZZZZZZZZZZZZZZZZZZZZZZ";

/// Every way to ask for a job that is somebody else's.
fn questions(job: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("job.subscribe", json!({ "job_id": job })),
        ("job.subscribe", json!({ "job_id": job, "history": true, "from_event_seq": 1 })),
        ("job.unsubscribe", json!({ "job_id": job })),
        ("job.cancel", json!({ "job_id": job })),
        ("job.cancel", json!({ "job_id": job, "reason": "mine" })),
    ]
}

/// Everything that is said to a question, up to the answer to a ping behind it, without what the
/// question itself said and what differs by chance.
async fn said_to(peer: &mut Peer<Memory>, kind: &str, payload: Value, job: &str) -> Vec<String> {
    let asked = peer.send(kind, payload).await;
    let ping = peer.send("session.ping", json!({ "nonce": "behind" })).await;
    let mut said = Vec::new();
    loop {
        let mut frame = peer.next().await;
        if frame["type"] == "session.pong" {
            // A pong overtakes what a store is asked for.
            said.extend(
                peer.during(std::time::Duration::from_secs(60))
                    .await
                    .iter_mut()
                    .map(|f| mask(f, &asked, job)),
            );
            assert!(!ping.is_empty());
            return said;
        }
        said.push(mask(&mut frame, &asked, job));
    }
}

fn mask(frame: &mut Value, asked: &str, job: &str) -> String {
    for field in ["id", "timestamp"] {
        frame.as_object_mut().unwrap().remove(field);
    }
    if let Some(payload) = frame["payload"].as_object_mut() {
        payload.remove("completed_at");
    }
    frame.to_string().replace(asked, "<request>").replace(job, "<job>")
}

/// An ended job and one that runs.
async fn jobs_of_alice(peer: &mut Peer<Memory>) -> [String; 2] {
    let ended = peer.submit("chatty", json!({ "count": 3 })).await;
    peer.job(&ended).await;
    let running = peer.submit("slow", json!({})).await;
    peer.kind("job.event").await;
    [ended, running]
}

#[tokio::test(start_paused = true)]
async fn s1_a_job_of_somebody_else_is_as_unknown_as_none() {
    for store in stores() {
        let server = start(store.clone(), &Config::default()).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let jobs = jobs_of_alice(&mut alice).await;
        let mut servers = vec![server];
        if let Some(store) = store {
            // Now they are in the store only.
            drop(alice);
            servers.clear();
            servers.push(start(Some(store), &Config::default()).await);
        }
        let (mut bob, _) = open(&servers[0], BOB).await;
        for job in &jobs {
            for ((kind, of_alice), (_, of_nobody)) in questions(job).into_iter().zip(questions(NONE)) {
                let theirs = said_to(&mut bob, kind, of_alice, job).await;
                let nobodys = said_to(&mut bob, kind, of_nobody, NONE).await;
                assert_eq!(theirs, nobodys, "{kind}");
                let refused = theirs.iter().any(|said| said.contains("JOB_NOT_FOUND"));
                assert_eq!(refused, kind != "job.unsubscribe", "{kind}: {theirs:?}");
            }
        }
        bob.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn s2_asking_for_somebody_elses_job_asks_a_store_the_same_as_asking_for_none() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut alice, _) = open(&server, ALICE).await;
    let jobs = jobs_of_alice(&mut alice).await;
    let (mut bob, _) = open(&server, BOB).await;
    bob.works().await;
    for job in &jobs {
        for ((kind, of_alice), (_, of_nobody)) in questions(job).into_iter().zip(questions(NONE)) {
            let mut costs = Vec::new();
            for (question, job) in [(of_alice, job.as_str()), (of_nobody, NONE)] {
                let before = store.calls();
                said_to(&mut bob, kind, question, job).await;
                let after = store.calls();
                costs.push((after.reads - before.reads, after.commits - before.commits));
            }
            assert_eq!(costs[0], costs[1], "{kind}: calls of the store");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t79_whatever_bob_tries_no_byte_of_alice_reaches_him() {
    const SECRET: &str = "a-word-of-alice";
    for store in stores() {
        let server = start(store.clone(), &Config::default()).await;
        let (mut alice, hers) = open(&server, ALICE).await;
        let submit = json!({ "agent": "echo", "input": { "word": SECRET }, "idempotency_key": "shared-key" });
        let ended = alice.submit_with(submit.clone()).await;
        alice.job(&ended).await;
        let running = alice.submit("slow", json!({ "word": SECRET })).await;
        alice.kind("job.event").await;

        let (mut bob, _) = open(&server, BOB).await;
        let mut questions = questions(&ended);
        questions.extend(self::questions(&running));
        for filter in [json!({}), json!({ "agent": "echo" }), json!({ "status": ["running", "success"] })] {
            questions.push(("session.list_jobs", json!({ "filter": filter, "limit": 1000 })));
        }
        let other = json!({ "agent": "echo", "input": 7, "idempotency_key": "shared-key" });
        questions.push(("job.submit", other));
        for (kind, payload) in questions {
            bob.send(kind, payload).await;
        }
        let mut heard = bob.during(std::time::Duration::from_secs(60)).await;
        for stolen in [resume(BOB, &hers, 0), resume("nobody", &hers, 0)] {
            let (mut peer, refused) = say(&server, stolen).await;
            heard.push(refused);
            heard.extend(peer.during(std::time::Duration::from_secs(1)).await);
        }
        // His own job came through: the questions were understood.
        assert!(heard.iter().any(|frame| frame["payload"]["result"] == 7));
        for mut frame in heard {
            // A refusal names the job that was asked for: that is his own word.
            if !code(&frame).is_empty() {
                frame = json!(frame.to_string().replace(&ended, "").replace(&running, ""));
            }
            let text = frame.to_string();
            for of_alice in [SECRET, "alice", &ended, &running] {
                assert!(!text.contains(of_alice), "{of_alice} in {text}");
            }
        }
        // And she lost nothing by it.
        resumed(&server, ALICE, &hers, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s6_t66_watching_a_job_gives_no_right_to_cancel_it() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let (mut watcher, welcome) = open(&server, ALICE).await;
        let job = owner.submit("slow", json!({ "ms": 60_000 })).await;
        watcher.subscribe(&job, true).await;
        assert_eq!(code(&watcher.cancel(&job).await), "PERMISSION_DENIED");
        // Neither after a resume.
        drop(watcher);
        let (mut watcher, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert_eq!(code(&watcher.cancel(&job).await), "PERMISSION_DENIED");
        for peer in [&mut owner, &mut watcher] {
            assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], "slept");
        }
    }
}

/// An id without its tag.
fn random_part(id: &Value) -> String {
    id.as_str().unwrap().rsplit('_').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn s4_ids_of_sessions_jobs_and_events_are_random_and_tell_no_time_or_order() {
    let server = start(None, &Config::default()).await;
    let (mut sessions, mut jobs, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        let (mut peer, welcome) = open(&server, ALICE).await;
        sessions.push(random_part(&welcome["session_id"]));
        for n in 0..40 {
            let job = peer.submit("echo", json!(n)).await;
            let end = peer.job(&job).await;
            jobs.push(random_part(&json!(job)));
            events.push(random_part(&end[0]["id"]));
        }
    }
    for ids in [sessions, jobs, events] {
        assert!(ids.iter().all(|id| id.len() == 26), "128 bits: {}", ids[0]);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        for place in 0..26 {
            let there: HashSet<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
            // The first digit has 3 bits, the others 5: 20 random ones have more than a few values.
            assert!(there.len() >= if place == 0 { 3 } else { 5 }, "place {place}: {there:?}");
        }
        let ordered = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((ids.len() / 10..ids.len() * 9 / 10).contains(&ordered), "{ordered} of {}", ids.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_id_of_an_event_is_the_same_in_a_replay_and_another_in_another_session() {
    for store in kept() {
        let server = start(Some(store.clone()), &Config::default()).await;
        let (mut first, welcome) = open(&server, ALICE).await;
        let (mut second, _) = open(&server, ALICE).await;
        let job = first.submit("chatty", json!({ "count": 20 })).await;
        let frames = first.job(&job).await;
        second.subscribe(&job, true).await;
        let watched = second.job(&job).await;
        let ids =
            |frames: &[Value]| frames.iter().map(|frame| frame["id"].to_string()).collect::<HashSet<_>>();
        assert!(ids(&frames).is_disjoint(&ids(&watched)));
        drop((first, second, server));
        let server = start(Some(store), &Config::default()).await;
        let (mut again, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert!(again.job(&job).await == frames);
    }
}
