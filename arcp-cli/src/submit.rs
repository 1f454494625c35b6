//! `arcp submit`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arcp_client::{Client, JobError, JobHandle, JobOutcome};
use arcp_tower::core::lease::Lease;
use arcp_tower::core::{JobId, Json, SessionId, TraceId, job::FinalStatus};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Format, Remote, Submit};
use crate::exit::{Exit, Failure, Left};
use crate::json;
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
        let said = Said::of(&args).await?;
        let client = connect(&args.remote).await?;
        let job = submit(&client, &args, said).await?;
        anyhow::Ok((client, job))
    };
    let (client, job) = tokio::select! {
        submitted = submitted => submitted?,
        () = until(deadline) => {
            let message = "time ran out before the job was accepted; whether it was submitted is not known";
            return Err(Failure::new(Exit::TimedOut, message).into());
        }
    };
    let session = client.session().id.clone();
    let screen = Screen::new(args.format(), args.stream).submitted_by(session.clone());
    screen.note(&format!("accepted as {}", job.id()));
    if let Some(file) = &args.session {
        remote::keep(&client, file)?;
    }
    let follow = Follow { screen, remote: &args.remote, session, deadline, seen: 0 };
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

/// What the command line says of a job, read before anybody is asked to do it.
struct Said {
    input: Json,
    lease: Option<Lease>,
    trace_id: Option<TraceId>,
}

impl Said {
    async fn of(args: &Submit) -> anyhow::Result<Self> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let lease = args.lease.as_deref().map(serde_json::from_str).transpose();
        let lease = lease.map_err(|e| usage(format!("--lease: {e}")))?;
        let trace_id = args.trace_id.as_deref().map(str::parse).transpose();
        let trace_id = trace_id.map_err(|e| usage(format!("--trace-id {e}")))?;
        let input = match args.input.as_str() {
            // On a thread of its own: the time that is allowed runs on.
            "-" => tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()))
                .await?
                .context("cannot read standard input")?,
            text => text.to_owned(),
        };
        Ok(Self { input: json::parse("--input", input)?, lease, trace_id })
    }
}

async fn submit(client: &Client, args: &Submit, said: Said) -> anyhow::Result<JobHandle> {
    let mut submission = client.submit(&args.agent).input(&said.input);
    for (namespace, patterns) in said.lease.into_iter().flat_map(|lease| lease.0) {
        submission = submission.lease(namespace.as_str(), patterns);
    }
    if let Some(key) = &args.idempotency_key {
        submission = submission.idempotency_key(key);
    }
    if let Some(seconds) = args.max_runtime {
        submission = submission.max_runtime(Duration::from_secs(seconds));
    }
    if let Some(trace_id) = said.trace_id {
        submission = submission.trace_id(trace_id);
    }
    submission.send().await.map_err(remote::refused)
}

/// Shows a job's events and its end.
struct Follow<'a> {
    screen: Screen,
    remote: &'a Remote,
    session: SessionId,
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
        if self.remote.command.is_some() {
            // What it had of its own is gone with it.
            return Failure::new(exit, format!("{job_id} goes no further: its program was stopped")).into();
        }
        let seen = self.seen;
        let url = match self.remote.url.as_str() {
            Remote::URL => String::new(),
            url => format!(" --url '{}'", url.replace('\'', "'\\''")),
        };
        let left = Left { job_id: job_id.clone(), session_id: self.session.clone(), last_event_seq: seen };
        Failure::new(exit, format!("{job_id} may go on; to watch it: arcp tail {job_id} --from {seen}{url}"))
            .leaving(left)
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
