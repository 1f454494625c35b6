//! Anchored globs over segments (§9.2): `*` within a segment, `**` for whole segments.
//!
//! A pattern is compiled to the segments before its first `**`, the runs between two `**`, and the
//! segments after its last one. Each part is looked for once, from where the one before ended, so
//! that nothing is ever tried again.

mod run;

use run::Run;

/// What a `**` is, alone in its segment.
pub(super) const DEEP: &str = "**";

/// Why a text is no glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.rule())]
pub enum InvalidGlob {
    /// Such as `a**` or `***`.
    Deep,
    /// Too much between two `**`: a limit of the matcher, which keeps it linear.
    Run,
}

impl InvalidGlob {
    /// The rule that was broken.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Deep => "** must stand alone in its segment",
            Self::Run => "between two ** there must be at most 127 bytes besides stars",
        }
    }
}

/// A compiled glob. It matches whole texts, and only in time linear in them.
///
/// ```
/// use arcp_core::lease::glob::Glob;
/// let glob = Glob::new("/ws/**/*.rs", '/').unwrap();
/// assert!(glob.matches("/ws/main.rs") && glob.matches("/ws/a/b/lib.rs"));
/// assert!(!glob.matches("/ws/main.rs.bak") && !glob.matches("/ws-private/main.rs"));
/// ```
#[derive(Debug, Clone)]
pub struct Glob {
    text: Box<str>,
    separator: char,
    /// The bytes that every matched text begins with.
    literal: usize,
    /// The end of the segments before the first `**`, or of the whole pattern.
    head: usize,
    runs: Box<[Run]>,
    /// The beginning of the segments after the last `**`, if there are any.
    tail: Option<usize>,
}

impl Glob {
    /// Compiles `text`, whose segments end at the ASCII character `separator`.
    ///
    /// # Errors
    /// If `**` does not stand alone, or too much stands between two of them.
    pub fn new(text: &str, separator: char) -> Result<Self, InvalidGlob> {
        let (mut deep, mut at) = (Vec::new(), 0);
        for segment in text.split(separator) {
            if segment == DEEP {
                deep.push(at);
            } else if segment.contains(DEEP) {
                return Err(InvalidGlob::Deep);
            }
            at += segment.len() + separator.len_utf8();
        }
        let mut runs = Vec::new();
        for pair in deep.windows(2) {
            // `**/**` is one `**`: nothing stands between.
            if let Some(run) = text.get(pair[0] + 3..pair[1] - 1) {
                runs.push(Run::new(run, separator).ok_or(InvalidGlob::Run)?);
            }
        }
        let head = deep.first().copied();
        // The separator before `**` is not literal: `/ws/**` matches `/ws`.
        let literal = text.find('*').unwrap_or(text.len()).min(head.unwrap_or(usize::MAX).saturating_sub(1));
        Ok(Self {
            separator,
            literal,
            head: head.unwrap_or(text.len()),
            runs: runs.into(),
            tail: deep.last().map(|at| at + 3).filter(|at| *at <= text.len()),
            text: text.into(),
        })
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes that every matched text begins with.
    pub fn literal(&self) -> &str {
        &self.text[..self.literal]
    }

    /// Whether it has no star at all.
    pub fn is_literal(&self) -> bool {
        self.literal == self.text.len()
    }

    /// Whether it has a `**`.
    pub fn is_deep(&self) -> bool {
        self.head < self.text.len()
    }

    /// What its segments end at.
    pub(super) fn separator(&self) -> char {
        self.separator
    }

    /// The segments of the pattern.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split(self.separator)
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        if !text.starts_with(self.literal()) {
            return false;
        }
        if self.is_literal() {
            return text.len() == self.literal;
        }
        self.finds(text).is_some()
    }

    /// [`Glob::matches`] part by part. A rest of `None` has no segment left, `""` has an empty one.
    fn finds(&self, text: &str) -> Option<()> {
        let mut rest = Some(text);
        if self.head > 0 {
            let head = if self.is_deep() { &self.text[..self.head - 1] } else { &self.text };
            for pattern in head.split(self.separator) {
                let (first, after) = self.first(rest?);
                segment(pattern, first).then_some(())?;
                rest = after;
            }
        }
        if !self.is_deep() {
            return rest.is_none().then_some(());
        }
        for run in &self.runs {
            rest = run.find(rest?)?;
        }
        let Some(tail) = self.tail else { return Some(()) };
        for pattern in self.text[tail..].rsplit(self.separator) {
            let (before, last) = self.last(rest?);
            segment(pattern, last).then_some(())?;
            rest = before;
        }
        Some(())
    }

