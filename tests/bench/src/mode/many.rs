//! Several `chatty` jobs at once, on one session or on several.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Meter;
use super::tally::Tally;
use crate::args::Args;
use crate::session::Session;
use crate::stats::{each, float};

pub(super) async fn run(args: &Args) -> Result<Value> {
    let mut sessions = vec![];
    for number in 0..args.sessions {
        sessions.push(Session::open(args, 1 + number).await?);
    }
    let meter = Meter::start(args.pid);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for session in sessions {
        tasks.spawn(one(session, args.clone()));
    }
    let (mut events, mut gaps) = (0, 0);
    while let Some(tally) = tasks.join_next().await {
        let tally = tally??;
        events += tally.events;
        gaps += tally.gaps;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "sessions": args.sessions,
        "jobs": args.sessions * args.concurrency,
        "events": events,
        "wanted": args.n * args.sessions * args.concurrency,
        "gaps": gaps,
        "seconds": seconds,
        "events_per_s": float(events) / seconds,
        "server_cpu_us_per_event": meter.cpu_us().map(|us| each(us, events)),
        "server_rss_mib": meter.rss_mib(),
    }))
}

async fn one(mut session: Session, args: Args) -> Result<Tally> {
    for _ in 0..args.concurrency {
        session.submit("chatty", &json!({"count": args.n})).await?;
    }
    let mut tally = Tally::new(args.ack_every);
    tally.results(&mut session, args.concurrency).await?;
    Ok(tally)
}
