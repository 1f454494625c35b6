//! A resume with a lot to be sent again. Only a store has that much.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::{Store, Suite, load, middle};
use crate::table::{Table, Target};

const EVENTS: u64 = 100_000;

#[derive(Debug, Deserialize)]
struct Resume {
    replayed: u64,
    gaps: u64,
    live_events_per_s: f64,
    first_replayed_ms: f64,
    replayed_events_per_s: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    if !suite.has(Store::Sqlite) {
        return Ok(());
    }
    let count = EVENTS.to_string();
    let server = suite.serve(Store::Sqlite)?;
    let rounds = suite.rounds(|_| {
        let run: Resume = load(&server, &["--mode", "resume", "-n", &count])?;
        ensure!(run.replayed >= EVENTS && run.gaps == 0, "{run:?}");
        Ok(run)
    })?;
    table.group("a resume with 100,000 events to be sent again, sqlite");
    let first = middle(&rounds, |run| run.first_replayed_ms);
    table.check("first of them, ms", first, Target::AtMost(50.0));
    table.tell("live, events/s", middle(&rounds, |run| run.live_events_per_s));
    table.tell("sent again, events/s", middle(&rounds, |run| run.replayed_events_per_s));
    let share = middle(&rounds, |run| run.replayed_events_per_s / run.live_events_per_s);
    table.check("sent again, share of live", share, Target::AtLeast(0.5));
    Ok(())
}
