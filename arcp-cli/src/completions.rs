//! `arcp completions`.

use clap::CommandFactory as _;

use crate::args::{Args, Completions};
use crate::output;

/// Writes a script that completes command lines.
pub(crate) fn run(args: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "arcp", &mut script);
    output::line(String::from_utf8(script)?.trim_end())
}
