//! Fifty who watch one job.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::{Suite, load, middle};
use crate::table::{Table, Target};

/// Beside the one who submitted.
const WATCHERS: u64 = 49;
const EVENTS: u64 = 20_000;

#[derive(Debug, Deserialize)]
struct Fanout {
    short_sessions: u64,
    errors: u64,
    first_error: Option<String>,
    deliveries_per_s: f64,
    server_cpu_us_per_delivery: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    table.group("fifty sessions follow one job");
    let (watchers, count) = (WATCHERS.to_string(), EVENTS.to_string());
    for &store in &suite.stores {
        let server = suite.serve(store)?;
        let rounds = suite.rounds(|_| {
            let run: Fanout = load(&server, &["--mode", "fanout", "-n", &count, "--sessions", &watchers])?;
            ensure!(run.errors == 0 && run.short_sessions == 0, "{run:?}: {:?}", run.first_error);
            Ok(run)
        })?;
        let rate = middle(&rounds, |run| run.deliveries_per_s);
        table.check(&format!("{}: deliveries/s", store.name()), rate, Target::AtLeast(400_000.0));
        let cpu = middle(&rounds, |run| run.server_cpu_us_per_delivery);
        table.tell(&format!("{}: processor time per delivery, µs", store.name()), cpu);
    }
    Ok(())
}
