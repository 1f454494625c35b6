//! `arcp replay`.

use std::io::Write as _;

use anyhow::Context as _;

use crate::args::Replay;
use crate::exit::{Exit, Failure};
use crate::file;

/// Prints a session's frames, one on a line.
pub(crate) async fn run(args: Replay) -> anyhow::Result<()> {
    let session = args.session.parse().map_err(|e| Failure::new(Exit::Usage, format!("--session {e}")))?;
    let store = file::open(&args.db)?;
    let mut out = std::io::stdout().lock();
    let mut written = Ok(());
    let each = |frame: String| {
        if written.is_ok() {
            written = writeln!(out, "{frame}");
        }
    };
    let replayed = arcp_tower::replay(&store, &session, args.after_seq, each).await;
    replayed.map_err(|e| Failure::of(Exit::Refused, &e))?;
    written.context("cannot write")
}
