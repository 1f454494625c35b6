//! The grants of one namespace, found by what they begin with.

use super::{Pattern, Target};

/// Patterns in the order of the texts that their targets begin with. Those that may match a target
/// are found among a thousand in a few steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants(Box<[Pattern]>);

impl Grants {
    pub(super) fn new(mut patterns: Vec<Pattern>) -> Self {
        patterns.sort_by(|a, b| a.begins().cmp(b.begins()));
        Self(patterns.into())
    }

    pub(super) fn as_slice(&self) -> &[Pattern] {
        &self.0
    }

    /// The grant that covers `target`; of several the one that begins with most of it.
    pub(super) fn find(&self, target: &Target<'_>) -> Option<&Pattern> {
        let text = target.as_str().as_bytes();
        let mut left = until(&self.0, text);
        while let Some((last, before)) = left.split_last() {
            let common = common(last.begins(), text);
            if common == last.begins().len() {
                if last.matches(target) {
                    return Some(last);
                }
                left = before;
            } else {
                // It differs there, and sorts before the text: so do all that agree for longer.
                left = until(before, &text[..common]);
            }
        }
        None
    }

    /// The grant that has most in common with the beginning of `target`: sorting puts it next to it.
    pub(super) fn nearest(&self, target: &Target<'_>) -> Option<&Pattern> {
        let text = target.as_str().as_bytes();
        let at = until(&self.0, text).len();
        let neighbours = self.0[at.saturating_sub(1)..].iter().take(2);
        neighbours.rev().max_by_key(|grant| common(grant.begins(), text))
    }
}

/// Those that sort before `text` or are equal to it.
fn until<'a>(patterns: &'a [Pattern], text: &[u8]) -> &'a [Pattern] {
    &patterns[..patterns.partition_point(|pattern| pattern.begins().as_bytes() <= text)]
}

fn common(begins: &str, text: &[u8]) -> usize {
    begins.bytes().zip(text).take_while(|(a, b)| a == *b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lease::Namespace::{FsRead, NetFetch};

    proptest! {
        #[test]
        fn a_grant_is_found_if_and_only_if_one_matches(
            patterns in prop::collection::vec("(/(\\*|[ab]{1,2}|[ab]\\*|\\*\\*)){1,3}", 0..20),
            text in "(/[abc]{1,3}){1,3}",
        ) {
            let compiled = patterns.iter().map(|text| Pattern::new(&FsRead, text).unwrap()).collect();
            let grants = Grants::new(compiled);
            let target = Target::parse(&FsRead, &text).unwrap();
            let one = grants.as_slice().iter().any(|grant| grant.matches(&target));
            let found = grants.find(&target);
            prop_assert_eq!(found.is_some(), one, "{:?} {}", grants.as_slice(), text);
            prop_assert!(found.is_none_or(|grant| grant.matches(&target)));
            let longest = grants.as_slice().iter().map(|g| common(g.begins(), text.as_bytes())).max();
            let nearest = grants.nearest(&target).map(|g| common(g.begins(), text.as_bytes()));
            prop_assert_eq!(nearest, longest);
        }

        #[test]
        fn a_url_begins_as_its_pattern_says(
            host in "(\\*|[ab]{1,2}|[ab]\\*)(\\.[ab]{1,2}){0,2}|\\*\\*|1\\.2\\.3\\.4|\\[::1\\]",
            rest in "(:8080|:443)?(/(\\*|[ab]{1,2}|\\*\\*)){1,3}(\\?[ab]\\*)?",
            with in "[ab]{0,2}",
        ) {
            let text = format!("https://{host}{rest}");
            let pattern = Pattern::new(&NetFetch, &text).unwrap();
            let filled = format!("https://{}{}", host.replace("**", "x").replace('*', "b"), rest.replace('*', &with));
            let Ok(target) = Target::parse(&NetFetch, &filled) else { return Ok(()) };
            if pattern.matches(&target) {
                prop_assert!(target.as_str().starts_with(pattern.begins()), "{} {}", pattern.begins(), target);
            }
        }
    }
}
