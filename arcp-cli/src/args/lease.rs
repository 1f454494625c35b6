//! `arcp lease`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Lease {
    /// Say whether a lease allows operations, by which grant, or which came nearest.
    #[command(after_help = "Example:
  arcp lease check --lease '{\"fs.read\":[\"/ws/**\"]}' fs.read /ws/src/main.rs /etc/passwd")]
    Check(LeaseCheck),
    /// Say whether a lease may be delegated by a job that has another one.
    #[command(after_help = "Example:
  arcp lease covers --parent '{\"tool.call\":[\"search.*\"]}' --child '{\"tool.call\":[\"search.web\"]}'")]
    Covers(LeaseCovers),
}

#[derive(Debug, clap::Args)]
pub(crate) struct LeaseCheck {
    /// The lease as JSON, or a file with it.
    #[arg(long, value_name = "JSON|FILE")]
    pub(crate) lease: String,
    /// When it ends.
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<String>,
    /// What was spent of its budget, such as USD:1.50; may be given several times.
    #[arg(long, value_name = "CURRENCY:AMOUNT")]
    pub(crate) spent: Vec<String>,
    /// One line of JSON for each target.
    #[arg(long)]
    pub(crate) json: bool,
    /// The capability, such as fs.read.
    pub(crate) namespace: String,
    /// Paths, addresses or names.
    #[arg(required = true)]
    pub(crate) targets: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LeaseCovers {
    /// The lease of the job that delegates, as JSON or a file with it.
    #[arg(long, value_name = "JSON|FILE")]
    pub(crate) parent: String,
    /// The lease that it wants to delegate.
    #[arg(long, value_name = "JSON|FILE")]
    pub(crate) child: String,
    /// The deployment forbids models that no lease names (§9.7).
    #[arg(long)]
    pub(crate) require_model_use: bool,
}
