//! `arcp send`: one message of any type, and what is said to it.

use std::process::ExitCode;
use std::time::Duration;

use arcp_tower::core::{Envelope, MessageType};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::args::Send;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::output;
use crate::raw::Raw;
use crate::remote;

/// What tells an answer from the rest of what comes.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Reference,
}

#[derive(Default, Deserialize)]
struct Reference {
    request_id: Option<String>,
}

/// Sends one message in a session of its own, and prints the frames that answer it.
pub(crate) async fn run(args: Send) -> anyhow::Result<ExitCode> {
    let message = message(&args)?;
    let wait = Duration::try_from_secs_f64(args.wait);
    let wait = wait.map_err(|_| Failure::new(Exit::Usage, "--wait must be a time"))?;
    let mut raw = Raw::new(remote::open_raw(&args.remote).await?);
    let id = raw.send(&message).await?;
    let answers = |answer: &Answer| {
        // A pong repeats the ping's nonce, and a session that is closed names no request.
        let twin = match message.kind.as_str() {
            "session.ping" => "session.pong",
            "session.close" | "session.bye" => "session.closed",
            _ => "",
        };
        answer.payload.request_id.as_deref() == Some(id.as_str()) || answer.kind == twin
    };
    let exit = listen(&mut raw, answers, wait, args.all).await;
    raw.close().await;
    exit
}

/// The message that was asked for.
fn message(args: &Send) -> anyhow::Result<Envelope> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let payload = json::parse("--payload", args.payload.clone())?;
    let kind = if args.kind.contains('.') { args.kind.clone() } else { format!("session.{}", args.kind) };
    let message = Envelope::of_json(MessageType::from(kind.as_str()), payload);
    Ok(match &args.job_id {
        Some(job) => message.with_job(job.parse().map_err(|e| usage(format!("--job-id {e}")))?),
        None => message,
    })
}

/// Prints frames until the answer came, or for as long as was asked for.
async fn listen(
    raw: &mut Raw,
    answers: impl Fn(&Answer) -> bool,
    wait: Duration,
    all: bool,
) -> anyhow::Result<ExitCode> {
    let until = Instant::now() + wait.min(Duration::from_secs(86_400));
    let mut exit = None;
    while let Ok(received) = timeout_at(until, raw.recv()).await {
        let frame = match received {
            Ok(frame) => frame,
            // It said what there was to say.
            Err(_) if exit.is_some() => break,
            Err(error) => return Err(error),
        };
        let answer: Option<Answer> = serde_json::from_str(&frame).ok();
        let answer = answer.filter(&answers);
        if answer.is_some() || all {
            output::json(&frame)?;
        }
        if let Some(answer) = answer {
            let refused = matches!(answer.kind.as_str(), "session.error" | "job.error");
            exit = Some(if refused { Exit::Refused.into() } else { ExitCode::SUCCESS });
            if !all {
                break;
            }
        }
    }
    exit.ok_or_else(|| Failure::new(Exit::TimedOut, "there was no answer").into())
}
