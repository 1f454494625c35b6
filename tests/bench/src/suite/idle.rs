//! Sessions that are open and do nothing.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::{Suite, load};
use crate::process;
use crate::table::{Table, Target};

/// Files of a process beside its sessions'.
const FILES: u64 = 64;

#[derive(Debug, Deserialize)]
struct Idle {
    bytes_per_session: f64,
    handshakes_per_s: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    let (count, files) = (suite.idle.to_string(), suite.idle + FILES);
    ensure!(
        process::open_files(files) >= files,
        "{count} idle sessions need {files} files on each side: raise the hard limit (ulimit -Hn), or ask for fewer"
    );
    table.group("sessions that do nothing");
    table.tell("sessions", crate::stats::float(suite.idle));
    for &store in &suite.stores {
        // A process of its own: memory that a stream left behind would hide the sessions'.
        let run: Idle = load(&suite.serve(store)?, &["--mode", "idle", "--sessions", &count])?;
        let name = |what| format!("{}: {what}", store.name());
        table.check(&name("bytes of each"), run.bytes_per_session, Target::AtMost(12.0 * 1024.0));
        table.tell(&name("handshakes/s, one after another"), run.handshakes_per_s);
    }
    Ok(())
}
