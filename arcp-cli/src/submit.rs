//! `arcp submit`.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arcp_client::{Client, JobError, JobHandle, JobOutcome};
use arcp_tower::core::{Json, job::FinalStatus};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Format, Submit};
use crate::exit::{Exit, Failure};
use crate::output::Screen;
use crate::remote::{self, connect};

/// Submits a job and waits for its end.
pub(crate) async fn run(args: Submit) -> anyhow::Result<ExitCode> {
    if args.stream && args.format() != Format::Json {
        return Err(Failure::new(Exit::Usage, "--stream is about JSON: add --json").into());
    }
    let client = connect(&args.remote).await?;
    let job = submit(&client, &args).await?;
    let screen = Screen::new(args.format(), args.stream);
    screen.note(&format!("accepted as {}", job.id()));
    if let Some(file) = &args.session {
        remote::keep(&client, file)?;
    }
    let timeout = args.timeout.map(Duration::from_secs);
    let exit = follow(job, screen, timeout, || match &args.session {
        Some(file) => remote::keep(&client, file),
        None => Ok(()),
    })
    .await?;
    client.close().await;
    Ok(if args.exit_zero { ExitCode::SUCCESS } else { exit })
}

async fn submit(client: &Client, args: &Submit) -> anyhow::Result<JobHandle> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let input = if args.input == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        args.input.clone()
    };
    let input = Json::parse(input).map_err(|_| usage("--input must be JSON".to_owned()))?;
    let mut submission = client.submit(&args.agent).input(&input);
    if let Some(lease) = &args.lease {
        let lease: std::collections::BTreeMap<String, Vec<String>> =
            serde_json::from_str(lease).map_err(|e| usage(format!("--lease: {e}")))?;
        for (namespace, patterns) in lease {
            submission = submission.lease(&namespace, patterns);
        }
    }
    if let Some(key) = &args.idempotency_key {
        submission = submission.idempotency_key(key);
    }
    if let Some(seconds) = args.max_runtime {
        submission = submission.max_runtime(Duration::from_secs(seconds));
    }
    if let Some(trace_id) = &args.trace_id {
        submission = submission.trace_id(trace_id.parse().map_err(|e| usage(format!("--trace-id {e}")))?);
    }
    submission.send().await.map_err(remote::refused)
}

/// Shows a job's events and its end.
async fn follow(
    mut job: JobHandle,
    mut screen: Screen,
    timeout: Option<Duration>,
    keep: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let job_id = job.id().to_string();
    let deadline = async {
        match timeout {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    // Listened to all the time: an interrupt that comes between two events must not be lost.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for interrupts")?;
    let mut interrupts = 0;
    let mut kept = Instant::now();
    loop {
        tokio::select! {
            event = job.next() => match event {
                Some(Ok(event)) => {
                    screen.event(&event)?;
                    if kept.elapsed() > Duration::from_millis(100) {
                        keep()?;
                        kept = Instant::now();
                    }
                }
                // A cut is told by `result`, with the same words.
                Some(Err(_)) | None => break,
            },
            () = &mut deadline => {
                let message = format!("{job_id} has not ended in time; it goes on");
                return Err(Failure::new(Exit::TimedOut, message).into());
            }
            _ = interrupt.recv() => {
                interrupts += 1;
                if interrupts > 1 {
                    return Err(Failure::new(Exit::Interrupted, format!("left {job_id}; it may go on")).into());
                }
                screen.note("cancelling; once more leaves the job alone");
                if let Err(error) = job.cancel(Some("interrupted")).await {
                    screen.note(&format!("not cancelled: {error}"));
                }
            }
        }
    }
    let end = job.result().await;
    screen.end(&job_id, &end)?;
    Ok(code_of(&end))
}

pub(crate) fn code_of(end: &Result<JobOutcome, JobError>) -> ExitCode {
    match end {
        Ok(_) => ExitCode::SUCCESS,
        Err(JobError::Cut(_)) => Exit::Unreachable.into(),
        Err(JobError::Damaged(_)) => ExitCode::FAILURE,
        Err(JobError::Ended(failure)) => match failure.final_status {
            FinalStatus::Cancelled => Exit::JobCancelled.into(),
            FinalStatus::TimedOut => Exit::JobTimedOut.into(),
            _ => Exit::JobError.into(),
        },
    }
}
