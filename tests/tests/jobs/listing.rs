//! `session.list_jobs` (§6.6): pages, filters, cursors, and whose jobs are listed. Each on no store
//! and on one, there before and after a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use arcp_core::Timestamp;
use arcp_core::transport::Memory;
use arcp_tests::sessions::{code, open, start};
use arcp_tests::stores::stores;
use arcp_tests::{ALICE, BOB, Peer, timed};
use arcp_tower::{Clock, Config};
use serde_json::{Value, json};
use tokio::time::sleep;

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
async fn t76_filters_pick_by_status_agent_and_time() {
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
async fn bad_input_27_a_listing_that_breaks_a_rule_is_refused_by_name() {
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
async fn s3_bad_input_27_a_cursor_is_good_for_its_principal_and_its_filter_only() {
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
async fn t71_t77_an_entry_says_where_the_job_stands_in_the_submitting_session() {
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

#[tokio::test(start_paused = true)]
async fn t74_jobs_of_the_same_instant_are_each_listed_once() {
    // The clock stands still, so that time alone puts nothing in order.
    let still = Clock::new(|| Timestamp::from_millis(1_800_000_000_000));
    for store in stores() {
        let config = Config::default().with(|c| c.clock = still.clone());
        let server = start(store, &config).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let jobs = submit_some(&mut peer).await;
        let whole = all(&mut peer, 1000, &json!({})).await;
        assert!(whole.iter().cloned().collect::<BTreeSet<_>>() == jobs);
        for limit in [1, 3, 26] {
            assert!(all(&mut peer, limit, &json!({})).await == whole, "{limit}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t74_jobs_that_come_and_go_between_pages_neither_repeat_nor_hide_others() {
    let short = |c: &mut Config| {
        c.retention = Duration::from_secs(1000);
        c.sweep = Duration::from_secs(10);
    };
    for store in stores() {
        let server = start(store, &timed(short)).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let mut before = Vec::new();
        for n in 0..12 {
            sleep(Duration::from_secs(50)).await;
            let job = peer.submit("echo", json!(n)).await;
            let end = peer.job(&job).await;
            peer.ack(end[0]["event_seq"].as_u64().unwrap()).await;
            before.push(job);
        }
        // Newest first; while the pages are read, new ones come and the oldest go.
        before.reverse();
        let (mut found, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let mut payload = json!({ "limit": 2 });
            if !cursor.is_null() {
                payload["cursor"] = cursor;
            }
            let page = list(&mut peer, payload).await;
            found.extend(ids(&page));
            cursor = page["payload"]["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
            let job = peer.submit("echo", json!("new")).await;
            let end = peer.job(&job).await;
            peer.ack(end[0]["event_seq"].as_u64().unwrap()).await;
            sleep(Duration::from_secs(130)).await;
        }
        assert!(before.starts_with(&found), "{} of {}", found.len(), before.len());
        assert!((6..12).contains(&found.len()), "{} were found", found.len());
    }
}

#[tokio::test(start_paused = true)]
async fn t75_bad_input_27_a_cursor_that_is_none_is_refused_in_words_that_tell_nothing() {
    for store in stores() {
        let server = start(store, &Config::default()).await;
        let (mut peer, _) = open(&server, ALICE).await;
        submit_some(&mut peer).await;
        let page = list(&mut peer, json!({ "limit": 5 })).await;
        let cursor = page["payload"]["next_cursor"].as_str().unwrap().to_owned();
        // It says neither when nor what: no id, no time in it.
        for id in ids(&page) {
            assert!(!cursor.contains(&id) && !cursor.contains(&id[4..]));
        }
        let mut words = BTreeSet::new();
        for bad in [
            "garbage",
            "",
            "a.b.c",
            "{}",
            "\u{e9}",
            &cursor[1..],
            &format!("{cursor}0"),
            &"x".repeat(1 << 16),
        ] {
            let refused = list(&mut peer, json!({ "cursor": bad })).await;
            assert_eq!(code(&refused), "INVALID_REQUEST");
            words.insert(refused["payload"]["message"].to_string());
        }
        assert_eq!(words.len(), 1, "{words:?}");
        assert!(words.first().unwrap().contains("payload.cursor: must be"));
    }
}

#[tokio::test(start_paused = true)]
async fn t72_ended_jobs_go_from_listings_after_their_time_though_nothing_else_happens() {
    let short = |c: &mut Config| {
        (c.retention, c.sweep) = (Duration::from_secs(100), Duration::from_secs(10));
    };
    for store in stores() {
        let server = start(store, &timed(short)).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let job = peer.submit("echo", json!(1)).await;
        let end = peer.job(&job).await;
        peer.ack(end[0]["event_seq"].as_u64().unwrap()).await;
        let running = peer.submit("slow", json!({})).await;
        sleep(Duration::from_secs(80)).await;
        assert_eq!(all(&mut peer, 10, &json!({})).await.len(), 2);
        sleep(Duration::from_secs(80)).await;
        assert_eq!(all(&mut peer, 10, &json!({})).await, [running]);
        for kind in ["job.subscribe", "job.cancel"] {
            let id = peer.send(kind, json!({ "job_id": job })).await;
            assert_eq!(code(&peer.reply(&id).await), "JOB_NOT_FOUND");
        }
    }
}
