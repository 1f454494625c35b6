//! The store's file, after few events and after many, when they are forgotten.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Counted, Store, Suite, load, size};
use crate::stats::float;
use crate::table::{Table, Target};

const FEW: u64 = 10_000;
/// How long forgetting may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing has to change.
const REST: Duration = Duration::from_secs(4);

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    if !suite.has(Store::Sqlite) {
        return Ok(());
    }
    let file = suite.file();
    let after = |events: u64| -> Result<(f64, f64)> {
        let store = format!("sqlite:{}", file.display());
        let server = suite.serve_with(&store, &["--retention", "1", "--resume-window", "1"])?;
        let run: Counted = load(&server, &["--mode", "stream", "-n", &events.to_string()])?;
        run.check()?;
        let most = size(&file);
        settled(&file)?;
        // The log beside the file goes into it, and is gone.
        server.end()?;
        Ok((float(most), float(size(&file))))
    };
    let (few_most, few) = after(FEW)?;
    let (many_most, many) = after(suite.long)?;
    table.group("the store's file, when events were acknowledged and forgotten");
    table.tell("with its log, after 10,000 events, bytes", few_most);
    table.tell("when they were forgotten", few);
    table.tell("with its log, after a long stream", many_most);
    table.check("when they were forgotten, too", many, Target::AtMost(few));
    Ok(())
}

/// Waits until the size stays as it is.
fn settled(file: &Path) -> Result<()> {
    let began = Instant::now();
    let (mut last, mut since) = (size(file), Instant::now());
    while since.elapsed() < REST {
        ensure!(began.elapsed() < PATIENCE, "the file does not come to rest");
        std::thread::sleep(Duration::from_millis(100));
        let now = size(file);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}
