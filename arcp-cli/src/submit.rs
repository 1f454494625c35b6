//! `arcp submit`.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arcp_client::{Client, JobError, JobHandle, JobOutcome};
use arcp_tower::core::{JobId, Json, job::FinalStatus};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Format, Remote, Submit};
use crate::exit::{Exit, Failure};
use crate::remote::{self, connect};
use crate::screen::Screen;

/// Submits a job and waits for its end.
pub(crate) async fn run(args: Submit) -> anyhow::Result<ExitCode> {
    if args.stream && args.format() != Format::Json {
        return Err(Failure::new(Exit::Usage, "--stream is about JSON: add --json").into());
    }
    // The time is for all of it: a runtime that takes connections and says nothing does not hold us.
    let deadline = args.timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let submitted = async {
        let client = connect(&args.remote).await?;
        let job = submit(&client, &args).await?;
        anyhow::Ok((client, job))
    };
    let (client, job) = tokio::select! {
        submitted = submitted => submitted?,
        () = until(deadline) => {
            let message = "time ran out before the job was accepted; whether it was submitted is not known";
            return Err(Failure::new(Exit::TimedOut, message).into());
        }
    };
    let screen = Screen::new(args.format(), args.stream);
    screen.note(&format!("accepted as {}", job.id()));
    if let Some(file) = &args.session {
        remote::keep(&client, file)?;
    }
    let follow = Follow { screen, remote: &args.remote, deadline, seen: 0 };
    let exit = follow
        .run(job, || match &args.session {
            Some(file) => remote::keep(&client, file),
            None => Ok(()),
        })
        .await?;
    client.close().await;
    Ok(if args.exit_zero { ExitCode::SUCCESS } else { exit })
}

/// Never, without a deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
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
struct Follow<'a> {
    screen: Screen,
    remote: &'a Remote,
    deadline: Option<Instant>,
    /// The last event's number.
    seen: u64,
}

impl Follow<'_> {
    async fn run(
        mut self,
        mut job: JobHandle,
        keep: impl Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let job_id = job.id().clone();
        // Listened to all the time: an interrupt that comes between two events must not be lost.
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for interrupts")?;
        let mut interrupted = false;
        let mut kept = Instant::now();
        loop {
            tokio::select! {
                event = job.next() => match event {
                    Some(Ok(event)) => {
                        self.seen = event.event_seq.unwrap_or(self.seen);
                        self.screen.event(&event)?;
                        if kept.elapsed() > Duration::from_millis(100) {
                            keep()?;
                            kept = Instant::now();
                        }
                    }
                    // A cut is told by `result`, with the same words.
                    Some(Err(_)) | None => break,
                },
                () = until(self.deadline) => return Err(self.leave(Exit::TimedOut, &job_id)),
                _ = interrupt.recv() => {
                    if interrupted {
                        return Err(self.leave(Exit::Interrupted, &job_id));
                    }
                    interrupted = true;
                    self.screen.note("cancelling; once more leaves the job alone");
                    let cancelled = tokio::select! {
                        cancelled = job.cancel(Some("interrupted")) => cancelled,
                        _ = interrupt.recv() => return Err(self.leave(Exit::Interrupted, &job_id)),
                    };
                    if let Err(error) = cancelled {
                        self.screen.note(&format!("not cancelled: {error}"));
                    }
                }
            }
        }
        let end = job.result().await;
        self.screen.end(job_id.as_str(), &end)?;
        Ok(code_of(&end))
    }

    /// Goes away from a job that goes on, and says how to come back.
    fn leave(&self, exit: Exit, job_id: &JobId) -> anyhow::Error {
        let seen = self.seen;
        let url = match self.remote.url.as_str() {
            Remote::URL => String::new(),
            url => format!(" --url '{}'", url.replace('\'', "'\\''")),
        };
        Failure::new(exit, format!("{job_id} may go on; to watch it: arcp tail {job_id} --from {seen}{url}"))
            .into()
    }
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
