//! `job.subscribe` (§7.6): what a watcher is sent, from where on, and until when. Each on no store, on
//! one in memory, and on a file.

use std::time::Duration;

use arcp_core::transport::Memory;
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{Stack, code, contiguous_from, open, resumed, start};
use arcp_tests::stores::{kept, servers, stores};
use arcp_tests::{ALICE, BOB, Memories, Peer, timed};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

/// What a job said, without who was told and under which number.
fn bodies(frames: &[Value]) -> Vec<&Value> {
    frames.iter().map(|frame| &frame["payload"]).collect()
}

async fn ask(peer: &mut Peer<Memory>, payload: Value) -> Value {
    let id = peer.send("job.subscribe", payload).await;
    peer.reply(&id).await
}

/// A watcher of a session of its own.
async fn watcher(server: &Memories<Stack>) -> Peer<Memory> {
    open(server, ALICE).await.0
}

#[tokio::test(start_paused = true)]
async fn t81_history_and_then_live_is_every_event_once_wherever_they_meet() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("chatty", json!({ "count": 100, "delay_ms": 10 })).await;
        let mut watchers = Vec::new();
        for n in 0..12 {
            // Also beside the very moment of an event.
            sleep(Duration::from_millis(if n % 3 == 0 { 30 } else { 97 })).await;
            let (mut with, mut without) = (watcher(&server).await, watcher(&server).await);
            with.subscribe(&job, true).await;
            without.subscribe(&job, false).await;
            watchers.push((with, without));
        }
        let frames = owner.job(&job).await;
        assert_eq!(frames.len(), 101);
        for (mut with, mut without) in watchers {
            let (all, rest) = (with.job(&job).await, without.job(&job).await);
            assert!(bodies(&all) == bodies(&frames));
            assert!(bodies(&frames).ends_with(&bodies(&rest)) && !rest.is_empty());
            assert!(contiguous_from(1, &all) && contiguous_from(1, &rest));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t80_bad_input_37_a_watch_begins_after_a_number_of_the_session_that_submitted_the_job() {
    for restarted in [false, true] {
        for store in kept() {
            let mut server = start(Some(store.clone()), &Config::default()).await;
            let (mut owner, _) = open(&server, ALICE).await;
            // Two jobs in turn, so that the numbers are not those of the job.
            let mut jobs = Vec::new();
            for _ in 0..2 {
                jobs.push(owner.submit("chatty", json!({ "count": 8, "delay_ms": 100 })).await);
            }
            let mut frames = Vec::new();
            while frames.iter().filter(|frame| is_terminal(frame)).count() < 2 {
                frames.push(owner.next().await);
            }
            drop(owner);
            if restarted {
                server = start(Some(store), &Config::default()).await;
            }
            let of = |job: &str, after: u64| -> Vec<&Value> {
                let later = |frame: &&Value| frame["event_seq"].as_u64().unwrap() > after;
                frames.iter().filter(later).filter(|f| f["job_id"] == job).map(|f| &f["payload"]).collect()
            };
            for job in &jobs {
                let last =
                    frames.iter().rev().find(|f| f["job_id"] == json!(job)).unwrap()["event_seq"].clone();
                for after in 0..=20 {
                    let mut watcher = watcher(&server).await;
                    let asked = json!({ "job_id": job, "history": true, "from_event_seq": after });
                    let subscribed = ask(&mut watcher, asked).await;
                    assert_eq!(subscribed["payload"]["subscribed_from"], last);
                    assert_eq!(subscribed["payload"]["current_status"], "success");
                    let replay = watcher.during(Duration::from_secs(10)).await;
                    let mut wanted = of(job, after);
                    if wanted.is_empty() {
                        // Without the end nobody would know that it has ended.
                        wanted = of(job, last.as_u64().unwrap() - 1);
                    }
                    assert!(bodies(&replay) == wanted, "after {after}: {} events", replay.len());
                    assert_eq!(subscribed["payload"]["replayed"], true);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t80_the_answer_says_whether_history_follows() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("slow", json!({ "ms": 60_000 })).await;
        let first = owner.kind("job.event").await["event_seq"].as_u64().unwrap();
        for (history, from, replayed) in [
            (false, 0, false),
            (false, first, false),
            (true, 0, true),
            (true, first, false),
            (true, 99, false),
        ] {
            let mut watcher = watcher(&server).await;
            let asked = json!({ "job_id": job, "history": history, "from_event_seq": from });
            let subscribed = ask(&mut watcher, asked).await;
            assert_eq!(subscribed["payload"]["replayed"], replayed, "{history} {from}");
            assert_eq!(subscribed["payload"]["subscribed_from"], first);
            let there = watcher.during(Duration::from_secs(1)).await;
            assert_eq!(there.len(), usize::from(replayed), "{history} {from}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t83_the_answer_describes_the_job_and_what_it_may_do() {
    for server in servers(&Config::default()).await {
        let mut owner = server.open(ALICE, &["lease_expires_at", "cost.budget"]).await;
        let lease = json!({
            "fs.read": ["/workspace/**"], "x-vendor.acme.gpu": ["h100"], "cost.budget": ["USD:5.00"],
        });
        let ends = json!({ "expires_at": "2099-01-01T00:00:00.000Z" });
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let submit =
            json!({ "agent": "slow", "input": {}, "lease_request": lease, "lease_constraints": ends });
        let (id, mut message) = owner.message("job.submit", &submit);
        message["trace_id"] = json!(trace);
        owner.send_text(message.to_string()).await;
        let job = owner.reply(&id).await["job_id"].as_str().unwrap().to_owned();
        owner.kind("job.event").await;
        let subscribed = watcher(&server).await.subscribe(&job, false).await;
        let payload = &subscribed["payload"];
        assert_eq!((&payload["job_id"], &subscribed["job_id"]), (&json!(job), &json!(job)));
        assert_eq!(payload["current_status"], "running");
        assert_eq!(payload["agent"], "slow@1.0.0");
        assert_eq!(payload["lease"], lease);
        assert_eq!(payload["lease_constraints"], ends);
        assert_eq!(payload["budget"], json!({ "USD": 5 }));
        assert_eq!(payload["trace_id"], trace);
        assert_eq!(payload["subscribed_from"], 1);
        assert!(payload["credentials"].is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn t82_copies_have_the_watchers_session_and_its_numbers_and_leave_the_owners_alone() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let mut watcher = watcher(&server).await;
        // The watcher's own numbers are ahead.
        let own = watcher.submit("chatty", json!({ "count": 5 })).await;
        watcher.job(&own).await;
        let job = owner.submit("chatty", json!({ "count": 20, "delay_ms": 10 })).await;
        watcher.subscribe(&job, true).await;
        let (frames, copies) = (owner.job(&job).await, watcher.job(&job).await);
        assert!(contiguous_from(1, &frames) && contiguous_from(7, &copies));
        assert!(bodies(&frames) == bodies(&copies));
        assert!(frames.iter().all(|frame| frame["session_id"] == owner.session()));
        assert!(copies.iter().all(|copy| copy["session_id"] == watcher.session()));
        assert!(frames.iter().zip(&copies).all(|(frame, copy)| frame["trace_id"] == copy["trace_id"]));
    }
}

#[tokio::test(start_paused = true)]
async fn t88_bad_input_37_watching_twice_or_what_one_submitted_is_one_stream() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let mut watcher = watcher(&server).await;
        let job = owner.submit("chatty", json!({ "count": 20, "delay_ms": 10 })).await;
        for peer in [&mut owner, &mut watcher] {
            for history in [true, true, false] {
                peer.subscribe(&job, history).await;
            }
        }
        for peer in [&mut owner, &mut watcher] {
            let frames = peer.job(&job).await;
            assert!(frames.len() == 21 && contiguous_from(1, &frames));
            assert!(peer.during(Duration::from_secs(10)).await.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t50_t86_an_end_reaches_every_watcher_and_each_end_once() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        for (agent, kind) in [("chatty", "job.result"), ("fails", "job.error"), ("panics", "job.error")] {
            let job = owner.submit(agent, json!({ "count": 3, "delay_ms": 100, "ms": 300 })).await;
            let mut watchers = Vec::new();
            for _ in 0..5 {
                let mut watcher = watcher(&server).await;
                watcher.subscribe(&job, true).await;
                watchers.push(watcher);
            }
            let frames = owner.job(&job).await;
            // Nobody's copy is told again: not as an event of the job, and not to anybody.
            assert!(owner.during(Duration::from_secs(10)).await.is_empty());
            for mut watcher in watchers {
                let copies = watcher.during(Duration::from_secs(10)).await;
                assert!(bodies(&copies) == bodies(&frames));
                assert_eq!(copies.last().unwrap()["type"], kind);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_38_unsubscribe_ends_the_copies_and_may_be_said_at_any_time() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let mut watcher = watcher(&server).await;
        let job = owner.submit("chatty", json!({ "count": 30, "delay_ms": 100 })).await;
        // What was never watched, and what never was.
        for id in [job.as_str(), "job_00000000000000000000000000"] {
            watcher.send("job.unsubscribe", json!({ "job_id": id })).await;
        }
        watcher.subscribe(&job, true).await;
        for _ in 0..5 {
            watcher.kind("job.event").await;
        }
        watcher.send("job.unsubscribe", json!({ "job_id": job })).await;
        watcher.send("job.unsubscribe", json!({ "job_id": job })).await;
        let late = watcher.during(Duration::from_secs(1)).await;
        assert!(late.len() < 2, "one may have been under way");
        // It may be watched again, from its beginning.
        watcher.subscribe(&job, true).await;
        let again = watcher.job(&job).await;
        assert_eq!(again.len(), 31);
        assert!(contiguous_from(6 + late.len() as u64, &again));
        // One's own cannot be let go.
        let own = watcher.submit("slow", json!({ "ms": 100 })).await;
        let id = watcher.send("job.unsubscribe", json!({ "job_id": own })).await;
        assert_eq!(code(&watcher.reply(&id).await), "INVALID_REQUEST");
        watcher.job(&own).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_38_unsubscribe_in_the_middle_of_a_history_ends_it() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("chatty", json!({ "count": 4000 })).await;
        owner.job(&job).await;
        let mut watcher = server.narrow(1);
        watcher.hello(ALICE, &arcp_tests::sessions::FEATURES).await;
        watcher.subscribe(&job, true).await;
        watcher.kind("job.event").await;
        watcher.send("job.unsubscribe", json!({ "job_id": job })).await;
        let rest = watcher.during(Duration::from_secs(60)).await;
        assert!(rest.len() < 3000 && contiguous_from(2, &rest), "{} came", rest.len());
        assert!(!rest.iter().any(is_terminal));
        watcher.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn t49_bad_input_38_a_session_follows_as_many_jobs_as_it_may_and_an_end_makes_room() {
    for server in servers(&Config::default().with(|c| c.max_feeds = 20)).await {
        let mut owners = Vec::new();
        let mut jobs = Vec::new();
        for _ in 0..2 {
            let (mut owner, _) = open(&server, ALICE).await;
            for n in 0..15 {
                jobs.push(owner.submit("slow", json!({ "ms": 60_000 + n })).await);
            }
            owners.push(owner);
        }
        let mut watcher = watcher(&server).await;
        for (n, job) in jobs.iter().enumerate() {
            let answer = ask(&mut watcher, json!({ "job_id": job })).await;
            if n < 20 {
                assert_eq!(answer["type"], "job.subscribed", "{n}");
            } else {
                assert_eq!(answer["payload"]["details"]["reason"], "limit", "{n}");
                assert_eq!(answer["payload"]["retryable"], true);
            }
        }
        watcher.job(&jobs[0]).await;
        watcher.subscribe(&jobs[29], true).await;
        watcher.job(&jobs[29]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_after_a_cut_a_close_and_a_restart() {
    for store in kept() {
        let mut server = start(Some(store.clone()), &Config::default()).await;
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("chatty", json!({ "count": 60, "delay_ms": 100 })).await;
        let (mut watcher, mut welcome) = open(&server, ALICE).await;
        watcher.subscribe(&job, true).await;
        let mut copies = Vec::new();
        for how in ["cut", "close", "restart"] {
            for _ in 0..5 {
                copies.push(watcher.kind("job.event").await);
            }
            match how {
                "close" => {
                    watcher.send("session.close", json!({})).await;
                    let rest = watcher.during(Duration::from_secs(2)).await;
                    copies.extend(rest.into_iter().filter(|frame| frame["event_seq"].is_u64()));
                }
                "restart" => server = start(Some(store.clone()), &Config::default()).await,
                _ => drop(watcher),
            }
            sleep(Duration::from_millis(700)).await;
            let last = *numbers(&copies).last().unwrap();
            (watcher, welcome) = resumed(&server, ALICE, &welcome, last).await;
        }
        copies.extend(watcher.job(&job).await);
        assert!(contiguous_from(1, &copies));
        let end = &copies.last().unwrap()["payload"];
        assert_eq!(end["details"]["reason"], "runtime_restarted");
        assert_eq!(copies.iter().filter(|copy| is_terminal(copy)).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_feature_nothing_can_be_watched() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("slow", json!({})).await;
        let mut plain = server.connect();
        plain.hello(ALICE, &["ack", "list_jobs"]).await;
        for kind in ["job.subscribe", "job.unsubscribe"] {
            let id = plain.send(kind, json!({ "job_id": job })).await;
            let refused = plain.reply(&id).await;
            assert_eq!(code(&refused), "INVALID_REQUEST");
            assert_eq!(refused["payload"]["details"]["feature"], "subscribe");
        }
        plain.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_37_who_watches_from_a_number_below_what_is_kept_is_refused_and_never_gets_less() {
    let small = timed(|c| {
        (c.window, c.log_events, c.log_bytes, c.backlog_bytes) = (4, 8, 1, 2000);
        c.max_session_bytes = 10_000;
    });
    for server in servers(&small).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let input = json!({ "count": 1000, "bytes": 1000, "delay_ms": 1000 });
        let job = owner.submit("chatty", input).await;
        // Much is forgotten, without a store since newer events came, and with one since the cap was passed.
        let sent = owner.during(Duration::from_secs(190)).await;
        let (first, last) = (sent[0]["event_seq"].clone(), sent.len() as u64);
        assert_eq!((first, last > 150), (json!(1), true));
        let mut peer = watcher(&server).await;
        let refused = ask(&mut peer, json!({ "job_id": job, "history": true, "from_event_seq": 1 })).await;
        assert_eq!(code(&refused), "RESUME_WINDOW_EXPIRED", "{refused}");
        let from = last - 3;
        let taken = ask(&mut peer, json!({ "job_id": job, "history": true, "from_event_seq": from })).await;
        assert_eq!((&taken["type"], &taken["payload"]["replayed"]), (&json!("job.subscribed"), &json!(true)));
        let event = peer.kind("job.event").await;
        assert_eq!(
            event["payload"]["body"]["message"].as_str().unwrap().split(' ').nth(1).unwrap(),
            from.to_string()
        );
        // Without a number it is what there is, up to the end.
        let mut peer = watcher(&server).await;
        let taken = ask(&mut peer, json!({ "job_id": job, "history": true })).await;
        assert_eq!(taken["type"], "job.subscribed");
        let frames = peer.during(Duration::from_secs(2)).await;
        assert!(frames.len() > 3 && contiguous_from(1, &frames));
    }
}

/// Asks for what came after `from`, and hears it: the events, or that it is refused.
async fn after(server: &Memories<Stack>, job: &str, from: u64) -> Option<Vec<Value>> {
    let mut watcher = watcher(server).await;
    let answer = ask(&mut watcher, json!({ "job_id": job, "history": true, "from_event_seq": from })).await;
    if code(&answer) == "RESUME_WINDOW_EXPIRED" {
        assert_eq!(answer["payload"]["details"]["field"], "from_event_seq");
        assert!(numbers(&watcher.during(Duration::from_secs(10)).await).is_empty());
        return None;
    }
    assert_eq!(answer["type"], "job.subscribed", "{answer}");
    Some(watcher.during(Duration::from_secs(10)).await)
}

#[tokio::test(start_paused = true)]
async fn who_watches_from_a_number_of_a_session_that_is_gone_is_refused_and_not_sent_all_of_it_again() {
    let config = timed(|c| {
        (c.resume_window, c.sweep) = (Duration::from_secs(60), Duration::from_secs(10));
    });
    for store in kept() {
        let server = start(Some(store.clone()), &config).await;
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("chatty", json!({ "count": 20 })).await;
        assert_eq!(owner.job(&job).await.len(), 21);
        owner.ack(21).await;
        owner.ping("n").await;
        drop(owner);
        sleep(Duration::from_secs(200)).await;
        // Who submitted the job is known as long as the process knows the job.
        assert_eq!(after(&server, &job, 15).await.unwrap().len(), 6);
        drop(server);
        let server = start(Some(store.clone()), &config).await;
        for from in [1, 15, 21, 99] {
            assert!(after(&server, &job, from).await.is_none(), "{from}");
        }
        // Whatever is kept can be had, and the end.
        assert_eq!(after(&server, &job, 0).await.unwrap().len(), 21);
        let mut live = watcher(&server).await;
        live.subscribe(&job, false).await;
        assert_eq!(live.job(&job).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_from_a_number_that_the_session_does_not_remember_is_refused_and_not_sent_more() {
    let config = Config::default().with(|c| c.max_runs = 4);
    for store in stores() {
        let mut server = start(store.clone(), &config).await;
        let (mut owner, _) = open(&server, ALICE).await;
        let running = owner.submit("slow", json!({})).await;
        assert_eq!(owner.kind("job.event").await["event_seq"], 1);
        let mut jobs = Vec::new();
        for n in 0..10 {
            let job = owner.submit("chatty", json!({ "count": 1 })).await;
            assert_eq!(numbers(&owner.job(&job).await), [2 + 2 * n, 3 + 2 * n]);
            jobs.push(job);
        }
        drop(owner);
        for restarted in [false, true] {
            if restarted {
                if store.is_none() {
                    break;
                }
                drop(server);
                server = start(store.clone(), &config).await;
            }
            // Of the numbers 1 to 21 the last eight are remembered.
            for from in [1, 12] {
                for job in [&running, &jobs[0], &jobs[5], &jobs[9]] {
                    assert!(after(&server, job, from).await.is_none(), "{restarted} {from}");
                }
            }
            // It had its numbers before, or none at all: who knows.
            assert!(after(&server, &jobs[0], 14).await.is_none(), "{restarted}");
            for (from, events) in [(13, 2), (17, 2), (18, 1), (19, 1), (99, 1)] {
                assert_eq!(after(&server, &jobs[8], from).await.unwrap().len(), events, "{restarted} {from}");
            }
            // What is still to come of it is known: its end, once it has one.
            let rest = after(&server, &running, 13).await.unwrap();
            assert_eq!(rest.len(), usize::from(restarted), "{rest:?}");
            assert!(rest.iter().all(is_terminal));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t85_a_watch_that_is_refused_takes_no_room() {
    let config = Config::default().with(|c| c.max_feeds = 4);
    for server in servers(&config).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let mut jobs = Vec::new();
        for _ in 0..4 {
            jobs.push(owner.submit("slow", json!({})).await);
        }
        let (mut other, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        sleep(Duration::from_secs(1)).await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        for n in 0..50u128 {
            let unknown = arcp_core::JobId::from_bits(n + 1);
            let id = other.send("job.subscribe", json!({ "job_id": unknown })).await;
            assert_eq!(other.reply(&id).await["payload"]["code"], "JOB_NOT_FOUND");
            let id = bob.send("job.subscribe", json!({ "job_id": jobs[0] })).await;
            assert_eq!(bob.reply(&id).await["payload"]["code"], "JOB_NOT_FOUND");
        }
        sleep(Duration::from_secs(1)).await;
        assert!(tasks() <= before, "{before} tasks before, {} after", tasks());
        for job in &jobs {
            let id = other.send("job.subscribe", json!({ "job_id": job })).await;
            assert_eq!(other.reply(&id).await["type"], "job.subscribed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t87_without_a_store_a_session_that_is_closed_is_sent_no_more_copies_and_its_resume_all_of_them() {
    let server = start(None, &Config::default()).await;
    let (mut owner, _) = open(&server, ALICE).await;
    let job = owner.submit("chatty", json!({ "count": 60, "delay_ms": 100 })).await;
    let (mut watcher, welcome) = open(&server, ALICE).await;
    watcher.subscribe(&job, true).await;
    let mut copies = vec![watcher.kind("job.event").await];
    watcher.send("session.close", json!({})).await;
    // The job says sixty times more that it is there.
    let rest = watcher.during(Duration::from_secs(30)).await;
    let closed = rest.iter().position(|frame| frame["type"] == "session.closed").unwrap();
    assert_eq!(closed, rest.len() - 1, "{rest:?}");
    assert!(closed < 10, "it is closed at once");
    copies.extend(rest.into_iter().filter(|frame| frame["event_seq"].is_u64()));
    let frames = owner.job(&job).await;
    let (mut watcher, _) = resumed(&server, ALICE, &welcome, copies.len() as u64).await;
    copies.extend(watcher.job(&job).await);
    assert!(contiguous_from(1, &copies) && bodies(&copies).ends_with(&bodies(&frames)[1..]));
}
