//! A session beside thousands who never come as far as one, and beside one who only pings.

use anyhow::Result;
use serde::Deserialize;

use super::{Suite, load, middle};
use crate::table::{Table, Target};

/// Round trips of a round: enough for some of the strangers to be sent away and to come again.
const PINGS: &str = "1500";

#[derive(Debug, Deserialize)]
struct RoundTrips {
    #[serde(rename = "ping_p99_us")]
    ping: f64,
    #[serde(rename = "job_p99_us")]
    job: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    const FORMS: [(&str, &str); 3] = [
        ("silent", "beside 2,000 without a hello"),
        ("crawling", "beside 2,000 at a byte a second"),
        ("pinging", "beside one at 1,000 pings a second"),
    ];
    table.group("a session beside a flood");
    for &store in &suite.stores {
        let rounds = suite.rounds(|_| {
            let run = |beside| -> Result<RoundTrips> {
                load(&suite.serve(store)?, &["--mode", "ping", "-n", PINGS, "--beside", beside])
            };
            Ok([run("nobody")?, run(FORMS[0].0)?, run(FORMS[1].0)?, run(FORMS[2].0)?])
        })?;
        let name = |what: &str| format!("{}: {what}", store.name());
        let figure = |at: usize, of: fn(&RoundTrips) -> f64| middle(&rounds, |round| of(&round[at]) / 1e3);
        table.tell(&name("ping alone, p99, ms"), figure(0, |run| run.ping));
        table.tell(&name("job alone, p99, ms"), figure(0, |run| run.job));
        for (at, (_, beside)) in (1..).zip(FORMS) {
            table.tell(&name(&format!("ping {beside}, p99, ms")), figure(at, |run| run.ping));
            table.tell(&name(&format!("job {beside}, p99, ms")), figure(at, |run| run.job));
            let slower = middle(&rounds, |round| round[at].ping / round[0].ping);
            table.check(&name(&format!("ping p99 {beside} / alone")), slower, Target::AtMost(2.0));
        }
    }
    Ok(())
}
