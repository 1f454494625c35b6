//! `arcp submit`.

use std::path::PathBuf;

use super::{Format, Remote};

#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Keep what `arcp cancel` needs to continue this session in a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Option<PathBuf>,
    /// The agent: NAME or NAME@VERSION.
    #[arg(long)]
    pub(crate) agent: String,
    /// The input, as JSON; `-` reads it from standard input.
    #[arg(long, default_value = "null")]
    pub(crate) input: String,
    /// Grants, as JSON: an object of namespaces and their patterns.
    #[arg(long, value_name = "JSON")]
    pub(crate) lease: Option<String>,
    /// Makes a repeat of this submit harmless.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// How long the job may run.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_runtime: Option<u64>,
    /// The trace it belongs to: 32 hex digits, or a traceparent.
    #[arg(long)]
    pub(crate) trace_id: Option<String>,
    /// Give up after this long; the job goes on.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// How the outcome is written.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// The same as `--output json`.
    #[arg(long)]
    json: bool,
    /// With JSON: one line for each event, the last for the end.
    #[arg(long)]
    pub(crate) stream: bool,
    /// Exit with 0 however the job ended.
    #[arg(long)]
    pub(crate) exit_zero: bool,
}

impl Submit {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}
