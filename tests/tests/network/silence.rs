//! Ten seconds in which nothing arrives, and then everything at once.

use std::time::Duration;

use arcp_client::Reason;
use arcp_tower::Config;
use serde_json::json;

use crate::sim::{CLIENTS, PROXY, World, setups, simulate};
use crate::user::{Losses, Sent, equals_the_log, follow};

const SILENCE: Duration = Duration::from_secs(10);

/// A client follows a job of 14 s, and after a while hears nothing; and why it lost how many
/// connections.
async fn through_silence(mut world: World) -> (usize, Vec<Reason>) {
    let line = world.lines[0].clone();
    let client = world.client(0).connect().await.unwrap();
    let losses = Losses::of(&client);
    let input = json!({ "name": "a", "count": 280, "every_ms": 50, "bytes": 300 });
    let job = client.submit("lines").input(&input).send().await.unwrap();
    let following = tokio::spawn(follow(job));
    tokio::time::sleep(world.rng.ms(100..=2000)).await;
    turmoil::hold(CLIENTS, PROXY);
    tokio::time::sleep(SILENCE).await;
    turmoil::release(CLIENTS, PROXY);
    let story = following.await.unwrap();
    story.is_whole("a", 280);
    Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
    equals_the_log(&mut world, &story).await;
    let why = losses.all().into_iter().map(|(_, why)| why).collect();
    client.close().await;
    (line.connections(), why)
}

#[test]
fn ten_seconds_of_silence_that_the_heartbeat_allows_break_nothing() {
    for (seed, setup) in setups(3, &Config::default()) {
        simulate(seed, setup, async |world: World| {
            assert_eq!(through_silence(world).await, (1, vec![]));
        });
    }
}

#[test]
fn ten_seconds_of_silence_that_the_heartbeat_does_not_allow_are_resumed() {
    for interval in [1, 2, 4] {
        let config = Config::default().with(|c| c.heartbeat = Duration::from_secs(interval));
        for (seed, setup) in setups(3, &config) {
            simulate(seed, setup, async |world: World| {
                let (_, why) = through_silence(world).await;
                assert!(matches!(&why[..], [Reason::HeartbeatLost]), "{why:?}");
            });
        }
    }
}
