//! Sixteen jobs at once: of one session, and of sixteen.

use anyhow::Result;

use super::{Counted, Suite, load, middle};
use crate::table::{Table, Target};

const JOBS: u64 = 16;

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    let stream = suite.events.to_string();
    let each = (suite.events / JOBS).to_string();
    table.group("sixteen jobs at once, in sum");
    for &store in &suite.stores {
        let (ceiling, server) = (Suite::ceiling()?, suite.serve(store)?);
        let rounds = suite.rounds(|_| {
            let ceiling: Counted = load(&ceiling, &["--mode", "stream", "-n", &stream])?;
            let many = |sessions, jobs| -> Result<Counted> {
                let many = ["--mode", "many", "-n", &each, "--sessions", sessions, "--concurrency", jobs];
                let run: Counted = load(&server, &many)?;
                run.check()?;
                Ok(run)
            };
            Ok([ceiling, many("1", "16")?, many("16", "1")?])
        })?;
        for (at, words) in [(1, "of one session"), (2, "of a session each")] {
            let rate = middle(&rounds, |round| round[at].events_per_s);
            let share = middle(&rounds, |round| round[at].events_per_s / round[0].events_per_s);
            let name = |what| format!("{}: {words}, {what}", store.name());
            table.either([
                (&name("events/s"), rate, Target::AtLeast(150_000.0)),
                (&name("share of the ceiling"), share, Target::AtLeast(0.06)),
            ]);
        }
    }
    Ok(())
}
