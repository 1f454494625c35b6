//! Whose jobs a principal may know of (§6.6, §7.6): its own, and those that the policy adds. Each on
//! no store and on one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_core::transport::Memory;
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{Stack, code, contiguous_from, open, resume, resumed, say};
use arcp_tests::{ALICE, BOB, Memories, Peer, agents, timed, tokens};
use arcp_tower::{Access, AuthLayer, Observed, Principal, Runtime};
use serde_json::{Value, json};
use tokio::time::sleep;

/// A runtime where Bob may go as far as `access` with Alice's jobs, and she with nobody's.
async fn server(store: Option<Arc<MemoryStore>>, access: Option<Access>) -> Memories<Stack> {
    let policy = move |observer: &Principal| match access {
        Some(access) if observer.name() == "bob" => {
            // Himself once more, and somebody twice: that changes nothing.
            let of = |name: &str, access| Observed::new(Principal::new(name), access);
            vec![
                of("bob", Access::List),
                of("alice", Access::List),
                of("alice", access),
                of("nobody", access),
            ]
        }
        _ => Vec::new(),
    };
    let config = timed(|_| {});
    let builder = agents::all(Runtime::builder()).config(config.clone()).observe(policy);
    let runtime = match store {
        Some(store) => builder.store(store).open().await.unwrap(),
        None => builder.build().unwrap(),
    };
    Memories::of(runtime.layer(AuthLayer::new(tokens())), &config)
}

fn stores() -> [Option<Arc<MemoryStore>>; 2] {
    [None, Some(Arc::new(MemoryStore::default()))]
}

async fn subscribe(peer: &mut Peer<Memory>, job: &str) -> Value {
    let id = peer.send("job.subscribe", json!({ "job_id": job, "history": true })).await;
    peer.reply(&id).await
}

