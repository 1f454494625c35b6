//! One session, one `chatty` job.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use super::Meter;
use super::tally::Tally;
use crate::args::Args;
use crate::frame::Kind;
use crate::session::Session;
use crate::stats::{each, float};

pub(super) async fn run(args: &Args) -> Result<Value> {
    let mut session = Session::open(args, 1).await?;
    let meter = Meter::start(args.pid);
    let start = Instant::now();
    session.submit("chatty", &json!({"count": args.n})).await?;
    let (mut tally, mut first, mut rss_tenth) = (Tally::new(args.ack_every), None, None);
    loop {
        match tally.next(&mut session).await? {
            Kind::Event => {}
            Kind::Result => break,
            _ => continue,
        }
        first.get_or_insert_with(|| start.elapsed());
        if tally.events == args.n / 10 {
            rss_tenth = meter.rss();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "events": tally.events,
        "wanted": args.n,
        "gaps": tally.gaps,
        "seconds": seconds,
        "events_per_s": float(tally.events) / seconds,
        "mib_per_s": float(tally.bytes) / seconds / 1_048_576.0,
        "bytes_per_event": tally.bytes / tally.events.max(1),
        "first_event_ms": first.map(|first| first.as_secs_f64() * 1e3),
        "server_cpu_us_per_event": meter.cpu_us().map(|us| each(us, tally.events)),
        "server_rss_bytes_at_a_tenth": rss_tenth,
        "server_rss_bytes": meter.rss(),
    }))
}
