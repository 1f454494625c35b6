//! Many `echo` jobs on one session.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Meter;
use crate::args::Args;
use crate::session::{Session, either};
use crate::stats::{Latencies, each, float};

pub(super) async fn run(args: &Args) -> Result<Value> {
    let mut session = Session::open(args, 1).await?;
    let mut latencies = Latencies::default();
    // A runtime accepts in the order of the submits; results are told apart by their job.
    let (mut submitted, mut running) = (VecDeque::new(), HashMap::new());
    let (mut sent, mut done) = (0, 0);
    let meter = Meter::start(args.pid);
    let start = Instant::now();
    while done < args.n {
        while sent < args.n && sent - done < args.concurrency {
            submitted.push_back(Instant::now());
            session.submit("echo", &json!({"hi": sent})).await?;
            sent += 1;
        }
        let text = session.text().await?;
        let message: Value = serde_json::from_str(&text)?;
        let job = either(&message, "job_id");
        match message["type"].as_str().unwrap_or_default() {
            "job.accepted" => {
                let at = submitted.pop_front().context("accepted without a submit")?;
                running.insert(job.to_owned(), at);
            }
            "job.result" => {
                let at: Instant = running.remove(job).context("a result without an acceptance")?;
                latencies.record(at.elapsed());
                done += 1;
            }
            "job.error" | "session.error" => bail!("{text}"),
            _ => {}
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "jobs": done,
        "concurrency": args.concurrency,
        "seconds": seconds,
        "jobs_per_s": float(done) / seconds,
        "p50_us": latencies.percentile_us(50),
        "p99_us": latencies.percentile_us(99),
        "max_us": latencies.percentile_us(100),
        "server_cpu_us_per_job": meter.cpu_us().map(|us| each(us, done)),
        "server_rss_mib": meter.rss_mib(),
    }))
}
