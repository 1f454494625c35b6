//! Each direction slow by itself: back-pressure, bounds, and nobody else who waits (§6.5).

use std::time::Duration;

use arcp_core::wire::event::EventBody;
use arcp_tower::Config;
use serde_json::json;
use tokio::time::sleep;

use crate::plan::{Plan, Way};
use crate::sim::{Setup, UNDER_WAY, World, now, setups, simulate};
use crate::user::{Follows, Losses, Sent, Story, equals_the_log, follow};

/// More than a segment takes over both links, with the network's time as it is here.
const SLACK: Duration = Duration::from_millis(60);
/// Bytes of a long line.
const LONG: usize = 20_000;
/// Bytes of frames that a runtime with a store has numbered, and not sent.
const NUMBERED: usize = 1 << 20;

fn slowly(setup: Setup) -> Setup {
    Setup { tick: Duration::from_millis(5), latency: Duration::from_millis(10), ..setup }
}

/// Follows a job to its end, and sees that each line arrives as soon as it can.
async fn promptly(world: &World, name: &str, mut job: impl Follows) -> Story {
    let mut story = Story::of(&job);
    while let Some(taken) = story.take(&mut job).await {
        taken.unwrap();
        let line = story.lines() as usize - 1;
        let lag = now().saturating_sub(world.work.made_at(name, line));
        assert!(lag < SLACK, "line {line} of {name} took {lag:?}");
    }
    story.finish(job).await
}

/// Follows a job to its end, and how many lines it was ahead at the most.
async fn behind(world: &World, name: &str, mut job: impl Follows) -> (Story, usize) {
    let (mut story, mut most) = (Story::of(&job), 0);
    while story.take(&mut job).await.is_some() {
        most = most.max(world.work.made(name) - story.lines());
    }
    (story.finish(job).await, most as usize)
}

/// One client whose line is slow, and one whose line is not.
async fn beside_another(mut world: World, plan: Plan, count: u64, bytes: usize) -> usize {
    world.lines[0].plans(move |_| plan);
    let slow = world.client(0).connect().await.unwrap();
    let quick = world.client(1).connect().await.unwrap();
    let losses = Losses::of(&slow);
    let input = json!({ "name": "slow", "count": count, "bytes": bytes });
    let job = slow.submit("lines").input(&input).send().await.unwrap();
    let input = json!({ "name": "quick", "count": 200, "every_ms": 50 });
    let other = quick.submit("lines").input(&input).send().await.unwrap();
    let ((story, ahead), others) =
        tokio::join!(behind(&world, "slow", job), promptly(&world, "quick", other));
    story.is_whole("slow", count);
    others.is_whole("quick", 200);
    Sent::over(&world.lines[0], slow.session().id.as_str()).is_all_in(&[&story]);
    assert_eq!(losses.all(), [], "slow is not lost");
    let told =
        |body: &EventBody| matches!(body, EventBody::Status(status) if status.phase == "back_pressure");
    assert!(bytes > 0 || story.bodies.iter().any(told), "it is told that it is behind");
    equals_the_log(&mut world, &story).await;
    ahead
}

#[test]
fn p15_a_reader_that_is_slow_slows_its_job_by_its_window_and_no_other_session() {
    let config = Config::default().with(|c| c.window = 64);
    for (seed, setup) in setups(3, &config) {
        simulate(seed, slowly(setup), async |world: World| {
            let ahead = beside_another(world, Plan::down(Way::slow(0, 20_000)), 1000, 0).await;
            assert!(ahead <= 64, "{ahead} lines ahead");
        });
    }
}

#[test]
fn p15_s40_a_reader_that_is_slow_costs_no_more_memory_than_its_bounds() {
    let config = Config::default().with(|c| (c.backlog_bytes, c.write_buffer) = (64 << 10, 8 << 10));
    for (seed, setup) in setups(3, &config) {
        let numbered = if setup.store.is_some() { NUMBERED } else { 0 };
        // One line may come on top of each bound.
        let most = (64 << 10) + (8 << 10) + 2 * UNDER_WAY + numbered + 4 * LONG;
        simulate(seed, slowly(setup), async move |world: World| {
            let ahead = beside_another(world, Plan::down(Way::slow(0, 200_000)), 200, LONG).await;
            assert!(ahead * LONG <= most, "{ahead} lines ahead");
        });
    }
}

