//! What becomes of sessions and jobs when the store fails (reliability §2.6): nothing is sent that
//! is not kept, and nobody who is not concerned notices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::job::Status;
use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store, StoreError};
use arcp_core::transport::{Close, Memory};
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{Stack, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::{ALICE, BOB, Memories, Peer, Process, actor, tokens};
use arcp_tower::operation::Call;
use arcp_tower::{AuthLayer, Config, Runtime, tool_fn};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const AWAY: StoreError = StoreError::Unavailable { retry_after: Duration::from_millis(50) };
/// As often as a commit is tried.
const TRIES: usize = 8;

type Flaky = Arc<FlakyStore<MemoryStore>>;

fn flaky() -> Flaky {
    Arc::new(FlakyStore::new(MemoryStore::default()))
}

async fn on(store: &Flaky) -> Memories<Stack> {
    start(Some(store.clone()), &Config::default()).await
}

/// A job that logs a line every 100 ms, and its first event.
async fn ticking(peer: &mut Peer<Memory>, count: u64) -> (String, Value) {
    let job = peer.submit("chatty", json!({ "count": count, "delay_ms": 100 })).await;
    let first = peer.kind("job.event").await;
    (job, first)
}

#[tokio::test(start_paused = true)]
async fn p2_t22_while_a_commit_hangs_no_event_leaves() {
    // The first commit after an event is of the next event, the second of its number.
    for passes in 0..2 {
        let store = flaky();
        let server = on(&store).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let (job, _) = ticking(&mut peer, 5).await;
        for _ in 0..passes {
            store.plan_commit(Step::pass());
        }
        let (step, hold) = Step::pass().held();
        store.plan_commit(step);
        let frames = peer.during(Duration::from_secs(60)).await;
        assert!(frames.is_empty(), "{} frames left", frames.len());
        peer.ping("still there").await;
        hold.release();
        let frames = peer.job(&job).await;
        assert!(frames.len() == 5 && contiguous_from(2, &frames));
    }
}

#[tokio::test(start_paused = true)]
async fn p16_bad_input_56_a_commit_of_which_nobody_knows_is_repeated_and_happens_once() {
    for at in 0..12 {
        for applied in [true, false] {
            let store = flaky();
            let server = on(&store).await;
            for _ in 0..at {
                store.plan_commit(Step::pass());
            }
            let step = if applied { Step::after } else { Step::before };
            store.plan_commit(step(StoreError::Unknown));
            let (mut peer, welcome) = open(&server, ALICE).await;
            let job = peer.submit("chatty", json!({ "count": 5, "delay_ms": 100 })).await;
            let frames = peer.job(&job).await;
            assert!(frames.len() == 6 && contiguous_from(1, &frames), "{at} {applied}");
            let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
            assert!(peer.job(&job).await == frames, "{at} {applied}: another replay");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p16_a_commit_that_happened_before_the_store_went_away_is_found_by_reading() {
    for passes in 0..2 {
        let store = flaky();
        let server = on(&store).await;
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        let (job, first) = ticking(&mut peer, 10).await;
        for _ in 0..passes {
            store.plan_commit(Step::pass());
        }
        store.plan_commit(Step::after(StoreError::Unknown));
        store.fail_commits(TRIES - 1, &AWAY);
        let mut frames = vec![first];
        // A number that may be there ends the connection: the next one reads what is.
        while !frames.last().is_some_and(is_terminal) {
            match peer.recv().await {
                Some(frame) if frame["event_seq"].is_u64() => frames.push(frame),
                Some(_) => {}
                None => {
                    let last = frames.last().unwrap()["event_seq"].as_u64().unwrap();
                    (peer, welcome) = resumed(&server, ALICE, &welcome, last).await;
                }
            }
        }
        assert!(frames.len() == 11 && contiguous_from(1, &frames), "{} events", frames.len());
        assert_eq!(frames[10]["payload"]["result"]["emitted"], 10);
        assert_eq!(frames[0]["job_id"], job);
    }
}

#[tokio::test(start_paused = true)]
async fn p16_bad_input_55_a_store_that_stays_full_for_one_ends_their_job_and_nobody_elses() {
    let process = Arc::new(Process::of(Arc::new(MemoryStore::default())));
    let server = start(Some(process.clone()), &Config::default()).await;
    let (mut alice, welcome) = open(&server, ALICE).await;
    let (mut bob, _) = open(&server, BOB).await;
    let (job, _) = ticking(&mut alice, 1000).await;
    let (theirs, _) = ticking(&mut bob, 300).await;
    process.refuse("alice", &StoreError::Full);
    let frames = alice.during(Duration::from_secs(20)).await;
    let events = frames.iter().filter(|frame| frame["event_seq"].is_u64()).count();
    assert_eq!(events, 0, "what cannot be kept is not sent");
    bob.works().await;
    assert_eq!(bob.job(&theirs).await.len(), 300);
    let id = alice.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
    let refused = alice.reply(&id).await;
    assert_eq!(code(&refused), "INTERNAL_ERROR");
    assert_eq!(refused["payload"]["details"]["reason"], "store");

    process.accept();
    let (mut alice, _) = resumed(&server, ALICE, &welcome, 0).await;
    let frames = alice.job(&job).await;
    assert!(contiguous_from(1, &frames));
    let end = &frames.last().unwrap()["payload"];
    assert_eq!((&end["code"], &end["details"]["reason"]), (&json!("INTERNAL_ERROR"), &json!("store")));
    alice.works().await;
}

#[tokio::test(start_paused = true)]
async fn p4_t29_a_read_that_fails_closes_the_socket_or_refuses_and_never_shortens_a_replay() {
    let small = Config::default().with(|c| (c.window, c.log_events, c.max_unwritten) = (8, 16, 8));
    let (mut refused, mut closed) = (0, 0);
    for at in 0..14 {
        let store = flaky();
        let server = start(Some(store.clone()), &small).await;
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 60 })).await;
        let other = peer.submit("chatty", json!({ "count": 60 })).await;
        let (frames, others) = (peer.job(&job).await, peer.job(&other).await);
        drop(peer);
        for _ in 0..at {
            store.plan_read(Step::pass());
        }
        store.plan_read(Step::before(AWAY));
        let (mut peer, answer) = say(&server, resume(ALICE, &welcome, 0)).await;
        if code(&answer) == "INTERNAL_ERROR" {
            assert_eq!(answer["payload"]["details"]["reason"], "store");
            refused += 1;
        } else {
            assert_eq!(answer["type"], "session.welcome");
            welcome = answer;
            let got = peer.during(Duration::from_secs(60)).await;
            assert!(contiguous_from(1, &got), "{at}");
            if got.len() < frames.len() + others.len() {
                assert_eq!(peer.closed().await.code, Close::INTERNAL, "{at}: {} frames", got.len());
                closed += 1;
            }
        }
        store.heal();
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert!(peer.job(&job).await == frames && peer.job(&other).await == others, "{at}");
    }
    assert!(refused > 2 && closed > 1, "{refused} refused, {closed} closed");
}

#[tokio::test(start_paused = true)]
async fn t58_t63_a_submit_that_cannot_be_kept_is_refused_and_its_key_stays_free() {
    let store = flaky();
    let server = on(&store).await;
    let (mut peer, _) = open(&server, ALICE).await;
    peer.ping("the token is confirmed").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.fail_commits(TRIES, &StoreError::Full);
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "once" });
    let id = peer.send("job.submit", submit.clone()).await;
    let refused = peer.reply(&id).await;
    assert_eq!(code(&refused), "INTERNAL_ERROR");
    assert_eq!(refused["payload"]["details"]["reason"], "store");
    assert_eq!(refused["payload"]["retryable"], true);
    let job = peer.submit_with(submit).await;
    assert_eq!(peer.job(&job).await.len(), 1);
    let id = peer.send("session.list_jobs", json!({})).await;
    assert_eq!(peer.reply(&id).await["payload"]["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_was_kept_before_the_store_went_away_runs() {
    let store = flaky();
    let server = on(&store).await;
    let (mut peer, _) = open(&server, ALICE).await;
    peer.ping("the token is confirmed").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.plan_commit(Step::after(StoreError::Unknown));
    store.fail_commits(TRIES - 1, &AWAY);
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "once" });
    let job = peer.submit_with(submit.clone()).await;
    assert_eq!(peer.job(&job).await.len(), 1);
    assert_eq!(peer.submit_with(submit).await, job);
}

