//! What a program says beside the protocol: kept in the log, within bounds.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use arcp_core::transport::{LineLimits, Lines, Received, Stray, Transport as _};
use tokio::io::{AsyncRead, sink};
use tokio::time::Instant;

use super::ProgramLimits;

/// Logs lines, at most so many a second, and counts the others.
#[derive(Debug)]
pub(super) struct Chatter {
    program: String,
    pid: Option<u32>,
    most: usize,
    rate: f64,
    burst: f64,
    /// Records that may be written now.
    allowed: f64,
    at: Instant,
    untold: u64,
}

impl Chatter {
    pub(super) fn new(program: String, pid: Option<u32>, limits: &ProgramLimits) -> Self {
        let (rate, burst) = (f64::from(limits.log_rate), f64::from(limits.log_burst));
        let at = Instant::now();
        Self { program, pid, most: limits.log_line, rate, burst, allowed: burst, at, untold: 0 }
    }

    /// A line of its standard output that is no frame.
    pub(super) fn stray(&mut self, stray: Stray<'_>) {
        if self.admits() {
            let (program, pid, line) = (&self.program, self.pid, self.shown(stray.bytes, stray.cut));
            tracing::warn!(target: "arcp::program", program, pid, line, "printed what is no frame");
        }
    }

    /// A line of its standard error.
    fn said(&mut self, stray: Stray<'_>) {
        if self.admits() {
            let (program, pid, line) = (&self.program, self.pid, self.shown(stray.bytes, stray.cut));
            tracing::info!(target: "arcp::program", program, pid, line, "said");
        }
    }

    /// Its beginning. Controls are escaped: a log may be shown on a terminal.
    fn shown(&self, line: &[u8], cut: bool) -> String {
        let shown = &line[..line.len().min(self.most)];
        let mark = if cut || shown.len() < line.len() { "…" } else { "" };
        let text = String::from_utf8_lossy(shown);
        let escaped = text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
            if c.is_control() {
                escaped.extend(c.escape_default());
            } else {
                escaped.push(c);
            }
            escaped
        });
        escaped + mark
    }

    fn admits(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * self.rate;
        (self.allowed, self.at) = ((self.allowed + earned).min(self.burst), now);
        if self.allowed < 1.0 {
            self.untold += 1;
            return false;
        }
        self.allowed -= 1.0;
        self.tell_untold();
        true
    }

    fn tell_untold(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            let (program, pid) = (&self.program, self.pid);
            tracing::warn!(target: "arcp::program", program, pid, untold, "said more lines than are logged");
        }
    }
}

impl Drop for Chatter {
    fn drop(&mut self) {
        self.tell_untold();
    }
}

/// Logs a standard error to its end.
pub(super) async fn follow(
    stderr: impl AsyncRead + Unpin + Send + 'static,
    chatter: Arc<Mutex<Chatter>>,
    line: usize,
) {
    let mut limits = LineLimits::default();
    limits.first_message = line;
    let said = move |stray: Stray<'_>| chatter.lock().unwrap_or_else(PoisonError::into_inner).said(stray);
    let mut lines = Lines::new(stderr, sink(), limits).tolerant(said);
    // What looks like a frame is none here.
    while let Ok(Received::Frame(_)) = poll_fn(|cx| lines.poll_recv(cx)).await {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_is_said_is_logged_within_its_rate_and_the_rest_is_counted() {
        let mut limits = ProgramLimits::default();
        (limits.log_rate, limits.log_burst) = (2, 5);
        let mut chatter = Chatter::new("agent".to_owned(), None, &limits);
        let logged = |chatter: &mut Chatter, lines: usize| (0..lines).filter(|_| chatter.admits()).count();
        assert_eq!((logged(&mut chatter, 100), chatter.untold), (5, 95));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(logged(&mut chatter, 100), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(logged(&mut chatter, 100), 5, "it saves up no more than may come at once");
    }

    #[test]
    fn a_line_is_shown_cut_and_without_controls() {
        let limits = ProgramLimits { log_line: 12, ..ProgramLimits::default() };
        let chatter = Chatter::new("agent".to_owned(), None, &limits);
        assert_eq!(chatter.shown(b"short", false), "short");
        assert_eq!(chatter.shown(b"\x1b[31mred\n and more", false), r"\u{1b}[31mred\n an…");
        assert_eq!(chatter.shown(b"caf\xe9", true), "caf\u{fffd}…");
    }
}