    fn first<'a>(&self, text: &'a str) -> (&'a str, Option<&'a str>) {
        text.split_once(self.separator).map_or((text, None), |(first, rest)| (first, Some(rest)))
    }

    fn last<'a>(&self, text: &'a str) -> (Option<&'a str>, &'a str) {
        text.rsplit_once(self.separator).map_or((None, text), |(rest, last)| (Some(rest), last))
    }
}

/// Whether `pattern`, whose stars stand for any bytes, matches the whole of `text`.
///
/// What stands between two stars is looked for once, leftmost first. A `*` in `text` is matched by
/// stars only, so that this also decides whether one segment's pattern covers another's.
pub(super) fn segment(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_suffix(last) else { return false };
    for piece in middle.split('*') {
        let Some((skipped, after)) = text.split_once(piece) else { return false };
        work::done(skipped.len() + piece.len());
        text = after;
    }
    true
}

/// Counts the bytes that matching looks at, in tests only.
mod work {
    #[cfg(test)]
    thread_local! {
        pub(super) static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[cfg(test)]
    pub(super) fn done(bytes: usize) {
        DONE.with(|done| done.set(done.get() + bytes));
    }

    #[cfg(not(test))]
    #[inline]
    pub(super) fn done(_: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new(text, '/').unwrap()
    }

    fn work(of: impl FnOnce() -> bool) -> usize {
        work::DONE.with(|done| done.set(0));
        of();
        work::DONE.with(std::cell::Cell::take)
    }

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(glob(pattern).matches(text), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!glob(pattern).matches(text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn a_star_stays_inside_its_segment() {
        check("/ws/*", &["/ws/a", "/ws/a.b", "/ws/"], &["/ws", "/ws/a/b", "/wsx"]);
        check("/ws/a*c", &["/ws/ac", "/ws/abc"], &["/ws/a/c", "/ws/abcd", "/ws/a"]);
        check(
            "search.*",
            &["search.web", "search.", "search.a.b"],
            &["search", "search.a/b", "research.web"],
        );
        check("*a*a*", &["aa", "xaya", "aaa"], &["a", "xay"]);
    }

    #[test]
    fn two_stars_are_whole_segments_or_none() {
        check("/ws/**", &["/ws", "/ws/", "/ws/a", "/ws/a/b"], &["/ws-private", "/w", "/"]);
        check("/**", &["/", "/a", "/a/b"], &["a", "a/b"]);
        check("**", &["", "a", "/a/b"], &[]);
        check("**/a", &["a", "/a", "x/y/a"], &["ba", "a/b"]);
        check("a/**/b", &["a/b", "a/x/b", "a/b/b"], &["ab", "a/xb", "a"]);
        check("a/**/**/b", &["a/b", "a/x/b"], &["a"]);
        check("**/a/*b/**/c", &["a/b/c", "x/a/xb/y/c", "a/a/b/c"], &["a/c", "a/b", "xa/b/c"]);
        check("**/a*b/**", &["ab", "x/a.b/y"], &["a/b", "a/xb", "abc", "xab"]);
        check("**/*/**", &["", "a", "a/b"], &[]);
        check("a/**/*/**", &["a/", "a/b"], &["a"]);
    }

    #[test]
    fn two_stars_must_stand_alone() {
        for bad in ["a**", "**a", "/a/**b/c", "***", "/****/", "a/*.**"] {
            assert_eq!(Glob::new(bad, '/').unwrap_err(), InvalidGlob::Deep, "{bad}");
        }
        let long = "x".repeat(Run::MAX + 1);
        assert_eq!(Glob::new(&format!("**/{long}/**"), '/').unwrap_err(), InvalidGlob::Run);
        assert!(Glob::new(&format!("**/{}*/**", &long[1..]), '/').is_ok());
        assert!(Glob::new(&format!("{long}/**/{long}"), '/').is_ok());
    }

    #[test]
    fn question_marks_brackets_and_braces_are_themselves() {
        check("a?[b]{c,d}!", &["a?[b]{c,d}!"], &["axb", "axbc", "axbd"]);
    }

    #[test]
    fn s33_patterns_with_10_000_stars_cost_one_pass_over_the_text() {
        let text = "a".repeat(30_000);
        for pattern in ["*a".repeat(10_000), "*a".repeat(10_000) + "*b", "*aa".repeat(10_000) + "b*"] {
            let glob = glob(&pattern);
            assert!(work(|| glob.matches(&text)) <= 2 * text.len(), "{}", &pattern[..8]);
        }
        // Between two `**` too, as far as it is allowed.
        let pattern = format!("**/{}b/**", "a*/".repeat(Run::MAX / 2 - 1));
        let text = "a/".repeat(30_000);
        let steps = work(|| glob(&pattern).matches(&text));
        assert!(text.len() / 2 < steps && steps <= 2 * text.len(), "{steps}");
    }
}
