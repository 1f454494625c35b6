//! Connections on which nobody sees an end: liveness finds them at both sides (§6.4), and a resume
//! takes the session over from the one that the runtime still holds (§6.3).

use std::sync::atomic::Ordering;
use std::time::Duration;

use arcp_client::Reason;
use arcp_core::transport::Close;
use arcp_tower::Config;
use serde_json::json;

use crate::plan::{End, Plan, Way};
use crate::sim::{CLIENTS, PROXY, UNDER_WAY, World, now, setups, simulate};
use crate::user::{Losses, Sent, Story, equals_the_log, follow};

const INTERVAL: Duration = Duration::from_secs(2);
/// More than a segment takes over both links, there and back, and the agent from line to line.
const SLACK: Duration = Duration::from_millis(50);
/// How long the runtime waits for what it says last to leave, and then for the peer to close.
const CLOSING: Duration = Duration::from_secs(2);

fn config() -> Config {
    Config::default().with(|c| c.heartbeat = INTERVAL)
}

/// Bytes of the HTTP heads and the first frames.
async fn opening(world: &mut World) -> (usize, usize) {
    let client = world.client(0).connect().await.unwrap();
    client.close().await;
    world.lines[0].look(|records| records[0].opening())
}

#[test]
fn a_half_open_connection_is_found_at_both_sides_after_two_silent_intervals() {
    for end in [End::HalfOpen, End::Stuck] {
        for (seed, setup) in setups(3, &config()) {
            simulate(seed, setup, async move |mut world: World| {
                let line = world.lines[0].clone();
                let (up, down) = opening(&mut world).await;
                let plan = Plan {
                    up: Way::until(if end == End::Stuck { up + 900 } else { usize::MAX }, end),
                    down: Way::until(down + world.rng.bytes(3000..=20_000), end),
                    late: Duration::from_secs(60),
                };
                line.plans(move |_| plan);
                let client = world.client(0).resume(false).connect().await.unwrap();
                let input = json!({ "name": "a", "every_ms": 10, "bytes": 2000 });
                let mut job = client.submit("lines").input(&input).send().await.unwrap();
                let mut story = Story::of(&job);
                while let Some(Ok(())) = story.take(&mut job).await {}
                let found = now().saturating_sub(2 * INTERVAL);
                assert_eq!(client.disconnected().unwrap().reason(), &Reason::HeartbeatLost);
                let heard = line.look(|records| records[1].passed.1);
                assert!((heard.saturating_sub(SLACK)..heard + SLACK).contains(&found), "{heard:?} {found:?}");
                let ended = world.serves(0).await.saturating_sub(2 * INTERVAL);
                let (heard, close) = line.look(|records| (records[1].passed.0, records[1].close));
                assert!((heard..heard + SLACK + CLOSING).contains(&ended), "{heard:?} {ended:?}");
                assert!(end == End::Stuck || close == Some(Close::POLICY), "{close:?}");
                // The job went on, and the session can be continued.
                line.plans(|_| Plan::FREE);
                let other =
                    world.client(0).resume_from(client.resume_point().unwrap()).connect().await.unwrap();
                let job = other.attach(job.id().clone()).await.unwrap();
                world.work.enough.store(true, Ordering::Relaxed);
                let story = story.finish(job).await;
                story.is_whole("a", world.work.made("a"));
                assert!(story.bodies.len() > 400, "it went on: {}", story.bodies.len());
                Sent::over(&line, other.session().id.as_str()).is_all_in(&[&story]);
            });
        }
    }
}

#[test]
fn s14_a_resume_takes_over_from_a_half_open_connection_which_gets_not_one_further_event() {
    // The runtime goes on hearing the client, until that gives up; or it cannot send any more.
    for end in [End::Mute, End::Stuck] {
        for (seed, setup) in setups(3, &config()) {
            simulate(seed, setup, async move |mut world: World| {
                let line = world.lines[0].clone();
                let (_, down) = opening(&mut world).await;
                let silent = Way::until(down + world.rng.bytes(2000..=6000), end);
                let plan = Plan { down: silent, late: Duration::from_secs(5), ..Plan::FREE };
                line.plans(move |at| if at == 1 { plan } else { Plan::FREE });
                let client = world.client(0).connect().await.unwrap();
                let losses = Losses::of(&client);
                let input = json!({ "name": "a", "count": 600, "every_ms": 10, "bytes": 500 });
                let story = follow(client.submit("lines").input(&input).send().await.unwrap()).await;
                story.is_whole("a", 600);
                Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
                let losses = losses.all();
                assert!(matches!(&losses[..], [(_, Reason::HeartbeatLost)]), "{losses:?}");
                assert_eq!(line.connections(), 3);
                let (old, new, after) = line.look(|records| {
                    let (old, new) = (&records[1], &records[2]);
                    let taken = new.heard[0].at + SLACK;
                    let after = old.numbered().filter(|(_, frame)| frame.at > taken);
                    let after: usize = after.map(|(_, frame)| frame.message.to_string().len()).sum();
                    (old.session().map(str::to_owned), new.session().map(str::to_owned), after)
                });
                assert!(old.is_some() && old == new);
                // What was handed over before may still leave, if it could not.
                let most = if end == End::Stuck { UNDER_WAY + config().write_buffer } else { 0 };
                assert!(after <= most, "{after} bytes came after all");
                if end == End::Mute {
                    let (ended, close) = line.look(|records| (records[1].ended.unwrap(), records[1].close));
                    let taken = line.look(|records| records[2].heard[0].at);
                    assert!(ended < taken + Duration::from_secs(1), "{taken:?} {ended:?}");
                    assert_eq!(close, Some(Close::TAKEN_OVER));
                }
            });
        }
    }
}

