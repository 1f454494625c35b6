//! Observers that read slowly or not at all slow nobody (§6.5, §7.6).

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{MemoryStore, Store};
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{FEATURES, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::{ALICE, ALL, Memories, guarded};
use arcp_tower::Config;
use serde_json::{Value, json};

/// How often the runtime said that the session is behind.
fn warnings(frames: &[Value]) -> usize {
    frames.iter().filter(|frame| frame["payload"]["body"]["phase"] == "back_pressure").count()
}

#[tokio::test(start_paused = true)]
async fn t47_a_session_that_is_behind_is_told_once_in_each_episode() {
    let config = Config::default().with(|c| c.window = 16);
    let memories = Memories::of(guarded(&config), &config);
    let mut peer = memories.open(ALICE, &ALL).await;
    peer.submit("chatty", json!({ "count": 1000, "delay_ms": 10 })).await;
    peer.pick(|frame| frame["event_seq"] == 1).await;
    peer.ack(1).await;
    for episode in 0..3 {
        let behind = peer.during(Duration::from_secs(5)).await;
        assert_eq!(warnings(&behind), 1, "episode {episode}");
        let last = *numbers(&behind).last().unwrap();
        // Not enough to be over: the same episode goes on.
        peer.ack(last - 10).await;
        let still = peer.during(Duration::from_secs(5)).await;
        assert_eq!(warnings(&still), 0, "episode {episode}");
        peer.ack(*numbers(&still).last().unwrap()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p15_t48_an_observer_that_reads_nothing_slows_nobody_and_is_closed_with_4408() {
    let config = Config::default().with(|c| {
        c.window = 16;
        c.log_events = 64;
    });
    let memories = Memories::of(guarded(&config), &config);
    let mut owner = memories.open(ALICE, &ALL).await;
    let job = owner.submit("chatty", json!({ "count": 2000, "delay_ms": 1 })).await;
    let mut asleep = memories.narrow(2);
    asleep.hello(ALICE, &ALL).await;
    asleep.subscribe(&job, false).await;
    let mut awake = memories.open(ALICE, &ALL).await;
    awake.subscribe(&job, true).await;

    // Each frame of the owner comes when it is due: as if nobody slept.
    let (frames, watched) = tokio::join!(owner.job(&job), awake.job(&job));
    assert_eq!(frames.last().unwrap()["payload"]["result"]["emitted"], 2000);
    assert_eq!(watched.len(), frames.len());

    assert_eq!(asleep.closed().await.code, 4408);
    owner.works().await;
    awake.works().await;
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_was_closed_with_4408_is_refused_what_is_gone_and_resumes_where_it_is_kept() {
    for (stored, store) in
        [None, Some(Arc::new(MemoryStore::default()) as Arc<dyn Store>)].into_iter().enumerate()
    {
        let config = Config::default().with(|c| (c.window, c.log_events, c.log_bytes) = (16, 64, 1));
        let server = start(store, &config).await;
        let (mut owner, _) = open(&server, ALICE).await;
        let job = owner.submit("chatty", json!({ "count": 2000, "delay_ms": 1 })).await;
        let mut asleep = server.narrow(2);
        let welcome = asleep.hello(ALICE, &FEATURES).await;
        asleep.subscribe(&job, true).await;
        assert_eq!(owner.job(&job).await.len(), 2001, "nobody waits for who is asleep");
        if stored == 0 {
            assert_eq!(asleep.closed().await.code, 4408);
            let read = asleep.during(Duration::ZERO).await;
            let last = read.iter().filter_map(|frame| frame["event_seq"].as_u64()).next_back().unwrap();
            for from in [0, last] {
                let (_, refused) = say(&server, resume(ALICE, &welcome, from)).await;
                assert_eq!(code(&refused), "RESUME_WINDOW_EXPIRED", "and never thinned");
            }
        } else {
            // It was asleep as long, and everything is there, on this connection and on the next.
            let frames = asleep.job(&job).await;
            assert!(frames.len() == 2001 && contiguous_from(1, &frames));
            drop(asleep);
            let (mut again, _) = resumed(&server, ALICE, &welcome, 1000).await;
            assert!(again.job(&job).await == frames[1000..]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_acks_once_and_stops_slows_nobody() {
    let config = Config::default().with(|c| c.window = 8);
    let memories = Memories::of(guarded(&config), &config);
    let mut owner = memories.open(ALICE, &ALL).await;
    let job = owner.submit("chatty", json!({ "count": 500, "delay_ms": 1 })).await;
    let mut watcher = memories.open(ALICE, &ALL).await;
    watcher.subscribe(&job, true).await;
    watcher.pick(|frame| frame["event_seq"] == 1).await;
    watcher.ack(1).await;
    let (frames, watched) = tokio::join!(owner.job(&job), watcher.job(&job));
    assert_eq!(warnings(&frames), 0);
    assert_eq!(frames.len(), watched.len() + 1, "the watcher's first line was taken before");
}
