//! One `chatty` job that many sessions watch.

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Meter;
use crate::args::Args;
use crate::frame::{Kind, event_seq};
use crate::session::{Session, either};
use crate::stats::{each, float};

pub(super) async fn run(args: &Args) -> Result<Value> {
    let mut owner = Session::open(args, 1).await?;
    // The delay is for the others to subscribe.
    owner.submit("chatty", &json!({"count": args.n, "start_delay_ms": 1500})).await?;
    let accepted = owner.wait_for("job.accepted").await?;
    let job = either(&accepted, "job_id");
    let mut sessions = vec![];
    for number in 0..args.sessions {
        let mut session = Session::open(args, 2 + number).await?;
        session.subscribe(job).await?;
        session.wait_for("job.subscribed").await?;
        sessions.push(session);
    }
    sessions.push(owner);
    let meter = Meter::start(args.pid);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for session in sessions {
        tasks.spawn(watch(session, args.ack_every));
    }
    let (mut total, mut short, mut end, mut errors) = (0, 0, start, vec![]);
    while let Some(watched) = tasks.join_next().await {
        match watched? {
            Ok((events, at)) => {
                total += events;
                short += u64::from(events < args.n);
                end = end.max(at);
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    let seconds = (end - start).as_secs_f64();
    Ok(json!({
        "sessions": args.sessions + 1,
        "events_per_session": args.n,
        "deliveries": total,
        "short_sessions": short,
        "errors": errors.len(),
        "first_error": errors.first(),
        "seconds": seconds,
        "deliveries_per_s": float(total) / seconds,
        "server_cpu_us_per_delivery": meter.cpu_us().map(|us| each(us, total)),
        "server_rss_mib": meter.rss_mib(),
    }))
}

/// Counts events until the job ends.
async fn watch(mut session: Session, ack_every: u64) -> Result<(u64, Instant)> {
    let mut events = 0;
    loop {
        let text = session.text().await?;
        match Kind::of(&text) {
            Kind::Event => events += 1,
            Kind::Result => return Ok((events, Instant::now())),
            Kind::Error => bail!("{text}"),
            Kind::Other => continue,
        }
        if ack_every > 0
            && events % ack_every == 0
            && let Some(seq) = event_seq(&text)
        {
            session.ack(seq).await?;
        }
    }
}
