//! What the store alone keeps, without a runtime.
//!
//! ```text
//! cargo run --release -p arcp-bench --bin append [FOLDER]
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use arcp_bench::append::round;

const ROUND: Duration = Duration::from_millis(2500);

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    println!("events/batch  writers   events/s  batches/s  batches/commit  p50 us  p99 us");
    for (events, writers) in [(1, 1), (10, 1), (200, 1), (1000, 1), (1, 16), (1, 256), (20, 16), (200, 4)] {
        let found = round(Path::new(&folder), events, writers, ROUND).await?;
        println!(
            "{events:12} {writers:8} {:10.0} {:10.0} {:15.1} {:7} {:7}",
            found.events_per_s, found.batches_per_s, found.batches_per_commit, found.p50_us, found.p99_us
        );
    }
    Ok(())
}
