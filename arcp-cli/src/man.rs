//! `arcp man`.

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man as Page;

use crate::args::{Args, Man};
use crate::output;

/// Writes manual pages.
pub(crate) fn run(args: &Man) -> anyhow::Result<()> {
    let command = Args::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        return output::line(String::from_utf8(page)?.trim_end());
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(command, dir))
        .with_context(|| format!("cannot write pages to {}", dir.display()))
}