#[tokio::test(start_paused = true)]
async fn a_refused_submit_that_was_kept_after_all_ends_and_frees_its_key() {
    let store = flaky();
    let server = on(&store).await;
    let (mut peer, _) = open(&server, ALICE).await;
    peer.ping("the token is confirmed").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.plan_commit(Step::after(StoreError::Unknown));
    store.fail_commits(TRIES - 1, &AWAY);
    for _ in 0..20 {
        store.plan_read(Step::before(AWAY));
    }
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "once" });
    let id = peer.send("job.submit", submit.clone()).await;
    assert_eq!(code(&peer.reply(&id).await), "INTERNAL_ERROR");
    // While nobody can tell, a repeat finds the job, and is told how it ends.
    let job = peer.submit_with(submit.clone()).await;
    let end = peer.job(&job).await;
    assert_eq!(end.last().unwrap()["payload"]["details"]["reason"], "store");
    // Then the key is free.
    let again = peer.submit_with(submit).await;
    assert_ne!(again, job);
    assert_eq!(peer.job(&again).await.last().unwrap()["type"], "job.result");
    let row = store.job("alice", &job.parse().unwrap()).await.unwrap().unwrap();
    assert!(row.status.is_terminal(), "and not only after a restart");
}

#[tokio::test(start_paused = true)]
async fn of_two_repeats_at_once_none_is_accepted_without_what_is_to_come() {
    let store = flaky();
    let server = on(&store).await;
    let (mut submitter, _) = open(&server, ALICE).await;
    let submit = json!({ "agent": "slow", "input": { "ms": 60_000 }, "idempotency_key": "once" });
    let job = submitter.submit_with(submit.clone()).await;
    submitter.kind("job.event").await;
    let (mut peer, _) = open(&server, ALICE).await;
    peer.ping("the token is confirmed").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The key is looked up, and that the session follows the job cannot be kept; the second repeat
    // finds it followed meanwhile.
    store.plan_commit(Step::pass());
    let (step, hold) = Step::before(StoreError::Full).held();
    store.plan_commit(step);
    store.plan_commit(Step::pass());
    store.fail_commits(TRIES - 1, &StoreError::Full);
    let first = peer.send("job.submit", submit.clone()).await;
    let second = peer.send("job.submit", submit).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    hold.release();
    assert_eq!(code(&peer.reply(&first).await), "INTERNAL_ERROR");
    assert_eq!(peer.reply(&second).await["type"], "job.accepted");
    assert!(peer.job(&job).await.last().is_some_and(is_terminal));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_whose_job_cannot_be_read_is_refused_for_now() {
    let store = flaky();
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "once" });
    let server = on(&store).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let job = peer.submit_with(submit.clone()).await;
    peer.job(&job).await;
    drop((peer, server));
    let server = on(&store).await;
    let (mut peer, _) = open(&server, ALICE).await;
    store.plan_read(Step::before(AWAY));
    let id = peer.send("job.submit", submit.clone()).await;
    let refused = peer.reply(&id).await;
    assert_eq!((code(&refused), &refused["payload"]["retryable"]), ("INTERNAL_ERROR", &json!(true)));
    assert_eq!(peer.submit_with(submit).await, job);
    assert!(peer.job(&job).await.last().is_some_and(is_terminal));
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_cannot_be_kept_is_refused_and_the_next_one_is_taken() {
    let store = flaky();
    let server = on(&store).await;
    store.fail_commits(TRIES, &StoreError::Full);
    let (_peer, answer) = say(&server, arcp_tests::features(ALICE, &["ack"])).await;
    assert_eq!(code(&answer), "INTERNAL_ERROR");
    let (mut peer, _) = open(&server, ALICE).await;
    peer.works().await;
}

