//! Kills `arcp serve` with SIGKILL, again and again, while sessions submit jobs, lose their
//! connections, and resume; then checks that nothing was lost, doubled or changed.
//!
//! The observers speak raw frames, so that no crate of the project covers up for another.

mod args;
mod client;
mod record;
mod rng;
mod server;
mod wire;
mod work;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::Args;
use crate::client::{Client, Now, Phase, Shared};
use crate::record::Record;
use crate::rng::Rng;
use crate::server::{Place, Server};
use crate::wire::lock;

/// How long everything may take to end, once the server is not killed any more.
const DRAIN: Duration = Duration::from_secs(60);
/// Violations that are printed.
const PRINTED: usize = 5;

type Records = Vec<Arc<Mutex<Record>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("no random numbers")? >> 32,
    };
    let arcp = args.arcp.canonicalize().with_context(|| format!("{} is not there", args.arcp.display()))?;
    let place = Place { arcp, dir: server::directory(seed)? };
    println!("crash: {} kills, {} sessions, --seed {seed}", args.kills, args.sessions);

    let records: Records = (0..args.sessions).map(|_| Arc::default()).collect();
    let shared = Arc::new(Shared::default());
    let began = Instant::now();
    let done = run(&args, &place, &mut Rng::new(seed), &records, &shared).await;
    let violations = violations(&records, done);
    summary(&records, &shared, began, &violations);
    if violations.is_empty() && !args.keep {
        std::fs::remove_dir_all(&place.dir)?;
    } else {
        println!("the store and the server's log are in {}", place.dir.display());
    }
    Ok(ExitCode::from(u8::from(!violations.is_empty())))
}

async fn run(
    args: &Args,
    place: &Place,
    rng: &mut Rng,
    records: &Records,
    shared: &Arc<Shared>,
) -> Result<()> {
    let (now, watched) = watch::channel(Now { url: None, phase: Phase::Busy });
    let most = usize::try_from(args.jobs)?;
    let mut clients = JoinSet::new();
    for (name, record) in (0..).zip(records) {
        let client = Client::new(name, most, rng.fork(), record.clone(), shared.clone(), watched.clone());
        clients.spawn(client.run());
    }
    let began = Instant::now();
    for kill in 1..=args.kills {
        let mut server = Server::start(place)?;
        if rng.percent(15) {
            // While it starts.
            sleep(rng.millis(0..120)).await;
        } else {
            let url = server.url().await?;
            now.send_modify(|now| now.url = Some(url));
            sleep(rng.millis(20..1500)).await;
        }
        server.kill().await?;
        for record in records {
            lock(record).note("the server was killed");
        }
        now.send_modify(|now| now.url = None);
        if kill % 5 == 0 {
            let frames: usize = records.iter().map(|record| lock(record).frames().len()).sum();
            let resumes = lock(&shared.counts).resumes;
            println!("{kill} kills, {frames} frames, {resumes} resumes, {} s", began.elapsed().as_secs());
        }
        if records.iter().any(|record| !lock(record).violations.is_empty()) {
            return Ok(());
        }
    }

    let mut server = Server::start(place)?;
    let url = server.url().await?;
    now.send_replace(Now { url: Some(url), phase: Phase::Drain });
    let drain = Instant::now();
    let settled = |record: &Arc<Mutex<Record>>| {
        let record = lock(record);
        record.lacks().is_empty() || !record.violations.is_empty()
    };
    while drain.elapsed() < DRAIN && !records.iter().all(settled) {
        sleep(Duration::from_millis(50)).await;
    }
    now.send_replace(Now { url: None, phase: Phase::Over });
    server.stop().await?;
    // What the server sent last is read, too.
    let read = async { while clients.join_next().await.is_some() {} };
    tokio::time::timeout(DRAIN, read).await.context("connections outlive the server")?;

    for record in records {
        let (session, after) = {
            let mut record = lock(record);
            record.check();
            let lacks = record.lacks();
            for what in lacks {
                record.violation(what);
            }
            (record.session.clone(), record.acked)
        };
        // What was acknowledged need not be kept (§6.5).
        match server::replay(place, &session, after).await {
            Ok(printed) => lock(record).compare(after, &printed),
            Err(e) => lock(record).violation(e.to_string()),
        }
    }
    Ok(())
}

/// All that was found, and how the run failed, if it did.
fn violations(records: &Records, done: Result<()>) -> Vec<String> {
    let mut found: Vec<String> = done.err().map(|e| format!("{e:#}")).into_iter().collect();
    let mut jobs: HashMap<String, String> = HashMap::new();
    for record in records {
        let record = lock(record);
        found.extend(record.violations.iter().cloned());
        for (key, job) in record.jobs() {
            let held = jobs.entry(key.clone()).or_insert_with(|| job.clone());
            if held != job {
                found.push(format!("key {key} yielded two jobs: {held} and {job}"));
            }
        }
    }
    found
}

fn summary(records: &Records, shared: &Shared, began: Instant, violations: &[String]) {
    let (mut frames, mut received, mut refused, mut jobs) = (0, 0, 0, std::collections::HashSet::new());
    for record in records {
        let record = lock(record);
        frames += record.frames().len();
        received += record.received;
        refused += record.refused;
        jobs.extend(record.jobs().values().cloned());
    }
    let counts = lock(&shared.counts);
    for violation in violations.iter().take(PRINTED) {
        println!("VIOLATION {violation}");
    }
    println!(
        "{frames} frames (received {received} times), {} jobs, {} resumes and {} that were given up, \
         {refused} submits refused for now, closed with {:?}, {} violations, {} s",
        jobs.len(),
        counts.resumes,
        counts.ghosts,
        counts.closes,
        violations.len(),
        began.elapsed().as_secs(),
    );
}
