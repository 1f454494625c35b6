//! A session beside one that is as busy as can be, and beside one that never reads.

use anyhow::Result;
use serde::Deserialize;

use super::{Suite, load, middle};
use crate::table::{Table, Target};

/// Round trips of a round.
const PINGS: &str = "400";

#[derive(Debug, Deserialize)]
struct RoundTrips {
    #[serde(rename = "ping_p50_us")]
    median: f64,
    #[serde(rename = "ping_p99_us")]
    slow: f64,
    #[serde(rename = "job_p50_us")]
    job: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    table.group("a session beside another one");
    for &store in &suite.stores {
        let rounds = suite.rounds(|_| {
            // A server for each: who never reads leaves a job that never ends.
            let ping = |beside| -> Result<RoundTrips> {
                load(&suite.serve(store)?, &["--mode", "ping", "-n", PINGS, "--beside", beside])
            };
            Ok([ping("nobody")?, ping("busy")?, ping("deaf")?])
        })?;
        let name = |what: &str| format!("{}: {what}", store.name());
        for (at, beside) in [(0, "alone"), (1, "beside a busy one"), (2, "beside one that never reads")] {
            let figure = |of: fn(&RoundTrips) -> f64| middle(&rounds, |round| of(&round[at]) / 1e3);
            table.tell(&name(&format!("ping {beside}, p50, ms")), figure(|run| run.median));
            let p99 = name(&format!("ping {beside}, p99, ms"));
            table.check(&p99, figure(|run| run.slow), Target::AtMost(1000.0));
            table.tell(&name(&format!("job {beside}, p50, ms")), figure(|run| run.job));
        }
        let slower = middle(&rounds, |round| round[2].slow / round[0].slow);
        let beside = name("ping p99 beside one that never reads / alone");
        table.check(&beside, slower, Target::AtMost(1.1));
    }
    Ok(())
}
