//! One job on the screen: its events on standard error, its end on standard output.

use arcp_client::{JobError, JobEvent, JobOutcome};
use arcp_tower::core::wire::event::EventBody;
use arcp_tower::core::{Json, SessionId};
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::args::Format;
use crate::end::End;
use crate::output;
use crate::plain::plain;
use crate::progress::Bar;

/// Shows one job.
pub(crate) struct Screen {
    format: Format,
    stream: bool,
    session: Option<SessionId>,
    bar: Bar,
}

impl Screen {
    pub(crate) fn new(format: Format, stream: bool) -> Self {
        Self { format, stream, session: None, bar: Bar::new(format == Format::Text) }
    }

    /// The job is one that this session submitted.
    pub(crate) fn submitted_by(self, session: SessionId) -> Self {
        Self { session: Some(session), ..self }
    }

    /// A line about what is going on.
    pub(crate) fn note(&self, line: &str) {
        if self.format == Format::Text {
            self.bar.above(|| anstream::eprintln!("{}", plain(line).dimmed()));
        }
    }

    pub(crate) fn event(&mut self, event: &JobEvent) -> anyhow::Result<()> {
        if self.format == Format::Json {
            if self.stream {
                output::json(&line_of(event)?)?;
            }
            return Ok(());
        }
        match &event.body {
            EventBody::Progress(progress) => self.bar.progress(progress),
            EventBody::Metric(metric) if metric.name == "cost.budget.remaining" => self.bar.gauge(metric),
            body => {
                let (kind, line) = (plain(body.kind()), describe(body)?);
                self.bar.above(|| anstream::eprintln!("{:>12} {}", kind.cyan(), plain(&line)));
            }
        }
        Ok(())
    }

    /// Shows how the job ended.
    pub(crate) fn end(&self, job_id: &str, end: &Result<JobOutcome, JobError>) -> anyhow::Result<()> {
        self.bar.clear();
        if self.format == Format::Json {
            let session = self.session.as_ref().map(SessionId::as_str);
            return output::json(&serde_json::to_string(&End::of(job_id, session, end))?);
        }
        match end {
            Ok(outcome) => match (outcome.streamed(), &outcome.result) {
                (Some(bytes), _) => output::bytes(bytes)?,
                (None, Some(result)) => output::json(&pretty(result)?)?,
                (None, None) => {}
            },
            Err(error) => output::error(&error.to_string()),
        }
        Ok(())
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
