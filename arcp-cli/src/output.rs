//! Where data and words go: data to standard output, everything else to standard error.

use std::io::IsTerminal as _;

use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::end::ErrorLine;
use crate::exit::{Failure, Left};
use crate::plain::{self, lines};

/// A failure as JSON.
#[derive(Serialize)]
struct Line<'a> {
    error: ErrorLine<'a>,
    #[serde(flatten)]
    left: Option<&'a Left>,
}

/// Says why the command failed.
pub(crate) fn failure(failure: &anyhow::Error, as_json: bool) {
    if !as_json {
        return error(&format!("{failure:#}"));
    }
    let named = failure.downcast_ref::<Failure>();
    let known = named.and_then(|failure| failure.error.as_ref());
    let error = ErrorLine {
        code: known.map_or("FAILED", |error| error.code().as_str()),
        message: known.map_or_else(|| format!("{failure:#}").into(), |error| error.message().into()),
        retryable: known.is_some_and(arcp_tower::core::Error::retryable),
        hint: None,
    };
    let line = Line { error, left: named.and_then(|failure| failure.left.as_deref()) };
    // There is nobody left to be told that this cannot be told.
    let _ = json(&serde_json::to_string(&line).unwrap_or_default());
}

/// Says on standard error what went wrong; the words may be a peer's.
pub(crate) fn error(words: &str) {
    anstream::eprintln!("{} {}", "error:".red().bold(), lines(words));
}

/// Writes what an agent streamed to standard output, byte for byte, unless that is a terminal: it sees no
/// control characters.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        out.write_all(lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
    } else {
        out.write_all(bytes)?;
    }
    Ok(out.flush()?)
}

/// Writes a line for people to standard output, in colours where they are wanted.
pub(crate) fn coloured(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Writes a line of JSON to standard output.
pub(crate) fn json(text: &str) -> anyhow::Result<()> {
    line(&plain::json(text))
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
