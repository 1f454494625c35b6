//! One session, one job, beside the wire's ceiling and single commits of the same round.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::{Counted, Store, Suite, load, middle};
use crate::append;
use crate::server::Server;
use crate::table::{Table, Target};

/// How long single commits are made.
const COMMITS: Duration = Duration::from_millis(1500);

#[derive(Debug, Deserialize)]
struct Stream {
    #[serde(flatten)]
    events: Counted,
    first_event_ms: f64,
    server_cpu_us_per_event: f64,
}

struct Round {
    ceiling: Stream,
    memory: Option<Stream>,
    sqlite: Option<Stream>,
    /// Counted a second if each is a commit of its own.
    single: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    let count = suite.events.to_string();
    let stream = |server: &Server| -> Result<Stream> {
        let run: Stream = load(server, &["--mode", "stream", "-n", &count])?;
        run.events.check()?;
        Ok(run)
    };
    let ceiling = Suite::ceiling()?;
    let serve = |store| suite.has(store).then(|| suite.serve(store)).transpose();
    let (memory, sqlite) = (serve(Store::Memory)?, serve(Store::Sqlite)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let rounds = suite.rounds(|n| {
        // Whoever comes first may find a busier machine, or a cooler one.
        let early = if n % 2 == 0 { Some(stream(&ceiling)?) } else { None };
        let memory = memory.as_ref().map(stream).transpose()?;
        let sqlite = sqlite.as_ref().map(stream).transpose()?;
        let single = match &sqlite {
            Some(_) => runtime.block_on(append::round(&suite.folder, 1, 1, COMMITS))?.events_per_s,
            None => 0.0,
        };
        let ceiling = early.map_or_else(|| stream(&ceiling), Ok)?;
        Ok(Round { ceiling, memory, sqlite, single })
    })?;
    table.group("one session, one job");
    table.tell("the wire's ceiling, events/s", middle(&rounds, |round| round.ceiling.events.events_per_s));
    let figure = |of: fn(&Round) -> Option<&Stream>, figure: fn(&Stream) -> f64| {
        middle(&rounds, |round| of(round).map_or(f64::NAN, figure))
    };
    let share = |of: fn(&Round) -> Option<&Stream>| {
        let rate = |stream: &Stream| stream.events.events_per_s;
        middle(&rounds, |round| of(round).map_or(f64::NAN, rate) / rate(&round.ceiling))
    };
    if suite.has(Store::Memory) {
        let of: fn(&Round) -> Option<&Stream> = |round| round.memory.as_ref();
        table.tell("memory: events/s", figure(of, |run| run.events.events_per_s));
        table.check("memory: share of the ceiling", share(of), Target::AtLeast(0.2));
        let cpu = figure(of, |run| run.server_cpu_us_per_event);
        table.check("memory: processor time per event, µs", cpu, Target::AtMost(2.0));
        table.check("memory: first event, ms", figure(of, |run| run.first_event_ms), Target::AtMost(10.0));
    }
    if suite.has(Store::Sqlite) {
        let of: fn(&Round) -> Option<&Stream> = |round| round.sqlite.as_ref();
        let rate = figure(of, |run| run.events.events_per_s);
        table.either([
            ("sqlite: events/s", rate, Target::AtLeast(150_000.0)),
            ("sqlite: share of the ceiling", share(of), Target::AtLeast(0.06)),
        ]);
        table.tell("single commits, events/s", middle(&rounds, |round| round.single));
        let times = middle(&rounds, |round| {
            round.sqlite.as_ref().map_or(f64::NAN, |run| run.events.events_per_s) / round.single
        });
        table.check("sqlite: times single commits", times, Target::AtLeast(8.0));
        table.tell("sqlite: processor time per event, µs", figure(of, |run| run.server_cpu_us_per_event));
        table.check("sqlite: first event, ms", figure(of, |run| run.first_event_ms), Target::AtMost(10.0));
        // A slow disk is slow for everybody: this tells it from a slow runtime.
        let commits = middle(&rounds, |round| {
            round.sqlite.as_ref().map_or(f64::NAN, |run| run.first_event_ms) / 1e3 * round.single
        });
        table.tell("sqlite: first event, in single commits", commits);
    }
    Ok(())
}
