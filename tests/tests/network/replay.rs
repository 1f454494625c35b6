//! Long replays of which only a part arrives, again and again (§6.3).

use std::time::Duration;

use arcp_core::transport::Transport;
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{FEATURES, resume};
use arcp_tests::{ALICE, Peer};
use arcp_tower::Config;
use serde_json::{Value, json};

use crate::plan::{End, Plan, Way};
use crate::sim::{World, setups, simulate};
use crate::user::{Sent, equals_the_log, follow};

const EVENTS: u64 = 4000;

/// A session may be so far behind that all of it is numbered, and nothing of it acknowledged.
fn config() -> Config {
    Config::default().with(|c| (c.window, c.heartbeat) = (8192, Duration::from_secs(2)))
}

#[test]
fn bad_input_50_a_client_whose_replays_are_each_cut_at_half_of_what_is_left_has_all_of_it_in_the_end() {
    for (seed, setup) in setups(2, &config()) {
        simulate(seed, setup, async |mut world: World| {
            let line = world.lines[0].clone();
            // The runtime sends all of it, to nobody.
            line.plans(|_| Plan::down(Way::until(1700, End::Mute)));
            let client = world.client(0).connect().await.unwrap();
            let mut rng = world.rng.fork();
            let records = line.clone();
            line.plans(move |at| {
                let sent = records.look(|records| records[0].bytes.1);
                let left = sent.checked_shr(at as u32 - 1).unwrap_or(0);
                let end = if rng.one_in(2) { End::Fin } else { End::Reset };
                if left > 100 { Plan::down(Way::until(900 + left / 2, end)) } else { Plan::FREE }
            });
            let input = json!({ "name": "a", "count": EVENTS, "bytes": 40 });
            let story = follow(client.submit("lines").input(&input).send().await.unwrap()).await;
            story.is_whole("a", EVENTS);
            Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
            equals_the_log(&mut world, &story).await;
            assert!(line.connections() > 8, "only {} connections", line.connections());
        });
    }
}

/// Continues a session from its beginning, and takes `count` events.
async fn replayed<T: Transport>(mut peer: Peer<T>, welcome: &Value, count: u64) -> (Value, Vec<Value>) {
    let welcome = peer.say_hello(resume(ALICE, welcome, 0)).await;
    let welcome = peer.welcomed(welcome);
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(peer.next().await);
    }
    (welcome, events)
}

#[test]
fn bad_input_48_50_a_replay_that_is_reset_at_half_many_times_is_the_same_every_time() {
    for (seed, setup) in setups(1, &config()) {
        simulate(seed, setup, async |world: World| {
            let mut peer = world.peer(0).await;
            let mut welcome = peer.hello(ALICE, &FEATURES).await;
            let job = peer.submit("lines", json!({ "name": "a", "count": 1000 })).await;
            let events = peer.job(&job).await;
            assert!(events.len() == 1001 && is_terminal(&events[1000]));
            drop(peer);
            for _ in 0..20 {
                let peer = world.peer(0).await;
                let (again, half) = replayed(peer, &welcome, 500).await;
                assert!(half == events[..500], "not the same to the byte");
                welcome = again;
            }
            let (_, all) = replayed(world.peer(0).await, &welcome, 1001).await;
            assert!(all == events);
        });
    }
}
