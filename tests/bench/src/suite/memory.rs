//! Memory over a long job that is followed, and with a client that never reads.

use anyhow::Result;
use serde::Deserialize;

use super::{Counted, Suite, load};
use crate::table::{Table, Target};

const MIB: f64 = 1_048_576.0;

#[derive(Debug, Deserialize)]
struct Stream {
    #[serde(flatten)]
    events: Counted,
    server_rss_bytes_at_a_tenth: f64,
    server_rss_bytes: f64,
}

#[derive(Debug, Deserialize)]
struct Deaf {
    grown_bytes: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    let (count, tenth) = (suite.long.to_string(), (suite.long / 10).to_string());
    table.group("memory over a long job");
    table.tell("events", crate::stats::float(suite.long));
    for &store in &suite.stores {
        let name = |what| format!("{}: {what}", store.name());
        let server = suite.serve(store)?;
        let run: Stream = load(&server, &["--mode", "stream", "-n", &count])?;
        run.events.check()?;
        table.tell(&name("after a tenth, MiB"), run.server_rss_bytes_at_a_tenth / MIB);
        table.tell(&name("after all, MiB"), run.server_rss_bytes / MIB);
        let grown = (run.server_rss_bytes - run.server_rss_bytes_at_a_tenth) / MIB;
        table.check(&name("grown in between, MiB"), grown, Target::AtMost(10.0));
        // A server that has had a stream, so that what grows is what the client costs.
        let server = suite.serve(store)?;
        let _: Counted = load(&server, &["--mode", "stream", "-n", &tenth])?;
        let run: Deaf = load(&server, &["--mode", "deaf", "-n", &count])?;
        table.check(&name("for who never reads, MiB"), run.grown_bytes / MIB, Target::AtMost(10.0));
    }
    Ok(())
}
