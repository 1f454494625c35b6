//! One session, one `chatty` job.

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Meter;
use crate::args::Args;
use crate::frame::{Kind, event_seq};
use crate::session::Session;
use crate::stats::{each, float};

pub(super) async fn run(args: &Args) -> Result<Value> {
    let mut session = Session::open(args, 1).await?;
    let meter = Meter::start(args.pid);
    let start = Instant::now();
    session.submit("chatty", &json!({"count": args.n})).await?;
    let (mut events, mut bytes, mut gaps, mut last, mut first) = (0, 0, 0, 0, None);
    loop {
        let text = session.text().await?;
        bytes += text.len() as u64;
        match Kind::of(&text) {
            Kind::Event => {}
            Kind::Result => break,
            Kind::Error => bail!("{text}"),
            Kind::Other => continue,
        }
        first.get_or_insert_with(|| start.elapsed());
        events += 1;
        if let Some(seq) = event_seq(&text) {
            gaps += u64::from(last != 0 && seq != last + 1);
            last = seq;
            if args.ack_every > 0 && seq % args.ack_every == 0 {
                session.ack(seq).await?;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "events": events,
        "wanted": args.n,
        "gaps": gaps,
        "seconds": seconds,
        "events_per_s": float(events) / seconds,
        "mib_per_s": float(bytes) / seconds / 1_048_576.0,
        "bytes_per_event": bytes / events.max(1),
        "first_event_ms": first.map(|first| first.as_secs_f64() * 1e3),
        "server_cpu_us_per_event": meter.cpu_us().map(|us| each(us, events)),
        "server_rss_mib": meter.rss_mib(),
    }))
}