#[tokio::test(start_paused = true)]
async fn s46_a_store_that_is_damaged_says_nothing_of_itself_to_a_client() {
    let secret = "SELECT token FROM session: /var/lib/arcp/arcp.db, page 7, at src/row.rs:42";
    let damaged = || StoreError::Corrupt(secret.to_owned());
    let says_nothing = |answer: &Value| {
        assert_eq!(code(answer), "INTERNAL_ERROR", "{answer}");
        let said = answer.to_string();
        let inside = ["SELECT", "/var", "arcp.db", "row.rs", "page 7", "damaged"];
        assert!(said.len() < 1024 && !inside.iter().any(|word| said.contains(word)), "{said}");
    };
    let store = flaky();
    let server = on(&store).await;
    store.plan_commit(Step::before(damaged()));
    let (_, refused) = say(&server, arcp_tests::features(ALICE, &["ack"])).await;
    says_nothing(&refused);
    let (mut peer, _) = open(&server, ALICE).await;
    store.plan_commit(Step::before(damaged()));
    let id = peer.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
    says_nothing(&peer.reply(&id).await);
    peer.works().await;
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_cannot_be_written_for_an_hour_is_written_then() {
    let store = flaky();
    let server = on(&store).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let (job, _) = ticking(&mut peer, 20).await;
    store.fail_commits(1_000_000, &StoreError::Full);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(store.calls().commits < 10_000, "it is tried with pauses");
    store.heal();
    let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
    let frames = peer.job(&job).await;
    assert!(contiguous_from(1, &frames));
    assert_eq!(frames.last().unwrap()["payload"]["details"]["reason"], "store");
    let row = store.job("alice", &job.parse().unwrap()).await.unwrap().unwrap();
    assert!(row.status.is_terminal());
}

/// Numbers are written behind events that are still under way. Where those come to nothing the numbers do,
/// too, and the job's end takes their place.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_lost_after_it_was_foreseen_is_not_sent_and_its_number_is_the_ends() {
    // An append that is refused while the number behind it is taken in any order, and at any later time.
    for (tries, held) in [(1, false), (3, false), (TRIES, false), (TRIES, true)] {
        let store = flaky();
        let server = on(&store).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let (job, _) = ticking(&mut peer, 3).await;
        // The next commit is the second event's; the number's is one of those after it.
        let (step, hold) = Step::before(AWAY).held();
        store.plan_commit(if held { step } else { Step::before(AWAY) });
        for _ in 1..tries {
            store.plan_commit(Step::pass());
            store.plan_commit(Step::before(AWAY));
        }
        if held {
            assert!(peer.during(Duration::from_secs(5)).await.is_empty());
            hold.release();
        }
        let mut frames = Vec::new();
        let mut socket = peer;
        while !frames.last().is_some_and(is_terminal) {
            match socket.recv().await {
                Some(frame) if frame["event_seq"].is_u64() => frames.push(frame),
                Some(_) => {}
                None => socket = resumed(&server, ALICE, &welcome, 0).await.0,
            }
        }
        let replay = resumed(&server, ALICE, &welcome, 0).await.0.job(&job).await;
        // Whatever became of the job, it is told once, and the same way twice.
        let told: Vec<_> = frames.iter().filter(|frame| frame["event_seq"] != 1).collect();
        assert!(contiguous_from(1, &replay), "{tries} {held}");
        assert_eq!(told, replay[1..].iter().collect::<Vec<_>>(), "{tries} {held}");
    }
}

