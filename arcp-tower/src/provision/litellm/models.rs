//! The models of a lease as a gateway has them.
//!
//! A star of a key goes past `/` there, makes an unescaped regular expression of its whole entry, and is
//! compared with the provider's name before the model's as well: `openai/*` opens the bare `gpt-4o`. No
//! pattern of a lease means that, but the one that means everything.

use std::collections::HashSet;

use arcp_core::lease::{Namespace, Pattern, Target};

/// The entry that stands for no model at all: an empty list stands for every one.
pub(super) const NO_MODELS: &str = "no-default-models";
/// Entries that stand for more than a name.
const SPECIAL: [&str; 3] = ["all-team-models", "all-proxy-models", NO_MODELS];
/// The entry that stands for every model, and a lease's pattern that does.
const EVERY: (&str, &str) = ("*", "**");

/// The entries of a key: names as they are, patterns as those of the models `there` that they cover.
/// What would open more is left out.
pub(super) fn models(patterns: &[String], there: &[String]) -> Vec<String> {
    let (mut models, mut seen) = (Vec::new(), HashSet::new());
    for pattern in patterns {
        let opened = opened(pattern, there);
        if opened.is_empty() {
            tracing::warn!(pattern, "a pattern of models opens none: name the gateway's models");
        }
        models.extend(opened.into_iter().filter(|model| seen.insert(*model)));
    }
    if models.is_empty() {
        models.push(NO_MODELS);
    }
    models.into_iter().map(str::to_owned).collect()
}

/// The same as patterns of a lease, whose one star stays within its segment.
pub(super) fn patterns(models: Vec<String>) -> Vec<String> {
    let pattern = |model: String| if model == EVERY.0 { EVERY.1.to_owned() } else { model };
    models.into_iter().filter(|model| model != NO_MODELS).map(pattern).collect()
}

fn opened<'a>(pattern: &'a str, there: &'a [String]) -> Vec<&'a str> {
    match pattern {
        _ if SPECIAL.contains(&pattern) => Vec::new(),
        _ if pattern == EVERY.1 => vec![EVERY.0],
        _ if !pattern.contains('*') => vec![pattern],
        _ => covered(pattern, there),
    }
}

/// Those of the models `there` that a lease's pattern covers.
fn covered<'a>(pattern: &str, there: &'a [String]) -> Vec<&'a str> {
    let Ok(pattern) = Pattern::new(&Namespace::ModelUse, pattern) else { return Vec::new() };
    let fits = |model: &&str| {
        let literal = !model.contains('*') && !SPECIAL.contains(model);
        literal && Target::parse(&Namespace::ModelUse, model).is_ok_and(|model| pattern.matches(&model))
    };
    there.iter().map(String::as_str).filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn models_that_would_mean_more_to_the_gateway_are_left_out() {
        let of = |patterns: &[&str]| models(&owned(patterns), &[]);
        assert_eq!(of(&["gpt-4o", "tier-fast/**", "a|b"]), ["gpt-4o", "a|b"]);
        // No star but the one that is everything means the same there.
        for wider in ["tier-fast/*", "openai/**", "gpt-3.5/**", "*", "gpt-*", "*/x", "a*/**", "***", "**/**"]
        {
            assert_eq!(of(&[wider]), [NO_MODELS], "{wider}");
        }
        for hostile in
            ["|*", "(x|)*", "a?*", "[a]*", "*|", "^*", "a\\*", "all-proxy-models", "all-team-models"]
        {
            assert_eq!(of(&[hostile]), [NO_MODELS], "{hostile}");
        }
        // A lease that names no model is not one that does not say.
        assert_eq!(of(&[]), [NO_MODELS]);
    }

    #[test]
    fn a_pattern_of_models_becomes_the_names_that_it_covers_and_each_of_them_once() {
        let there = owned(&[
            "tier-fast/a",
            "tier-fast/b",
            "tier-fast/b/c",
            "tier-slow/a",
            "gpt-4o",
            "all-team-models",
            "*",
            "tier-fast/*",
        ]);
        let of = |patterns: &[&str]| models(&owned(patterns), &there);
        assert_eq!(of(&["tier-fast/*"]), ["tier-fast/a", "tier-fast/b"]);
        assert_eq!(of(&["tier-fast/**"]), ["tier-fast/a", "tier-fast/b", "tier-fast/b/c"]);
        assert_eq!(of(&["*"]), ["gpt-4o"]);
        assert_eq!(of(&["tier-fast/a", "*/a", "tier-*/a"]), ["tier-fast/a", "tier-slow/a"]);
        assert_eq!(of(&["openai/**"]), [NO_MODELS], "an alias of a provider's model is not below its name");
    }

    #[test]
    fn what_grants_every_model_is_passed_on_and_said_as_a_lease_has_it() {
        assert_eq!(models(&owned(&["**", "gpt-4o"]), &[]), ["*", "gpt-4o"]);
        assert_eq!(patterns(owned(&["*", "gpt-4o"])), ["**", "gpt-4o"]);
        assert!(patterns(owned(&[NO_MODELS])).is_empty());
    }
}
