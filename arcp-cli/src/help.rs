//! `arcp help`.

use clap::CommandFactory as _;

use crate::args::{Args, Help};
use crate::exit::{self, Exit, Failure};
use crate::output;

/// Explains a command, or the exit codes.
pub(crate) fn run(args: &Help) -> anyhow::Result<()> {
    if args.topic == ["exit-codes"] {
        return output::line(exit::TABLE);
    }
    let mut command = Args::command();
    // Gives every command its whole name, as in a usage line.
    command.build();
    let mut at = &mut command;
    for name in &args.topic {
        let known = at.find_subcommand_mut(name);
        at = known.ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is nothing about \"{name}\"; see arcp --help"))
        })?;
    }
    output::line(at.render_long_help().to_string().trim_end())
}
