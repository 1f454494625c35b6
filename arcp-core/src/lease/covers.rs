//! Whether one glob covers another (§9.4): every text that the child matches, the parent matches.
//!
//! The child is read as a machine that writes segments, each of them one of its own patterns or,
//! at a `**`, any segment at all. The parent's machine follows with the set of all its states. A
//! step of the parent is taken only if its pattern covers the *whole* pattern that the child wrote,
//! so a yes is a proof; a no may mean that there is none of this kind.

use super::glob::{DEEP, Glob, segment};

/// The comparisons that are left to a proof, or to all those of a lease. No lease that means anything
/// comes near the default; beyond it, the answer is no.
#[derive(Debug)]
pub(super) struct Work(usize);

impl Default for Work {
    fn default() -> Self {
        Self(1 << 21)
    }
}

impl Work {
    /// Whether there was enough left for `comparisons` more.
    fn goes_on(&mut self, comparisons: usize) -> bool {
        let left = self.0.checked_sub(comparisons);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Some of the parent's states: bit `j` says that its first `j` segments are behind it.
type States = Box<[u64]>;

impl Glob {
    /// Whether every text that `child` matches is matched by this glob too. What cannot be proved
    /// is no.
    ///
    /// ```
    /// use arcp_core::lease::glob::Glob;
    /// let covers = |a, b| Glob::new(a, '/').unwrap().covers(&Glob::new(b, '/').unwrap());
    /// assert!(covers("/ws/**", "/ws/src/*.rs") && covers("/ws/**", "/ws"));
    /// assert!(!covers("/ws/*", "/ws/**") && !covers("/ws/a*", "/ws/*"));
    /// ```
    pub fn covers(&self, child: &Self) -> bool {
        self.covers_within(child, &mut Work::default())
    }

    /// [`Glob::covers`], as far as the work goes that is left.
    pub(super) fn covers_within(&self, child: &Self, work: &mut Work) -> bool {
        // A `**` in the child may stand for nothing, and its separator then goes with it.
        let literal = self.literal();
        if !child.literal().starts_with(literal.strip_suffix(self.separator()).unwrap_or(literal)) {
            return false;
        }
        if !child.is_deep() {
            // No `*` is literal in a pattern: only stars match it in the child's.
            return work.goes_on(1 + child.as_str().len() / 64) && self.matches(child.as_str());
        }
        self.is_deep() && self.has_proof(child, work)
    }

    fn has_proof(&self, child: &Self, work: &mut Work) -> bool {
        let parent = Machine { segments: self.segments().collect() };
        let child: Vec<&str> = child.segments().collect();
        let mut seen: Vec<Vec<States>> = vec![Vec::new(); child.len() + 1];
        let mut open = vec![(0, parent.start())];
        while let Some((at, states)) = open.pop() {
            // Whatever follows, more states match no less.
            if parent.takes_all(&states) || seen[at].iter().any(|few| within(few, &states)) {
                continue;
            }
            if !work.goes_on(parent.segments.len() + seen[at].len()) {
                return false;
            }
            match child.get(at) {
                None if parent.ends(&states) => {}
                None => return false,
                Some(&DEEP) => {
                    open.push((at, parent.step(&states, None)));
                    open.push((at + 1, states.clone()));
                }
                Some(pattern) => open.push((at + 1, parent.step(&states, Some(pattern)))),
            }
            seen[at].push(states);
        }
        true
    }
}

fn within(few: &[u64], many: &[u64]) -> bool {
    few.iter().zip(many).all(|(few, many)| few & !many == 0)
}

/// The parent's segments as a machine that reads segments.
struct Machine<'a> {
    segments: Vec<&'a str>,
}

impl Machine<'_> {
    fn none(&self) -> States {
        vec![0; self.segments.len() / 64 + 1].into()
    }

    /// Adds state `at`, and those that a `**` without segments leads to.
    fn enter(&self, states: &mut States, mut at: usize) {
        loop {
            states[at / 64] |= 1 << (at % 64);
            if self.segments.get(at) != Some(&DEEP) {
                return;
            }
            at += 1;
        }
    }

    fn start(&self) -> States {
        let mut states = self.none();
        self.enter(&mut states, 0);
        states
    }

    /// The states after a segment of which `pattern` is all that is known, if anything is.
    fn step(&self, states: &States, pattern: Option<&str>) -> States {
        let mut next = self.none();
        for (at, own) in self.segments.iter().enumerate().filter(|(at, _)| has(states, *at)) {
            if *own == DEEP {
                self.enter(&mut next, at);
            } else if pattern.map_or(*own == "*", |pattern| segment(own, pattern)) {
                self.enter(&mut next, at + 1);
            }
        }
        next
    }

    fn ends(&self, states: &States) -> bool {
        has(states, self.segments.len())
    }

    /// Whether a last `**` was reached: it takes whatever comes.
    fn takes_all(&self, states: &States) -> bool {
        self.segments.last() == Some(&DEEP) && has(states, self.segments.len() - 1)
    }
}

fn has(states: &States, at: usize) -> bool {
    states[at / 64] & (1 << (at % 64)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parent: &str, yes: &[&str], no: &[&str]) {
        let glob = |text: &str| Glob::new(text, '/').unwrap();
        for child in yes {
            assert!(glob(parent).covers(&glob(child)), "{parent} should cover {child}");
        }
        for child in no {
            assert!(!glob(parent).covers(&glob(child)), "{parent} should not cover {child}");
        }
    }

    #[test]
    fn a_pattern_covers_itself_and_what_is_narrower() {
        check(
            "/ws/**",
            &["/ws/**", "/ws", "/ws/*", "/ws/a/**/b*", "/ws/*/**"],
            &["/**", "/w*/**", "/ws*", "/x"],
        );
        check("/ws/*", &["/ws/*", "/ws/a*", "/ws/"], &["/ws/**", "/ws", "/ws/*/*"]);
        check("**", &["**", "", "a/**", "*", "**/b"], &[]);
        check("*a*", &["a", "*a", "ba*", "*ab*a*"], &["*", "b*", "a/a"]);
    }

    #[test]
    fn t90_a_childs_stars_are_not_taken_for_text() {
        check("/data/*", &[], &["/data/**", "/data/*/**", "/data/**/*"]);
        check("/data/a*", &["/data/a*"], &["/data/*a", "/data/*"]);
        check("/data/*/x", &[], &["/data/**/x"]);
    }

    #[test]
    fn equal_languages_in_other_words_are_proved() {
        check("**/*", &["*/**", "**/*/**", "*", "*/*/**"], &[]);
        check("a/*/**", &["a/**/*", "a/*/**/*", "a/**/b"], &["a/**", "a"]);
        check("**/*/*", &["**/a/**/b", "*/**/*"], &["**/a/**"]);
        check("a/**/**", &["a/**"], &["**"]);
    }

    #[test]
    fn a_proof_that_takes_too_long_is_none() {
        // Which of its states the parent is in depends on the last 40 segments: 2^40 sets.
        let parent = format!("**/a/{}**/b", "*/".repeat(40));
        let child = "**/a*/".repeat(40) + "**";
        check(&parent, &[], &[&child]);
        let wide = |n: usize| format!("{}**", "**/a/".repeat(n));
        check(&wide(100), &[&wide(101)], &[&wide(99)]);
    }
}