/// The number of an event that was lost is written when the job's end has taken its place. Its agent
/// succeeded meanwhile, which is no success of the job: what it said is not there.
#[tokio::test(start_paused = true)]
async fn the_number_of_a_lost_event_that_is_kept_late_is_the_ends_and_sends_nothing_else() {
    let store = flaky();
    let server = on(&store).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let (job, _) = ticking(&mut peer, 3).await;
    // The second event is refused as often as it is tried. Its number is refused, too, and as late as that.
    store.plan_commit(Step::before(AWAY));
    let (step, hold) = Step::before(AWAY).held();
    store.plan_commit(step);
    for _ in 1..TRIES {
        store.plan_commit(Step::before(AWAY));
    }
    assert!(peer.during(Duration::from_secs(5)).await.is_empty());
    let row = store.job("alice", &job.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((row.status, row.head), (Status::Error, 2), "the end is where the event was to be");
    hold.release();
    assert_eq!(peer.closed().await.code, Close::INTERNAL);
    assert!(peer.during(Duration::ZERO).await.is_empty(), "what is not there is not sent");
    let rest = resumed(&server, ALICE, &welcome, 1).await.0.job(&job).await;
    assert_eq!((rest.len(), &rest[0]["event_seq"], &rest[0]["type"]), (1, &json!(2), &json!("job.error")));
    assert_eq!(rest[0]["payload"]["details"]["reason"], "store");
    let (mut other, _) = open(&server, ALICE).await;
    assert_eq!(other.subscribe(&job, false).await["payload"]["current_status"], "error");
}

#[tokio::test(start_paused = true)]
async fn p13_a_job_whose_store_is_gone_for_seconds_carries_nothing_more_out() {
    let (store, calls) = (flaky(), Arc::new(Mutex::new(Vec::new())));
    let called = calls.clone();
    let tool = tool_fn(move |(): (), _: Call| {
        called.lock().unwrap().push(Instant::now());
        async { Ok("done") }
    });
    let builder = actor(Runtime::builder()).tool("tool", tool).store(store.clone());
    let runtime = builder.open().await.unwrap().layer(AuthLayer::new(tokens()));
    let mut peer = Memories::of(runtime, &Config::default()).open(ALICE, &["ack"]).await;
    let steps: Vec<Value> =
        (0..1000).flat_map(|_| [json!({ "tool": ["tool", null] }), json!({ "sleep_ms": 100 })]).collect();
    let lease = json!({ "tool.call": ["tool"] });
    peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": lease })).await;
    sleep(Duration::from_secs(5)).await;
    let gone = Instant::now();
    store.fail_commits(1_000_000, &AWAY);
    sleep(Duration::from_secs(60)).await;
    let calls = calls.lock().unwrap();
    let last = *calls.last().unwrap();
    assert!(calls.len() > 40 && last < gone + Duration::from_secs(7), "{:?} later", last - gone);
}
