//! An event is a line: what peers say may be in it, and is never more than that (§14).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Where events are written. What would end a line, hide it or turn it around is escaped, in a form
/// that JSON has too.
pub(super) struct Lines<W> {
    out: W,
    /// Whether the lines are coloured. What is escape sequences in values is escaped before.
    coloured: bool,
}

impl<W> Lines<W> {
    pub(super) fn new(out: W, coloured: bool) -> Self {
        Self { out, coloured }
    }
}

impl<W: Write> Write for Lines<W> {
    /// Takes an event, which comes whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(line(&String::from_utf8_lossy(bytes), self.coloured).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn line(event: &str, coloured: bool) -> Cow<'_, str> {
    let text = event.strip_suffix('\n').unwrap_or(event);
    let steers = |c: char| steers(c) && !(coloured && c == '\u{1b}');
    if !text.contains(steers) {
        return event.into();
    }
    let mut line = String::with_capacity(event.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // All of them have four digits.
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line.push_str(&event[text.len()..]);
    line.into()
}

/// Control characters, separators of lines, and marks of direction.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn s42_an_event_is_one_line_whatever_is_in_it() {
        let cases = [
            ("plain\ttext \u{e9}\n", "plain\ttext \u{e9}\n"),
            ("a\nb\n", "a\\u000ab\n"),
            ("a\r\n\n", "a\\u000d\\u000a\n"),
            ("\u{1b}[2J\u{9b}1m\u{7f}\0", "\\u001b[2J\\u009b1m\\u007f\\u0000"),
            ("\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}\n", "\\u2028\\u2029\\u202e\\u2066\\u061c\n"),
        ];
        for (event, wanted) in cases {
            let mut lines = Lines::new(Vec::new(), false);
            lines.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(lines.out).unwrap(), wanted);
        }
        assert_eq!(line("\u{1b}[2mcoloured\u{1b}[0m\u{202e}\n", true), "\u{1b}[2mcoloured\u{1b}[0m\\u202e\n");
    }
}
