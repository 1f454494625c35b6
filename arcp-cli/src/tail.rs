//! `arcp tail`.

use std::process::ExitCode;
use std::time::Duration;

use arcp_client::ConnectionStatus;
use arcp_tower::core::Timestamp;
use futures_util::StreamExt as _;

use crate::args::{Format, Tail};
use crate::remote::{connect, refused};
use crate::screen::Screen;
use crate::submit::code_of;

/// Watches a job to its end, over lost connections.
pub(crate) async fn run(args: Tail) -> anyhow::Result<ExitCode> {
    let job_id = args.which.job()?;
    let client = connect(&args.remote).await?;
    let watched = match args.from {
        Some(from) => client.subscribe_after(job_id.clone(), from).await,
        None => client.subscribe(job_id.clone(), false).await,
    };
    let mut watched = watched.map_err(refused)?;
    let format = if args.json { Format::Json } else { Format::Text };
    let mut screen = Screen::new(format, true);
    let mut status = client.status();
    let mut before: Option<Timestamp> = None;
    loop {
        tokio::select! {
            event = watched.next() => match event {
                Some(Ok(event)) => {
                    pace(before, event.ts, args.speed).await;
                    before = event.ts.or(before);
                    screen.event(&event)?;
                }
                Some(Err(_)) | None => break,
            },
            Ok(()) = status.changed() => match &*status.borrow_and_update() {
                ConnectionStatus::Connected => screen.note("[resumed]"),
                ConnectionStatus::Reconnecting { attempt: 1, why, .. } => screen.note(&format!("[{why}; resuming]")),
                _ => {}
            },
        }
    }
    let end = watched.result().await;
    screen.end(job_id.as_str(), &end)?;
    client.close().await;
    Ok(code_of(&end))
}

/// Waits as long as the events were apart, divided by the speed.
async fn pace(before: Option<Timestamp>, at: Option<Timestamp>, speed: Option<f64>) {
    let (Some(before), Some(at), Some(speed)) = (before, at, speed) else { return };
    let apart = u64::try_from(at.as_millis() - before.as_millis()).unwrap_or(0);
    let wait = Duration::from_millis(apart).as_secs_f64() / speed.max(0.001);
    tokio::time::sleep(Duration::try_from_secs_f64(wait).unwrap_or_default()).await;
}
