//! Matching and inclusion against the definition.

use std::sync::LazyLock;

use arcp_core::lease::glob::Glob;
use proptest::prelude::*;

use crate::cases;
use crate::oracle::{matches, texts};

/// All texts of up to 7 of these: 21 845 of them.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| texts(&['a', 'b', '/', '.'], 7));

/// A pattern of a few segments, often with stars.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => Just("**".to_owned()),
        2 => Just("*".to_owned()),
        4 => "[ab.]{0,2}",
        3 => "[ab]{0,1}\\*[ab]{0,1}",
        2 => "[ab]\\*[ab]",
        1 => "\\*[ab]\\*[ab]?",
    ];
    prop::collection::vec(segment, 1..6).prop_map(|segments| segments.join("/"))
}

/// Texts that a pattern matches, or nearly: its stars filled in.
fn filled(pattern: &str, with: &[&str]) -> String {
    let mut with = with.iter().cycle();
    let mut next = || with.next().copied().unwrap_or_default();
    let segment = |segment: &str| segment.split('*').collect::<Vec<_>>().join(next());
    pattern.replace("**", "*/*").split('/').map(segment).collect::<Vec<_>>().join("/")
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_glob_matches_what_the_definition_says(
        pattern in pattern(),
        separator in prop_oneof![Just('/'), Just('.')],
        from in 0_usize..64,
        long in prop::collection::vec("[ab/.]{0,4}", 1..4),
    ) {
        let Ok(glob) = Glob::new(&pattern, separator) else {
            // With the other separator a `**` may not stand alone.
            prop_assert!(pattern.split(separator).any(|s| s.contains("**") && s != "**"));
            return Ok(());
        };
        // Every 64th text: the others come in other cases.
        for text in TEXTS.iter().skip(from).step_by(64) {
            prop_assert_eq!(glob.matches(text), matches(&pattern, text, separator), "{} {}", pattern, text);
        }
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let text = filled(&pattern, &long);
        prop_assert_eq!(glob.matches(&text), matches(&pattern, &text, separator), "{} {}", pattern, text);
    }

    #[test]
    fn s34_what_a_child_pattern_matches_its_parent_matches_too(
        parent in pattern(),
        child in pattern(),
        from in 0_usize..16,
        long in prop::collection::vec("[ab/.]{0,4}", 1..4),
    ) {
        let (own, other) = (Glob::new(&parent, '/').unwrap(), Glob::new(&child, '/').unwrap());
        prop_assert!(own.covers(&own), "{}", parent);
        if own.covers(&other) {
            let long: Vec<&str> = long.iter().map(String::as_str).collect();
            let filled = filled(&child, &long);
            for text in TEXTS.iter().skip(from).step_by(16).chain([&filled]) {
                let widened = matches(&child, text, '/') && !matches(&parent, text, '/');
                prop_assert!(!widened, "{} covers {} but not {}", parent, child, text);
            }
        }
    }

    #[test]
    fn a_child_made_by_narrowing_is_covered(parent in pattern(), with in prop::collection::vec("[ab]{0,2}", 1..4)) {
        let own = Glob::new(&parent, '/').unwrap();
        let with: Vec<&str> = with.iter().map(String::as_str).collect();
        let mut stars = with.iter().cycle();
        let narrow = |segment: &str| match segment {
            "**" => format!("{}/**", stars.next().copied().unwrap_or_default()),
            segment => segment.replacen('*', stars.next().copied().unwrap_or_default(), 1),
        };
        let child = parent.split('/').map(narrow).collect::<Vec<_>>().join("/");
        prop_assert!(own.covers(&Glob::new(&child, '/').unwrap()), "{} {}", parent, child);
    }
}

#[test]
fn s34_no_pair_of_short_patterns_is_covered_wrongly_and_few_proofs_are_missing() {
    let pieces = ["", "a", "b", "*", "a*", "*b", "**"];
    let mut patterns: Vec<String> = Vec::new();
    for first in pieces {
        patterns.push(first.to_owned());
        for second in pieces {
            patterns.push(format!("{first}/{second}"));
            patterns.extend(
                pieces
                    .iter()
                    .filter(|third| third.contains('*'))
                    .map(|third| format!("{first}/{second}/{third}")),
            );
        }
    }
    let texts = texts(&['a', 'b', '/'], 6);
    let globs: Vec<Glob> = patterns.iter().map(|pattern| Glob::new(pattern, '/').unwrap()).collect();
    let matched: Vec<Vec<bool>> =
        globs.iter().map(|glob| texts.iter().map(|text| glob.matches(text)).collect()).collect();
    let (mut proved, mut missing) = (0, 0);
    for (own, of_own) in globs.iter().zip(&matched) {
        for (child, of_child) in globs.iter().zip(&matched) {
            let within = of_child.iter().zip(of_own).all(|(child, own)| !child || *own);
            if own.covers(child) {
                assert!(within, "{} covers {}", own.as_str(), child.as_str());
                proved += 1;
            } else if within {
                missing += 1;
            }
        }
    }
    // What is missing needs several of the parent's segments together, or is about no segment at all.
    assert!(proved > 1000 && missing * 50 < proved, "{proved} proved, {missing} missing");
}
