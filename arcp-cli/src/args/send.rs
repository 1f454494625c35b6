//! `arcp send`.

use super::Remote;

#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The message's type, such as `session.ping`; what has no dot is one of the session's.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: String,
    /// Its payload, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) payload: String,
    /// The job that it is about.
    #[arg(long, value_name = "ID")]
    pub(crate) job_id: Option<String>,
    /// How long an answer is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) wait: f64,
    /// Print what comes for all of that time, and not only the answer.
    #[arg(long)]
    pub(crate) all: bool,
}
