//! The canonical forms of what operations name and patterns are about (§9.3).
//!
//! Matching compares bytes, so one thing must have one spelling before it is matched, and what an
//! agent or a server could read in two ways is refused.

pub(super) mod name;
pub(super) mod other;
pub(super) mod path;
pub(super) mod url;

use super::glob::InvalidGlob;

/// Why a text is no target, or no pattern, of its namespace: a rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(super) &'static str);

impl From<InvalidGlob> for Unfit {
    fn from(invalid: InvalidGlob) -> Self {
        Self(invalid.rule())
    }
}

pub(super) type Result<T> = std::result::Result<T, Unfit>;

/// Whether an escape hides a dot, a separator or a NUL, however often the `%` itself is escaped, or
/// in the overlong forms that careless decoders take for one of them.
pub(super) fn hides_separator(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| {
        let mut hex = &text.as_bytes()[at + 1..];
        while let Some(rest) = hex.strip_prefix(b"25") {
            hex = rest;
        }
        let upper = |at: usize| hex.get(at).map_or(0, u8::to_ascii_uppercase);
        matches!(
            (upper(0), upper(1)),
            // . / \ and NUL
            (b'2', b'E' | b'F') | (b'5', b'C') | (b'0', b'0')
            // Overlong beginnings of two, three and four bytes, and %uXXXX.
            | (b'C', b'0' | b'1') | (b'U', _)
        ) || [&b"E0%8"[..], b"E0%9", b"F0%8"].iter().any(|overlong| {
            hex.len() >= overlong.len() && hex[..overlong.len()].eq_ignore_ascii_case(overlong)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_separators_are_found_under_every_escape() {
        for hidden in [
            "%2e",
            "a%2Eb",
            "%2f",
            "%5C",
            "%00",
            "%252e",
            "%25252F",
            "%c0%ae",
            "%C1%9c",
            "%e0%80%ae",
            "%u002e",
        ] {
            assert!(hides_separator(hidden), "{hidden}");
        }
        for plain in ["", "100%", "%", "%2", "%20", "%2a", "%e2%82%ac", "%f0%9f%a6%80", "%25", "a%25b"] {
            assert!(!hides_separator(plain), "{plain}");
        }
    }
}
