//! What is shown: data on standard output, everything else on standard error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use arcp_client::{JobError, JobEvent, JobOutcome};
use arcp_tower::core::wire::event::{EventBody, Metric, Progress};
use arcp_tower::core::{Json, job::FinalStatus};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;

/// Shows one job.
pub(crate) struct Screen {
    format: Format,
    stream: bool,
    /// Hidden unless standard error is a terminal.
    bar: ProgressBar,
    budget: BTreeMap<String, String>,
}

impl Screen {
    pub(crate) fn new(format: Format, stream: bool) -> Self {
        let bar = if format == Format::Text { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { format, stream, bar, budget: BTreeMap::new() }
    }

    /// A line about what is going on.
    pub(crate) fn note(&self, line: &str) {
        if self.format == Format::Text {
            self.bar.suspend(|| anstream::eprintln!("{}", line.dimmed()));
        }
    }

    pub(crate) fn event(&mut self, event: &JobEvent) -> anyhow::Result<()> {
        if self.format == Format::Json {
            if self.stream {
                line(&line_of(event)?)?;
            }
            return Ok(());
        }
        match &event.body {
            EventBody::Progress(progress) => self.progress(progress),
            EventBody::Metric(metric) if metric.name == "cost.budget.remaining" => self.gauge(metric),
            body => {
                let line = plain(&describe(body)?);
                self.bar.suspend(|| anstream::eprintln!("{:>12} {line}", body.kind().cyan()));
            }
        }
        Ok(())
    }

    fn progress(&mut self, progress: &Progress) {
        let number = |n: &serde_json::Number| n.as_u64().unwrap_or_default();
        if self.bar.is_hidden() {
            let total = progress.total.as_ref().map_or(String::new(), |total| format!("/{total}"));
            let units = progress.units.as_deref().unwrap_or_default();
            anstream::eprintln!("{:>12} {}{total} {units}", "progress".cyan(), progress.current);
            return;
        }
        self.bar.enable_steady_tick(Duration::from_millis(100));
        self.bar.set_length(progress.total.as_ref().map_or(0, number));
        self.bar.set_position(number(&progress.current));
        self.message(progress.message.as_deref().or(progress.units.as_deref()));
    }

    fn gauge(&mut self, metric: &Metric) {
        let unit = metric.unit.clone().unwrap_or_default();
        let left = format!("{} {unit} left", metric.value.as_str());
        if self.bar.is_hidden() {
            anstream::eprintln!("{:>12} {left}", "budget".cyan());
        }
        self.budget.insert(unit, left);
        self.message(None);
    }

    fn message(&self, words: Option<&str>) {
        let words = words.map(|words| Cow::Owned(plain(words)));
        let budget = self.budget.values().map(|left| Cow::Borrowed(left.as_str()));
        self.bar.set_message(words.into_iter().chain(budget).collect::<Vec<_>>().join("  "));
    }

    /// Shows how the job ended.
    pub(crate) fn end(&self, job_id: &str, end: &Result<JobOutcome, JobError>) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        if self.format == Format::Json {
            return line(&serde_json::to_string(&End::of(job_id, end))?);
        }
        match end {
            Ok(outcome) => match (outcome.streamed(), &outcome.result) {
                (Some(bytes), _) => {
                    use std::io::Write as _;
                    std::io::stdout().write_all(bytes)?;
                }
                (None, Some(result)) => line(&pretty(result)?)?,
                (None, None) => {}
            },
            Err(error) => anstream::eprintln!("{} {error}", "error:".red().bold()),
        }
        Ok(())
    }
}

