//! One session without acknowledgements: everything that it was sent is sent again after a cut.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Meter;
use super::tally::Tally;
use crate::args::Args;
use crate::frame::{Features, Kind};
use crate::session::Session;
use crate::stats::float;

pub(super) async fn run(args: &Args) -> Result<Value> {
    // With acknowledgements, a job would wait for them long before.
    let mut session = Session::open_with(args, 1, Features::WithoutAck).await?;
    let start = Instant::now();
    session.submit("chatty", &json!({"count": args.n})).await?;
    let mut live = Tally::new(0);
    live.results(&mut session, 1).await?;
    let live_s = start.elapsed().as_secs_f64();

    let cut = session.cut();
    let meter = Meter::start(args.pid);
    let start = Instant::now();
    let mut session = Session::resume(args, 2, &cut).await?;
    let mut replay = Tally::new(0);
    while replay.next(&mut session).await? != Kind::Event {}
    let first = start.elapsed();
    replay.results(&mut session, 1).await?;
    let replay_s = start.elapsed().as_secs_f64() - first.as_secs_f64();
    ensure!(replay.last == live.last, "{} of {} events were sent again", replay.last, live.last);
    Ok(json!({
        "events": live.events,
        "replayed": replay.events,
        "gaps": live.gaps + replay.gaps,
        "live_events_per_s": float(live.events) / live_s,
        "first_replayed_ms": first.as_secs_f64() * 1e3,
        "replayed_events_per_s": float(replay.events) / replay_s,
        "server_rss_mib": meter.rss_mib(),
    }))
}
