//! Connections that are cut: at every byte of a resume, and within frames in either direction.

use std::sync::atomic::Ordering;

use arcp_tower::Config;
use serde_json::json;

use crate::plan::{End, Plan, Way};
use crate::rng::Rng;
use crate::sim::{World, setups, simulate};
use crate::user::{Sent, Story, equals_the_log, follow};

fn orderly_or_not(rng: &mut Rng) -> End {
    if rng.one_in(2) { End::Fin } else { End::Reset }
}

/// Follows a job while the connections after the first fare as `resumes` says of the opening bytes
/// of one, in turn with such that go on for a while; `resumes` of them in all.
async fn while_resumes_are_cut(
    mut world: World,
    cut: fn(usize, End) -> Plan,
    opening: fn((usize, usize)) -> usize,
) {
    let line = world.lines[0].clone();
    line.plans(|_| Plan::down(Way::until(3000, End::Reset)));
    let client = world.client(0).connect().await.unwrap();
    let input = json!({ "name": "a", "every_ms": 5, "bytes": 40 });
    let mut job = client.submit("lines").input(&input).send().await.unwrap();
    let mut rng = world.rng.fork();
    line.plans(move |at| {
        let end = orderly_or_not(&mut rng);
        // After three that bring nothing one that does.
        if at % 4 == 0 {
            Plan::down(Way::until(rng.bytes(1500..=3000), end))
        } else {
            cut(at - at / 4 - 1, end)
        }
    });
    let mut story = Story::of(&job);
    loop {
        story.next(&mut job).await;
        let every = line.look(|records| opening(records[0].opening()));
        if line.connections() * 3 > 4 * every {
            break;
        }
    }
    line.plans(|_| Plan::FREE);
    world.work.enough.store(true, Ordering::Relaxed);
    let story = story.finish(job).await;
    story.is_whole("a", world.work.made("a"));
    Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
    let whole = line.look(|records| records.iter().filter(|record| record.numbered().count() > 0).count());
    assert!(whole * 5 > line.connections(), "{whole} of {} brought something", line.connections());
    equals_the_log(&mut world, &story).await;
}

#[test]
fn bad_input_23_a_resume_whose_welcome_is_cut_after_any_byte_is_made_again_and_loses_nothing() {
    for (seed, setup) in setups(1, &Config::default()) {
        let cut = |byte, end| Plan::down(Way::until(byte, end));
        simulate(seed, setup, move |world| while_resumes_are_cut(world, cut, |(_, down)| down));
    }
}

#[test]
fn a_resume_that_is_cut_after_any_byte_of_its_hello_is_made_again_and_loses_nothing() {
    for (seed, setup) in setups(1, &Config::default()) {
        let cut = |byte, end| Plan::up(Way::until(byte, end));
        simulate(seed, setup, move |world| while_resumes_are_cut(world, cut, |(up, _)| up));
    }
}

/// Cuts connections somewhere behind their opening, in one direction or the other.
fn cut_somewhere(rng: &mut Rng) -> Plan {
    let end = orderly_or_not(rng);
    if rng.one_in(3) {
        Plan::up(Way::until(rng.bytes(800..=1100), end))
    } else {
        Plan::down(Way::until(rng.bytes(900..=20_000), end))
    }
}

#[test]
fn connections_that_are_cut_within_events_and_acks_lose_nothing_and_bring_nothing_twice() {
    for (seed, setup) in setups(4, &Config::default()) {
        simulate(seed, setup, async |mut world: World| {
            let line = world.lines[0].clone();
            line.plans(|_| Plan::down(Way::until(20_000, End::Reset)));
            let client = world.client(0).connect().await.unwrap();
            let mut jobs = Vec::new();
            for (name, bytes) in [("short", 0), ("long", 900), ("longer", 5000)] {
                let input = json!({ "name": name, "count": 100, "every_ms": 20, "bytes": bytes });
                jobs.push(follow(client.submit("lines").input(&input).send().await.unwrap()));
            }
            let mut rng = world.rng.fork();
            line.plans(move |_| cut_somewhere(&mut rng));
            let stories = futures_util::future::join_all(jobs).await;
            line.plans(|_| Plan::FREE);
            for (story, name) in stories.iter().zip(["short", "long", "longer"]) {
                story.is_whole(name, 100);
                equals_the_log(&mut world, story).await;
            }
            let all: Vec<&Story> = stories.iter().collect();
            Sent::over(&line, client.session().id.as_str()).is_all_in(&all);
            assert!(line.connections() > 10, "only {} connections", line.connections());
        });
    }
}

#[test]
fn p8_a_submit_with_a_key_that_is_cut_anywhere_is_one_job() {
    for (seed, setup) in setups(2, &Config::default()) {
        simulate(seed, setup, async |mut world: World| {
            let line = world.lines[0].clone();
            let mut rng = world.rng.fork();
            // Most of what goes up are submits.
            line.plans(move |_| {
                let end = orderly_or_not(&mut rng);
                Plan::up(Way::until(rng.bytes(1000..=2500), end))
            });
            let client = world.client(0).connect().await.unwrap();
            let mut stories = Vec::new();
            for n in 0..150 {
                let name = format!("job {n}");
                let submit = client.submit("lines").input(&json!({ "name": name, "count": 1 }));
                let job = submit.idempotency_key(&name).send().await.unwrap();
                let story = follow(job).await;
                story.is_whole(&name, 1);
                assert_eq!(world.work.runs(&name), 1, "{name} ran once");
                stories.push(story);
            }
            line.plans(|_| Plan::FREE);
            Sent::over(&line, client.session().id.as_str()).is_all_in(&stories.iter().collect::<Vec<_>>());
            assert!(line.connections() > 50, "only {} connections", line.connections());
        });
    }
}