#[test]
fn a_job_that_waits_for_a_half_open_connection_goes_on_with_the_next() {
    // It waits for acks, which do not come, or for room, which nobody makes.
    for (window, backlog) in [(8, 4 << 20), (4096, 16 << 10)] {
        let config =
            config().with(|c| (c.window, c.backlog_bytes, c.write_buffer) = (window, backlog, 4 << 10));
        for end in [End::Mute, End::Stuck] {
            for (seed, setup) in setups(2, &config) {
                simulate(seed, setup, async move |mut world: World| {
                    let line = world.lines[0].clone();
                    let (_, down) = opening(&mut world).await;
                    let silent = Way::until(down + world.rng.bytes(2000..=30_000), end);
                    let plan = Plan { down: silent, late: Duration::from_secs(9), ..Plan::FREE };
                    line.plans(move |at| if at == 1 { plan } else { Plan::FREE });
                    let client = world.client(0).connect().await.unwrap();
                    let input = json!({ "name": "a", "count": 400, "bytes": 2000 });
                    let story = follow(client.submit("lines").input(&input).send().await.unwrap()).await;
                    story.is_whole("a", 400);
                    assert_eq!(line.connections(), 3);
                    Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
                });
            }
        }
    }
}

#[test]
fn a_partition_that_heals_is_resumed_although_nobody_saw_the_connection_end() {
    for (seed, setup) in setups(3, &config()) {
        simulate(seed, setup, async |mut world: World| {
            let line = world.lines[0].clone();
            let client = world.client(0).connect().await.unwrap();
            let losses = Losses::of(&client);
            let input = json!({ "name": "a", "count": 300, "every_ms": 20 });
            let job = client.submit("lines").input(&input).send().await.unwrap();
            let following = tokio::spawn(follow(job));
            tokio::time::sleep(world.rng.ms(100..=400)).await;
            // What is under way is lost, and nothing sends it again.
            turmoil::partition(CLIENTS, PROXY);
            tokio::time::sleep(world.rng.ms(4200..=4800)).await;
            turmoil::repair(CLIENTS, PROXY);
            let story = following.await.unwrap();
            story.is_whole("a", 300);
            Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
            assert!(matches!(&losses.all()[..], [(_, Reason::HeartbeatLost)]), "{:?}", losses.all());
            assert_eq!(line.connections(), 2);
            equals_the_log(&mut world, &story).await;
        });
    }
}

#[test]
fn bad_input_48_a_connection_of_which_one_half_is_closed_is_resumed_without_waiting_for_a_heartbeat() {
    for up in [true, false] {
        for (seed, setup) in setups(3, &config()) {
            simulate(seed, setup, async move |mut world: World| {
                let line = world.lines[0].clone();
                let (opened_up, opened_down) = opening(&mut world).await;
                let after = world.rng.bytes(900..=1500);
                line.plans(move |at| match at {
                    1 if up => Plan::up(Way::until(opened_up + after, End::HalfClosed)),
                    1 => Plan::down(Way::until(opened_down + after, End::HalfClosed)),
                    _ => Plan::FREE,
                });
                let client = world.client(0).connect().await.unwrap();
                let losses = Losses::of(&client);
                let input = json!({ "name": "a", "count": 100, "every_ms": 20 });
                let story = follow(client.submit("lines").input(&input).send().await.unwrap()).await;
                story.is_whole("a", 100);
                Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
                let losses = losses.all();
                assert!(matches!(&losses[..], [(_, Reason::Lost(_))]), "{losses:?}");
                assert!(world.serves(1).await < Duration::from_secs(3), "the runtime noticed as well");
            });
        }
    }
}
