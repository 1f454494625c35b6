//! A session that never reads.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::args::Args;
use crate::process::resident;
use crate::session::Session;

/// How often memory is looked at, and how many times.
const EVERY: Duration = Duration::from_millis(100);
const LOOKS: u32 = 50;

pub(super) async fn run(args: &Args) -> Result<Value> {
    let memory = || args.pid.map_or(0, resident);
    let mut session = Session::open(args, 1).await?;
    let before = memory();
    session.submit("chatty", &json!({"count": args.n})).await?;
    let mut most = 0;
    for _ in 0..LOOKS {
        tokio::time::sleep(EVERY).await;
        most = memory().max(most);
    }
    let after = memory();
    drop(session);
    Ok(json!({
        "server_rss_bytes_before": before,
        "server_rss_bytes_most": most,
        "server_rss_bytes_after": after,
        "grown_bytes": most.saturating_sub(before),
    }))
}
