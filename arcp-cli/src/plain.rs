//! What others say, without what a terminal would obey.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character steers a terminal, or the direction in which people read, instead of being seen.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of text.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    shown(text, |c| !steers(c))
}

/// Text of several lines.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    shown(text, |c| !steers(c) || matches!(c, '\n' | '\t'))
}

fn shown(text: &str, harmless: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&harmless) {
        return text.into();
    }
    text.chars().map(|c| if harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// JSON of the same value in which nothing steers a terminal: within strings, and nothing else of JSON has
/// such characters but white space, they are escaped.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !steers(c) || matches!(c, '\n' | '\r' | '\t');
    if text.chars().all(harmless) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmless(c) {
            escaped.push(c);
        } else {
            // All of them are of one UTF-16 unit.
            // A String takes whatever is written to it.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
    }
    escaped.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_replaced_and_letters_of_any_script_are_not() {
        assert_eq!(plain("grün ⚙ שלום"), "grün ⚙ שלום");
        assert_eq!(plain("a\u{1b}[31m\u{9b}2J\nb\u{202e}c"), "a\u{fffd}[31m\u{fffd}2J\u{fffd}b\u{fffd}c");
        assert_eq!(lines("a\n\tb\r\u{7f}"), "a\n\tb\u{fffd}\u{fffd}");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let text = "{\n\t\"a\u{9b}\": [\"\u{7f}\u{2028}\u{202e}x\", 1.0]\r\n}";
        let shown = json(text);
        assert!(!shown.chars().any(|c| steers(c) && !c.is_ascii_whitespace()));
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(text));
    }
}
