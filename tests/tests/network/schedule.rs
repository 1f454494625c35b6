//! Any faults in any order: what the clients' users see is what the jobs did.

use std::sync::mpsc;
use std::time::Duration;

use arcp_tower::Config;
use serde_json::json;

use crate::faults::{disturb, weather};
use crate::rng::{Rng, seeds};
use crate::sim::{Setup, World, simulate};
use crate::user::{Follows as _, Sent, equals_the_log, follow};

fn any_setup(rng: &mut Rng) -> Setup {
    let window = [8, 64, 1024][rng.bytes(0..=2)];
    let config = Config::default().with(|c| (c.heartbeat, c.window) = (Duration::from_secs(1), window));
    let mut setup = Setup::new(config);
    setup.latency = rng.ms(2..=30);
    setup.tick = Duration::from_millis(4);
    setup.clients.request_timeout = Duration::from_secs(60);
    if rng.one_in(2) { setup.stored() } else { setup }
}

/// Jobs and the clients that submit them, of which there are two; another one watches the first few.
#[derive(Clone, Copy)]
struct Cast {
    jobs: &'static [(&'static str, usize)],
    watched: usize,
}

/// What came of one run: when each connection was used last and how much, and what each user saw.
#[derive(Debug, Default, PartialEq)]
struct Trace {
    connections: Vec<(usize, usize, Duration, Duration)>,
    numbers: Vec<Vec<u64>>,
}

fn run(seed: u64, cast: Cast) -> Trace {
    let mut rng = Rng::new(seed);
    let (traced, trace) = mpsc::channel();
    simulate(seed, any_setup(&mut rng), async move |mut world: World| {
        for line in [0, 1, 2] {
            let rng = world.rng.fork();
            disturb(&world.lines[line], rng);
        }
        let weather = tokio::spawn(weather(world.rng.fork()));
        let mut clients = Vec::new();
        for line in [0, 1, 2] {
            clients.push(world.client(line).connect().await.unwrap());
        }
        let mut jobs = Vec::new();
        for (at, (name, client)) in cast.jobs.iter().enumerate() {
            let (count, every) = (world.rng.within(20..=80), world.rng.within(1..=60));
            let bytes = world.rng.bytes(0..=1500);
            let input = json!({ "name": name, "count": count, "every_ms": every, "bytes": bytes });
            let submit = clients[*client].submit("lines").input(&input).idempotency_key(*name);
            let job = submit.send().await.unwrap();
            let (watcher, id) = (clients[2].clone(), job.job().clone());
            let watching = async move { follow(watcher.subscribe(id, true).await.unwrap()).await };
            let watching = (at < cast.watched).then(|| tokio::spawn(watching));
            jobs.push((*name, *client, count, tokio::spawn(follow(job)), watching));
        }
        let (mut stories, mut watched) = ([vec![], vec![]], vec![]);
        for (name, client, count, story, watching) in jobs {
            let story = story.await.unwrap();
            story.is_whole(name, count);
            assert_eq!(world.work.runs(name), 1, "{name} ran once");
            if let Some(watching) = watching {
                let other = watching.await.unwrap();
                assert_eq!(other.bodies, story.bodies, "{name}");
                watched.push(other);
            }
            stories[client].push(story);
        }
        weather.await.unwrap();
        for (line, stories) in stories.iter().enumerate() {
            let session = clients[line].session().id.as_str();
            Sent::over(&world.lines[line], session).is_all_in(&stories.iter().collect::<Vec<_>>());
            for story in stories {
                equals_the_log(&mut world, story).await;
            }
        }
        // A subscription that was repeated after the job's end brought all of it again.
        Sent::over(&world.lines[2], clients[2].session().id.as_str());
        for story in &watched {
            assert!(story.numbers.is_sorted_by(|a, b| a < b), "{:?}", story.numbers);
        }
        let mut trace = Trace::default();
        for line in &world.lines[..3] {
            line.look(|records| {
                let used = records.iter().map(|r| (r.bytes.0, r.bytes.1, r.passed.0, r.passed.1));
                trace.connections.extend(used);
            });
        }
        trace.numbers = stories.iter().flatten().chain(&watched).map(|story| story.numbers.clone()).collect();
        traced.send(trace).unwrap();
    });
    trace.recv().unwrap()
}

#[test]
fn p3_p9_under_any_schedule_of_faults_what_the_users_saw_is_the_jobs_logs() {
    let mut connections = 0;
    let seeds = seeds(100);
    for seed in &seeds {
        let jobs = &[("a", 0), ("b", 0), ("c", 1)];
        connections += run(*seed, Cast { jobs, watched: 3 }).connections.len();
    }
    assert!(connections > 6 * seeds.len(), "only {connections} connections");
}

#[test]
fn the_same_seed_is_the_same_run() {
    // Of several jobs in one session, which comes first after a resume depends on more than the seed.
    let cast = || Cast { jobs: &[("a", 0), ("b", 1)], watched: 1 };
    for seed in seeds(5) {
        assert_eq!(run(seed, cast()), run(seed, cast()));
    }
}
