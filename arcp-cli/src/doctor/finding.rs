//! One thing that was looked at.

use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::output;
use crate::plain::plain;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Good,
    /// It works, and could surprise.
    Warning,
    /// It cannot work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    what: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Finding {
    pub(super) fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Good, what, found: found.into(), hint: None }
    }

    pub(super) fn warning(what: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::good(what, found) }
    }

    pub(super) fn bad(what: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Bad, ..Self::good(what, found) }
    }

    /// What to do about it.
    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// For people.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let (what, found) = (self.what, plain(&self.found));
        let hint = self.hint.map_or_else(String::new, |hint| format!(" ({hint})"));
        match self.level {
            Level::Good => output::coloured(&format!("{}  {what}: {found}", "ok  ".green())),
            Level::Warning => output::coloured(&format!("{}  {what}: {found}{hint}", "warn".yellow())),
            Level::Bad => output::coloured(&format!("{}  {what}: {found}{hint}", "FAIL".red().bold())),
        }
    }
}
