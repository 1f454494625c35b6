//! Round trips on one session while another one is busy, does not read, or is one of thousands.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::flood::Flood;
use super::tally::Tally;
use crate::args::{Args, Beside};
use crate::session::Session;
use crate::stats::Latencies;

/// More events than there is time for.
const FOREVER: u64 = 1_000_000_000;
/// How long the other session may take to come to what it does.
const WARM: Duration = Duration::from_millis(500);
/// Between two round trips.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) async fn run(args: &Args) -> Result<Value> {
    let mut session = Session::open(args, 1).await?;
    let (ack_every, beside) = (args.ack_every, args.beside);
    let mut other = None;
    let mut flood = None;
    if matches!(beside, Beside::Silent | Beside::Crawling | Beside::Pinging) {
        flood = Some(Flood::begin(args).await?);
    } else if beside != Beside::Nobody {
        let mut loud = Session::open(args, 2).await?;
        loud.submit("chatty", &json!({"count": FOREVER})).await?;
        other = Some(tokio::spawn(async move {
            if beside == Beside::Deaf {
                // It holds its connection, and that is all.
                return std::future::pending().await;
            }
            Tally::new(ack_every).results(&mut loud, 1).await
        }));
    }
    tokio::time::sleep(WARM).await;
    let (mut pings, mut jobs) = (Latencies::default(), Latencies::default());
    for _ in 0..args.n {
        let at = Instant::now();
        session.ping().await?;
        session.wait_for("session.pong").await?;
        pings.record(at.elapsed());
        let at = Instant::now();
        session.submit("echo", &json!(1)).await?;
        session.wait_for("job.result").await?;
        jobs.record(at.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    if let Some(mut flood) = flood {
        flood.lasts()?;
    }
    if let Some(other) = other {
        anyhow::ensure!(!other.is_finished(), "the other session ended: {:?}", other.await?);
        other.abort();
    }
    Ok(json!({
        "pings": args.n,
        "ping_p50_us": pings.percentile_us(50),
        "ping_p99_us": pings.percentile_us(99),
        "ping_max_us": pings.percentile_us(100),
        "job_p50_us": jobs.percentile_us(50),
        "job_p99_us": jobs.percentile_us(99),
    }))
}
