//! The bar at the foot of a terminal: how far a job is, and what is left of its budget.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use arcp_tower::core::wire::event::{Metric, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize as _;

use crate::plain::plain;

/// How finely the bar is divided, whatever the agent counts in.
const WHOLE: u64 = 10_000;

/// A bar on standard error where that is a terminal, and lines where it is not.
pub(crate) struct Bar {
    drawn: ProgressBar,
    /// What the agent last said about its progress.
    words: String,
    budget: BTreeMap<String, String>,
}

impl Bar {
    /// `shown` is false for those who want JSON only.
    pub(crate) fn new(shown: bool) -> Self {
        let drawn = if shown && std::io::stderr().is_terminal() {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        drawn.set_style(style("{spinner} {msg}"));
        Self { drawn, words: String::new(), budget: BTreeMap::new() }
    }

    /// Writes something above the bar.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        self.drawn.suspend(write);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.drawn.finish_and_clear();
    }

    /// An agent is this far (§8.2.1). Its numbers may have fractions, and no total.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        let counted = match &progress.total {
            Some(total) => format!("{}/{total}", progress.current),
            None => progress.current.to_string(),
        };
        let said = [progress.units.as_deref(), progress.message.as_deref()];
        let said = said.into_iter().flatten().map(plain).filter(|words| !words.is_empty());
        self.words = said.fold(counted, |words, more| format!("{words} {more}"));
        if self.drawn.is_hidden() {
            anstream::eprintln!("{:>12} {}", "progress".cyan(), self.words);
            return;
        }
        match progress.total.as_ref().and_then(|total| share(&progress.current, total)) {
            Some(share) => {
                self.drawn.set_style(style("{bar:30} {msg}"));
                self.drawn.set_length(WHOLE);
                self.drawn.set_position(share);
            }
            None => self.drawn.set_style(style("{spinner} {msg}")),
        }
        self.drawn.enable_steady_tick(Duration::from_millis(100));
        self.message();
    }

    /// So much is left of a budget (§9.6).
    pub(crate) fn gauge(&mut self, metric: &Metric) {
        let unit = plain(metric.unit.as_deref().unwrap_or_default());
        let left = format!("{} {unit} left", plain(metric.value.as_str()));
        if self.drawn.is_hidden() {
            anstream::eprintln!("{:>12} {left}", "budget".cyan());
        }
        self.budget.insert(unit.into_owned(), left);
        self.message();
    }

    fn message(&self) {
        let parts = std::iter::once(self.words.as_str()).chain(self.budget.values().map(String::as_str));
        let parts = parts.filter(|part| !part.is_empty());
        self.drawn.set_message(parts.collect::<Vec<_>>().join("  "));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How much of the bar is full.
fn share(current: &serde_json::Number, total: &serde_json::Number) -> Option<u64> {
    let (current, total) = (current.as_f64()?, total.as_f64()?);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and WHOLE")]
    #[allow(clippy::cast_precision_loss, reason = "WHOLE is small")]
    (total > 0.0).then(|| ((current / total).clamp(0.0, 1.0) * WHOLE as f64).round() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_any_numbers_and_never_more_than_the_whole() {
        let number = |text: &str| text.parse::<serde_json::Number>().unwrap();
        let share = |current, total| share(&number(current), &number(total));
        assert_eq!(share("0.25", "0.5"), Some(WHOLE / 2));
        assert_eq!(share("3", "4"), Some(WHOLE * 3 / 4));
        assert_eq!(share("9", "4"), Some(WHOLE));
        assert_eq!(share("-1", "4"), Some(0));
        assert_eq!(share("1", "0"), None);
        assert_eq!(share("1", "-3"), None);
    }
}
