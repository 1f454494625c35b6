//! The end of a connection and the beginning of the next, in another order than they were meant.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use arcp_core::transport::Close;
use arcp_tower::Config;
use serde_json::json;
use tokio::time::sleep;

use crate::plan::{End, Plan, Way};
use crate::sim::{World, setups, simulate};
use crate::user::{Sent, Story, follow};

const WINDOW: Duration = Duration::from_secs(2);

#[test]
fn the_end_of_an_old_connection_that_comes_after_the_new_one_harms_nothing_and_starts_no_window() {
    let config = Config::default().with(|c| (c.resume_window, c.retention) = (WINDOW, WINDOW));
    for end in [End::Fin, End::Reset] {
        for (seed, setup) in setups(3, &config) {
            simulate(seed, setup, async move |mut world: World| {
                let line = world.lines[0].clone();
                let late = world.rng.ms(300..=1500);
                let bytes = world.rng.bytes(1500..=6000);
                line.plans(move |at| match at {
                    0 => Plan { late, ..Plan::down(Way::until(bytes, end)) },
                    _ => Plan::FREE,
                });
                let client = world.client(0).connect().await.unwrap();
                let input = json!({ "name": "a", "every_ms": 20 });
                let mut job = client.submit("lines").input(&input).send().await.unwrap();
                let mut story = Story::of(&job);
                while line.connections() < 2 {
                    story.next(&mut job).await;
                }
                sleep(late + 3 * WINDOW).await;
                assert_eq!(line.connections(), 2, "the new one was left alone");
                // The runtime did not see the end of the old one before the new one was there.
                assert_eq!(line.look(|records| records[0].close), Some(Close::TAKEN_OVER));
                world.work.enough.store(true, Ordering::Relaxed);
                let story = story.finish(job).await;
                story.is_whole("a", world.work.made("a"));
                assert_eq!(line.connections(), 2);
                Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
            });
        }
    }
}

#[test]
fn an_idle_session_whose_old_connection_ends_late_is_still_there_after_the_window() {
    let config = Config::default().with(|c| (c.resume_window, c.retention) = (WINDOW, WINDOW));
    for (seed, setup) in setups(3, &config) {
        simulate(seed, setup, async move |mut world: World| {
            let line = world.lines[0].clone();
            let late = world.rng.ms(300..=1500);
            line.plans(move |at| match at {
                0 => Plan { late, ..Plan::down(Way::until(1500, End::Reset)) },
                1 => Plan::down(Way::until(6000, End::Reset)),
                _ => Plan::FREE,
            });
            let client = world.client(0).connect().await.unwrap();
            let input = json!({ "name": "a", "count": 5 });
            let first = follow(client.submit("lines").input(&input).send().await.unwrap()).await;
            sleep(late + 5 * WINDOW).await;
            assert_eq!(line.connections(), 2);
            // Enough to cut the second connection as well.
            let input = json!({ "name": "b", "count": 30, "every_ms": 10 });
            let second = follow(client.submit("lines").input(&input).send().await.unwrap()).await;
            first.is_whole("a", 5);
            second.is_whole("b", 30);
            assert_eq!(line.connections(), 3);
            Sent::over(&line, client.session().id.as_str()).is_all_in(&[&first, &second]);
        });
    }
}

#[test]
fn an_attempt_that_was_given_up_and_arrives_late_does_not_end_the_session_of_its_own_client() {
    let mut overtaken = 0;
    for (seed, setup) in setups(16, &Config::default()) {
        let (seen, closes) = mpsc::channel();
        simulate(seed, setup, async move |mut world: World| {
            let line = world.lines[0].clone();
            let held = world.rng.ms(1000..=2300);
            // Connections that are cut early, until a resume shows how long its opening is.
            line.plans(|_| Plan::down(Way::until(2500, End::Fin)));
            let client = world.client(0).connect().await.unwrap();
            let input = json!({ "name": "a", "count": 300, "every_ms": 10 });
            let mut job = client.submit("lines").input(&input).send().await.unwrap();
            let mut story = Story::of(&job);
            while line.connections() < 2 {
                story.next(&mut job).await;
            }
            story.next(&mut job).await;
            let (up, _) = line.look(|records| records[1].opening());
            line.plans(move |at| match at {
                // Its hello is under way until the client has given it up, and perhaps until the
                // next one is welcomed, but has said nothing yet.
                2 => Plan::up(Way::pausing(up - 1, held)),
                3 => Plan::up(Way::pausing(up, Duration::from_millis(200))),
                _ => Plan::FREE,
            });
            let story = story.finish(job).await;
            story.is_whole("a", 300);
            assert!(line.connections() >= 4);
            Sent::over(&line, client.session().id.as_str()).is_all_in(&[&story]);
            seen.send(line.look(|records| records[3].close)).unwrap();
        });
        overtaken += usize::from(closes.recv().unwrap() == Some(Close::TAKEN_OVER));
    }
    assert!(overtaken > 0, "none came late enough, and early enough");
}
