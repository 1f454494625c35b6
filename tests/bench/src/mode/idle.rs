//! Many sessions that do nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::args::Args;
use crate::process::resident;
use crate::session::Session;
use crate::stats::{float, mib};

/// How long the runtime may take to come to rest.
const REST: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &Args) -> Result<Value> {
    let memory = || args.pid.map_or(0, resident);
    let before = memory();
    let start = Instant::now();
    let mut held = vec![];
    for number in 0..args.sessions {
        let session = Session::open(args, 1 + number).await;
        held.push(session.with_context(|| format!("session {number}"))?);
    }
    let seconds = start.elapsed().as_secs_f64();
    tokio::time::sleep(REST).await;
    let after = memory();
    Ok(json!({
        "sessions": held.len(),
        "handshakes_per_s": float(args.sessions) / seconds,
        "server_rss_before_mib": mib(before),
        "server_rss_after_mib": mib(after),
        "bytes_per_session": after.saturating_sub(before) / args.sessions.max(1),
    }))
}
