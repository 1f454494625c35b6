//! Names: tools, models, agents, and what vendors' namespaces are about.

use super::{Result, Unfit};

/// Checks a name, or a pattern of names. It is its own canonical form.
pub(in crate::lease) fn check(text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Unfit("must not be empty"));
    }
    if text.contains(char::is_control) {
        return Err(Unfit("must have no control characters"));
    }
    // A name may become a part of a path or of a URL.
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Unfit("must have no segment . or .."));
    }
    Ok(())
}

/// The bare name of an agent that may be named with a version (§7.5).
pub(in crate::lease) fn bare(agent: &str) -> Result<&str> {
    let bare = agent.split_once('@').map_or(agent, |(name, _)| name);
    check(bare).map(|()| bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_opaque_but_lead_nowhere_else() {
        for good in
            ["search.web", "mcp:github/*", "anthropic/claude-3", "日本", "a b", ".hidden", "a/...", "a//b"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "a\0b", "a\nb", "..", "a/../b", "./a", "a/."] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_agent_is_its_bare_name() {
        assert_eq!(bare("web@2.0.0"), Ok("web"));
        assert_eq!(bare("web"), Ok("web"));
        assert!(bare("@1").is_err());
    }
}