#[test]
fn a_writer_that_is_slow_slows_its_job_by_its_acks_and_no_other_session() {
    let config = Config::default().with(|c| c.window = 64);
    for (seed, setup) in setups(3, &config) {
        simulate(seed, slowly(setup), async |world: World| {
            let ahead = beside_another(world, Plan::up(Way::slow(900, 300)), 1000, 0).await;
            assert!(ahead <= 64, "{ahead} lines ahead");
        });
    }
}

#[test]
fn p18_control_traffic_does_not_wait_behind_the_events_of_a_reader_that_is_slow() {
    const RATE: usize = 100_000;
    let config = Config::default().with(|c| (c.backlog_bytes, c.write_buffer) = (4 << 20, 8 << 10));
    for (seed, setup) in setups(3, &config) {
        simulate(seed, slowly(setup), async |mut world: World| {
            world.lines[0].plans(|_| Plan::down(Way::slow(0, RATE)));
            let client = world.client(0).connect().await.unwrap();
            let input = json!({ "name": "a", "count": 400, "bytes": LONG });
            let job = client.submit("lines").input(&input).send().await.unwrap();
            // What may be on its way already; the events that wait are thirty times that.
            let under_way = (UNDER_WAY + (8 << 10) + 2 * LONG) as u64;
            let most = Duration::from_micros(under_way * 1_000_000 / RATE as u64) + 3 * SLACK;
            for _ in 0..5 {
                sleep(Duration::from_secs(3)).await;
                assert!(world.work.made("a") > 150, "the events wait already");
                let took = client.ping().await.unwrap();
                assert!(took < most, "{took:?} of {most:?}");
            }
            let asked = now();
            job.cancel(None).await.unwrap();
            let took = now().saturating_sub(asked);
            assert!(took < most, "{took:?} of {most:?}");
        });
    }
}

#[test]
fn p15_t48_an_observer_that_is_slow_slows_neither_the_job_nor_its_submitter() {
    for (seed, setup) in setups(3, &Config::default()) {
        simulate(seed, slowly(setup), async |mut world: World| {
            world.lines[1].plans(|_| Plan::down(Way::slow(0, 5_000)));
            let client = world.client(0).connect().await.unwrap();
            let observer = world.client(1).connect().await.unwrap();
            let input = json!({ "name": "a", "count": 300, "every_ms": 20, "bytes": 200 });
            let job = client.submit("lines").input(&input).send().await.unwrap();
            let id = job.id().clone();
            let watching = async { behind(&world, "a", observer.subscribe(id, true).await.unwrap()).await };
            let (story, (watched, behind)) = tokio::join!(promptly(&world, "a", job), watching);
            story.is_whole("a", 300);
            watched.is_whole("a", 300);
            assert!(behind > 100, "only {behind} lines behind");
        });
    }
}

#[test]
fn bad_input_48_at_one_byte_a_second_nothing_is_lost_and_nobody_else_is_harmed() {
    let config = Config::default().with(|c| c.heartbeat = Duration::from_secs(2));
    for up in [true, false] {
        for (seed, setup) in setups(2, &config) {
            simulate(seed, slowly(setup), async move |mut world: World| {
                let line = world.lines[0].clone();
                let crawl = Way::slow(3000, 1);
                line.plans(move |_| if up { Plan::up(crawl) } else { Plan::down(crawl) });
                let client = world.client(0).connect().await.unwrap();
                let quick = world.client(1).connect().await.unwrap();
                let input = json!({ "name": "slow", "count": 1500, "every_ms": 10 });
                let job = client.submit("lines").input(&input).send().await.unwrap();
                let input = json!({ "name": "quick", "count": 300, "every_ms": 50 });
                let other = quick.submit("lines").input(&input).send().await.unwrap();
                let following = tokio::spawn(follow(job));
                let others = promptly(&world, "quick", other).await;
                others.is_whole("quick", 300);
                // The runtime does not collect connections that get nowhere.
                world.serves(3).await;
                line.plans(|_| Plan::FREE);
                let story = following.await.unwrap();
                story.is_whole("slow", 1500);
                Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
            });
        }
    }
}