/// The last line, or the only one.
#[derive(Serialize)]
struct End<'a> {
    job_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_status: Option<FinalStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    code: &'a str,
    message: Cow<'a, str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> End<'a> {
    fn of(job_id: &'a str, end: &'a Result<JobOutcome, JobError>) -> Self {
        let mut line = Self {
            job_id,
            final_status: None,
            result: None,
            result_text: None,
            result_size: None,
            summary: None,
            error: None,
        };
        match end {
            Ok(outcome) => {
                line.final_status = Some(FinalStatus::Success);
                line.result = outcome.result.as_ref();
                line.result_text = outcome.streamed().map(String::from_utf8_lossy);
                line.result_size = outcome.result_size;
                line.summary = outcome.summary.as_deref();
            }
            Err(JobError::Ended(failure)) => {
                line.final_status = Some(failure.final_status);
                line.error = Some(ErrorLine {
                    code: failure.error.code().as_str(),
                    message: failure.error.message().into(),
                    retryable: failure.error.retryable(),
                    hint: None,
                });
            }
            Err(JobError::Damaged(why)) => {
                line.error = Some(ErrorLine {
                    code: why.code().as_str(),
                    message: why.message().into(),
                    retryable: false,
                    hint: None,
                });
            }
            Err(other) => {
                line.error = Some(ErrorLine {
                    code: "DISCONNECTED",
                    message: other.to_string().into(),
                    retryable: true,
                    hint: Some("the job may still run"),
                });
            }
        }
        line
    }
}

fn line_of(event: &JobEvent) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        event_seq: Option<u64>,
        ts: Option<arcp_tower::core::Timestamp>,
        kind: &'a str,
        body: Json,
    }
    let (event_seq, ts) = (event.event_seq, event.ts);
    let body = event.body.to_json()?;
    Ok(serde_json::to_string(&Line { event_seq, ts, kind: event.body.kind(), body })?)
}

fn describe(body: &EventBody) -> anyhow::Result<String> {
    Ok(match body {
        EventBody::Log(log) => format!("[{}] {}", log.level, log.message),
        EventBody::Thought(thought) => thought.text.clone(),
        EventBody::Status(status) => match &status.message {
            Some(message) => format!("{}: {message}", status.phase),
            None => status.phase.clone(),
        },
        EventBody::ToolCall(call) => format!("{} {}", call.tool, call.args.as_str()),
        EventBody::Metric(metric) => {
            let unit = metric.unit.as_deref().unwrap_or_default();
            format!("{} {} {unit}", metric.name, metric.value.as_str())
        }
        EventBody::ResultChunk(chunk) => format!("#{} ({} characters)", chunk.chunk_seq, chunk.data.len()),
        other => other.to_json()?.as_str().to_owned(),
    })
}

fn pretty(json: &Json) -> anyhow::Result<String> {
    // The result's own text if it is short, so that no number changes its digits.
    let text = json.as_str();
    if text.len() <= 100 {
        return Ok(text.to_owned());
    }
    let value: serde_json::Value = serde_json::from_str(text)?;
    Ok(serde_json::to_string_pretty(&value)?)
}

/// Says why the command failed.
pub(crate) fn failure(failure: &anyhow::Error, json: bool) {
    if !json {
        anstream::eprintln!("{} {failure:#}", "error:".red().bold());
        return;
    }
    let known = failure.downcast_ref::<Failure>().and_then(|failure| failure.error.as_ref());
    let said = ErrorLine {
        code: known.map_or("FAILED", |error| error.code().as_str()),
        message: known.map_or_else(|| format!("{failure:#}").into(), |error| error.message().into()),
        retryable: known.is_some_and(arcp_tower::core::Error::retryable),
        hint: None,
    };
    let error = BTreeMap::from([("error", said)]);
    // There is nobody left to be told that this cannot be told.
    let _ = line(&serde_json::to_string(&error).unwrap_or_default());
}

/// What an agent says, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes a line to standard output. A reader that has enough and is gone, such as `head`, is an error
/// that [`has_enough`] knows.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Whether a command failed because whoever read its output is gone.
pub(crate) fn has_enough(failure: &anyhow::Error) -> bool {
    let gone = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    failure.chain().any(|cause| cause.downcast_ref().is_some_and(gone))
}
