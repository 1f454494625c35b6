//! `session.list_jobs` (§6.6): pages, filters, cursors, and whose jobs are listed. Each on no store
//! and on one, there before and after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use arcp_core::transport::Memory;
use arcp_tests::sessions::{code, open, start};
use arcp_tests::stores::stores;
use arcp_tests::{ALICE, BOB, Peer};
use arcp_tower::Config;
use serde_json::{Value, json};

async fn list(peer: &mut Peer<Memory>, payload: Value) -> Value {
    let id = peer.send("session.list_jobs", payload).await;
    peer.reply(&id).await
}

fn ids(page: &Value) -> Vec<String> {
    let jobs = page["payload"]["jobs"].as_array().unwrap();
    jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
}

/// Every job of a listing, page by page.
async fn all(peer: &mut Peer<Memory>, limit: usize, filter: &Value) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut payload = json!({ "limit": limit, "filter": filter });
        if !cursor.is_null() {
            payload["cursor"] = cursor;
        }
        let page = list(peer, payload).await;
        assert_eq!(page["type"], "session.jobs", "{}", page["payload"]);
        let page_ids = ids(&page);
        assert!(page_ids.len() <= limit);
        found.extend(page_ids);
        cursor = page["payload"]["next_cursor"].clone();
        if cursor.is_null() {
            return found;
        }
    }
}

/// 25 ended jobs and one that runs.
async fn submit_some(peer: &mut Peer<Memory>) -> BTreeSet<String> {
    let mut jobs = BTreeSet::new();
    for n in 0..25 {
        let agent = ["echo", "echo@1.0.0", "fails"][n % 3];
        let input = if agent == "fails" { json!({ "ms": 1 }) } else { json!(n) };
        let job = peer.submit(agent, input).await;
        peer.job(&job).await;
        jobs.insert(job);
    }
    jobs.insert(peer.submit("slow", json!({})).await);
    peer.kind("job.event").await;
    jobs
}

#[tokio::test(start_paused = true)]
async fn pages_of_any_size_list_every_job_once() {
    for store in stores() {
        let mut server = start(store.clone(), &Config::default()).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let jobs = submit_some(&mut peer).await;
        for restarted in [false, true] {
            if restarted {
                if store.is_none() {
                    break;
                }
                drop(peer);
                server = start(store.clone(), &Config::default()).await;
                peer = open(&server, ALICE).await.0;
            }
            let whole = all(&mut peer, 1000, &json!({})).await;
            assert_eq!(whole.len(), 26);
            for limit in [1, 5, 7, 25, 26, 27] {
                assert!(all(&mut peer, limit, &json!({})).await == whole, "{limit} {restarted}");
            }
            assert!(whole.into_iter().collect::<BTreeSet<_>>() == jobs);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn filters_pick_by_status_agent_and_time() {
    for store in stores() {
        let server = start(store.clone(), &Config::default()).await;
        let (mut peer, _) = open(&server, ALICE).await;
        submit_some(&mut peer).await;
        let counts = [
            (json!({ "status": ["running"] }), 1),
            (json!({ "status": ["success"] }), 17),
            (json!({ "status": ["error"] }), 8),
            (json!({ "status": ["error", "running"] }), 9),
            (json!({ "status": [] }), 26),
            (json!({ "agent": "echo" }), 17),
            (json!({ "agent": "echo@1.0.0" }), 8),
            (json!({ "agent": "echo@2.0.0" }), 9),
            (json!({ "agent": "ech" }), 0),
            (json!({ "agent": "fails", "status": ["success"] }), 0),
            (json!({ "created_after": "2000-01-01T00:00:00Z" }), 26),
            (json!({ "created_after": "2999-01-01T00:00:00Z" }), 0),
        ];
        for (filter, count) in counts {
            assert_eq!(all(&mut peer, 4, &filter).await.len(), count, "{filter}");
        }
        drop(peer);
        if store.is_some() {
            // What ran has ended with the process.
            let server = start(store, &Config::default()).await;
            let (mut peer, _) = open(&server, ALICE).await;
            assert_eq!(all(&mut peer, 4, &json!({ "status": ["running"] })).await.len(), 0);
            assert_eq!(all(&mut peer, 4, &json!({ "status": ["error"] })).await.len(), 9);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_breaks_a_rule_is_refused_by_name() {
    for store in stores() {
        let server = start(store, &Config::default()).await;
        let (mut peer, _) = open(&server, ALICE).await;
        peer.submit("echo", json!(1)).await;
        for bad in [
            json!({ "limit": 0 }),
            json!({ "limit": -1 }),
            json!({ "limit": 1_u64 << 40 }),
            json!({ "limit": "5" }),
            json!({ "filter": { "status": ["nope"] } }),
            json!({ "filter": { "created_after": "yesterday" } }),
            json!({ "cursor": "garbage" }),
            json!({ "cursor": "" }),
            json!({ "cursor": 5 }),
        ] {
            let refused = list(&mut peer, bad.clone()).await;
            assert_eq!(code(&refused), "INVALID_REQUEST", "{bad}");
        }
        // A large one is only a wish.
        assert_eq!(ids(&list(&mut peer, json!({ "limit": i32::MAX })).await).len(), 1);
        peer.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_is_good_for_its_principal_and_its_filter_only() {
    for store in stores() {
        let server = start(store, &Config::default()).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        for peer in [&mut alice, &mut bob] {
            submit_some(peer).await;
        }
        let page = list(&mut alice, json!({ "limit": 5 })).await;
        let cursor = page["payload"]["next_cursor"].as_str().unwrap().to_owned();
        let theirs = list(&mut bob, json!({ "limit": 5, "cursor": cursor })).await;
        assert_eq!(code(&theirs), "INVALID_REQUEST");
        let other = json!({ "limit": 5, "cursor": cursor, "filter": { "agent": "echo" } });
        assert_eq!(code(&list(&mut alice, other).await), "INVALID_REQUEST");
        // Every character of it counts.
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(changed).unwrap();
            let refused = list(&mut alice, json!({ "limit": 5, "cursor": changed })).await;
            assert_eq!(code(&refused), "INVALID_REQUEST", "character {at}");
        }
        // Another session of the same principal may go on with it, and with another page size.
        let (mut again, _) = open(&server, ALICE).await;
        assert_eq!(ids(&list(&mut again, json!({ "limit": 50, "cursor": cursor })).await).len(), 21);
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_of_others_are_not_there() {
    for store in stores() {
        let server = start(store.clone(), &Config::default()).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let hers = submit_some(&mut alice).await;
        let (mut bob, _) = open(&server, BOB).await;
        assert!(all(&mut bob, 10, &json!({})).await.is_empty());
        let his = bob.submit("echo", json!(1)).await;
        assert!(all(&mut bob, 10, &json!({})).await == [his]);
        assert_eq!(all(&mut alice, 10, &json!({})).await.len(), hers.len());
        if store.is_some() {
            let server = start(store, &Config::default()).await;
            let (mut bob, _) = open(&server, BOB).await;
            assert_eq!(all(&mut bob, 10, &json!({})).await.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_says_where_the_job_stands_in_the_submitting_session() {
    for store in stores() {
        let server = start(store, &Config::default()).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 3 })).await;
        peer.job(&job).await;
        let (mut other, _) = open(&server, ALICE).await;
        let entry = list(&mut other, json!({})).await["payload"]["jobs"][0].clone();
        assert_eq!(entry["last_event_seq"], 4);
        assert_eq!((&entry["status"], &entry["agent"]), (&json!("success"), &json!("chatty@1.0.0")));
        assert_eq!(entry["created_at"], entry["submitted_at"]);
    }
}