/// The jobs of a listing in pages of `limit`, in the order of the pages.
async fn listed(peer: &mut Peer<Memory>, limit: u64) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut payload = json!({ "limit": limit });
        if !cursor.is_null() {
            payload["cursor"] = cursor;
        }
        let id = peer.send("session.list_jobs", payload).await;
        let page = peer.reply(&id).await["payload"].clone();
        let jobs = page["jobs"].as_array().unwrap();
        assert!(jobs.len() as u64 <= limit);
        found.extend(jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return found;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_watch_somebody_elses_job_is_sent_all_of_it_under_its_own_numbers() {
    for store in stores() {
        let server = server(store, Some(Access::Watch)).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let own = bob.submit("echo", json!(1)).await;
        bob.job(&own).await;
        let job = alice.submit("chatty", json!({ "count": 9, "delay_ms": 10 })).await;
        alice.kind("job.event").await;
        let reply = subscribe(&mut bob, &job).await;
        assert_eq!(reply["type"], "job.subscribed", "{reply}");
        assert!(reply["payload"].get("credentials").is_none());
        let frames = bob.job(&job).await;
        assert!(contiguous_from(2, &frames) && frames.len() == 10);
        // And only to watch: it is not his.
        let running = alice.submit("slow", json!({})).await;
        subscribe(&mut bob, &running).await;
        let id = bob.send_of("job.cancel", &running, json!({})).await;
        assert_eq!(code(&bob.reply(&id).await), "PERMISSION_DENIED");
        alice.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_only_list_sees_that_it_is_there_and_no_event() {
    for store in stores() {
        let server = server(store, Some(Access::List)).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let job = alice.submit("chatty", json!({ "count": 2, "delay_ms": 1000 })).await;
        assert_eq!(listed(&mut bob, 10).await, std::slice::from_ref(&job));
        assert_eq!(code(&subscribe(&mut bob, &job).await), "PERMISSION_DENIED");
        let id = bob.send_of("job.cancel", &job, json!({})).await;
        assert_eq!(code(&bob.reply(&id).await), "PERMISSION_DENIED");
        assert!(numbers(&bob.during(Duration::from_secs(10)).await).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_nobody_knows_of_anybody_elses_job() {
    for store in stores() {
        let server = server(store, None).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let job = alice.submit("slow", json!({})).await;
        let unknown = "job_00000000000000000000000000";
        assert_eq!(listed(&mut bob, 10).await, [""; 0]);
        for job in [job.as_str(), unknown] {
            assert_eq!(code(&subscribe(&mut bob, job).await), "JOB_NOT_FOUND");
            let id = bob.send_of("job.cancel", job, json!({})).await;
            assert_eq!(code(&bob.reply(&id).await), "JOB_NOT_FOUND");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_over_several_principals_has_each_job_once_newest_first_in_pages_of_any_size() {
    for store in stores() {
        let server = server(store, Some(Access::List)).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let mut newest_first = Vec::new();
        for n in 0..13 {
            let peer = if n % 3 == 0 { &mut bob } else { &mut alice };
            newest_first.insert(0, peer.submit("echo", json!(n)).await);
            sleep(Duration::from_millis(2)).await;
        }
        for limit in [1, 2, 5, 12, 13, 14] {
            assert_eq!(listed(&mut bob, limit).await, newest_first, "in pages of {limit}");
        }
        let hers: BTreeSet<_> = listed(&mut alice, 4).await.into_iter().collect();
        assert_eq!(hers.len(), 8, "hers, and none of his");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_resumes_what_it_was_sent_of_somebody_elses_job_also_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let first = server(Some(store.clone()), Some(Access::Watch)).await;
    let (mut alice, _) = open(&first, ALICE).await;
    let (mut bob, welcome) = open(&first, BOB).await;
    let job = alice.submit("chatty", json!({ "count": 9, "delay_ms": 10 })).await;
    subscribe(&mut bob, &job).await;
    let frames = bob.job(&job).await;
    drop(bob);
    let (mut bob, welcome) = resumed(&first, BOB, &welcome, 4).await;
    assert!(bob.job(&job).await == frames[4..]);
    drop(bob);
    let second = server(Some(store.clone()), Some(Access::Watch)).await;
    let (mut bob, welcome) = resumed(&second, BOB, &welcome, 2).await;
    assert!(bob.job(&job).await == frames[2..]);
    drop(bob);
    sleep(Duration::from_secs(1)).await;
    // Where he may not know of it any more, it is not replayed to him either.
    let strict = server(Some(store), None).await;
    let (_, refused) = say(&strict, resume(BOB, &welcome, 2)).await;
    assert_eq!(code(&refused), "RESUME_WINDOW_EXPIRED");
}

#[tokio::test(start_paused = true)]
async fn t89_s45_every_decision_on_a_subscription_leaves_one_record() {
    let store = Arc::new(MemoryStore::default());
    let server = server(Some(store.clone()), Some(Access::Watch)).await;
    let (mut alice, _) = open(&server, ALICE).await;
    let (mut bob, _) = open(&server, BOB).await;
    let hers = alice.submit("echo", json!(1)).await;
    let his = bob.submit("echo", json!(2)).await;
    subscribe(&mut bob, &hers).await;
    subscribe(&mut alice, &his).await;
    subscribe(&mut alice, &hers).await;
    let records: Vec<Value> =
        store.audit().into_iter().map(|(_, record)| serde_json::from_str(record.as_str()).unwrap()).collect();
    let record = |subscriber: &str, job: &str, owner: Option<&str>| {
        let mut record = json!({
            "what": "job.subscribe", "subscriber": subscriber, "job_id": job, "allowed": owner.is_some(),
        });
        if let Some(owner) = owner {
            record["owner"] = json!(owner);
        }
        record
    };
    let expected = [
        record("bob", &hers, Some("alice")),
        record("alice", &his, None),
        record("alice", &hers, Some("alice")),
    ];
    assert_eq!(records, expected);
}

#[tokio::test(start_paused = true)]
async fn t78_a_policy_that_panics_shows_nothing_and_harms_nothing() {
    for store in stores() {
        let policy = |_: &Principal| -> Vec<Observed> { panic!("no policy today") };
        let config = timed(|_| {});
        let builder = agents::all(Runtime::builder()).config(config.clone()).observe(policy);
        let runtime = match store {
            Some(store) => builder.store(store).open().await.unwrap(),
            None => builder.build().unwrap(),
        };
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
        let (mut alice, _) = open(&server, ALICE).await;
        let job = alice.submit("slow", json!({})).await;
        let (mut bob, welcome) = open(&server, BOB).await;
        assert_eq!(code(&subscribe(&mut bob, &job).await), "JOB_NOT_FOUND");
        assert!(listed(&mut bob, 10).await.is_empty());
        // One's own needs no policy.
        assert_eq!(listed(&mut alice, 10).await, [job]);
        let own = bob.submit("echo", json!(1)).await;
        bob.job(&own).await;
        drop(bob);
        let (mut bob, _) = resumed(&server, BOB, &welcome, 0).await;
        assert_eq!(numbers(&bob.job(&own).await), [1]);
    }
}
