//! Agent references, `name` or `name@version`, and their resolution (§7.5).

mod info;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use info::{AgentDescription, AgentInfo};

use crate::{Code, Error};

/// The version of an agent that was registered without one.
pub const FIRST_VERSION: &str = "1.0.0";

/// An agent as a submit names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentRef {
    name: String,
    version: Option<String>,
}

/// Why a text names no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a lower-case name, optionally with @version, of at most 128 characters")]
pub struct InvalidAgentRef;

impl AgentRef {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, if one is pinned.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl FromStr for AgentRef {
    type Err = InvalidAgentRef;

    fn from_str(text: &str) -> Result<Self, InvalidAgentRef> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let in_name = |b: u8| first(b) || matches!(b, b'.' | b'_' | b'-');
        let in_version = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'_' | b'-');
        let named = name.bytes().next().is_some_and(first) && name.bytes().all(in_name);
        let versioned = version.is_none_or(|v| !v.is_empty() && v.bytes().all(in_version));
        if !named || !versioned || text.len() > 128 {
            return Err(InvalidAgentRef);
        }
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) })
    }
}

impl fmt::Display for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Serialize for AgentRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AgentRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The registered agents by name and version.
#[derive(Debug, Clone)]
pub struct Inventory<A> {
    agents: BTreeMap<String, Entry<A>>,
}

#[derive(Debug, Clone)]
struct Entry<A> {
    versions: Vec<(String, A)>,
    default: usize,
}

impl<A> Default for Inventory<A> {
    fn default() -> Self {
        Self { agents: BTreeMap::new() }
    }
}

impl<A> Inventory<A> {
    /// Registers `agent`, under [`FIRST_VERSION`] if the reference has none. The version that was
    /// registered last is the default.
    ///
    /// # Errors
    /// The version's name, if it is there already.
    pub fn register(&mut self, at: &AgentRef, agent: A) -> Result<(), String> {
        let version = at.version().unwrap_or(FIRST_VERSION);
        let entry = self
            .agents
            .entry(at.name().to_owned())
            .or_insert_with(|| Entry { versions: Vec::new(), default: 0 });
        if entry.versions.iter().any(|(known, _)| known == version) {
            return Err(format!("{}@{version}", at.name()));
        }
        entry.versions.push((version.to_owned(), agent));
        entry.default = entry.versions.len() - 1;
        Ok(())
    }

    /// The agent that `wanted` means, and its full reference.
    ///
    /// # Errors
    /// `AGENT_NOT_AVAILABLE` or `AGENT_VERSION_NOT_AVAILABLE`.
    pub fn resolve(&self, wanted: &AgentRef) -> Result<(AgentRef, &A), Error> {
        let entry = self.agents.get(wanted.name()).ok_or_else(|| {
            Error::new(Code::AgentNotAvailable, format!("no agent is named {}", wanted.name()))
        })?;
        let (version, agent) = match wanted.version() {
            None => &entry.versions[entry.default],
            Some(version) => entry.versions.iter().find(|(v, _)| v == version).ok_or_else(|| {
                let message = format!("{} has no version {version}", wanted.name());
                Error::new(Code::AgentVersionNotAvailable, message)
            })?,
        };
        let resolved = AgentRef { name: wanted.name.clone(), version: Some(version.clone()) };
        Ok((resolved, agent))
    }

    /// What `session.welcome` tells of it, by name.
    pub fn describe(&self) -> Vec<AgentInfo> {
        let describe = |(name, entry): (&String, &Entry<A>)| AgentInfo {
            name: name.clone(),
            versions: entry.versions.iter().map(|(v, _)| v.clone()).collect(),
            default: Some(entry.versions[entry.default].0.clone()),
            described: BTreeMap::new(),
        };
        self.agents.iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_7_5() {
        for good in ["echo", "echo@1.0.0", "0a.b_c-d@1.0.0+build_x-Y"] {
            assert_eq!(good.parse::<AgentRef>().unwrap().to_string(), good);
        }
        for bad in ["", "A", "../x", "a@", "@1", "a@b@c", "-a", "a@1.0.0 ", "аgent", &"a".repeat(129)] {
            assert_eq!(bad.parse::<AgentRef>(), Err(InvalidAgentRef), "{bad}");
        }
    }

    #[test]
    fn a_bare_name_means_the_version_registered_last() {
        let mut inventory = Inventory::default();
        for (at, n) in [("echo@1.0.0", 1), ("echo@2.0.0", 2), ("plain", 3)] {
            inventory.register(&at.parse().unwrap(), n).unwrap();
        }
        assert_eq!(inventory.register(&"plain@1.0.0".parse().unwrap(), 4), Err("plain@1.0.0".into()));
        let resolve =
            |text: &str| inventory.resolve(&text.parse().unwrap()).map(|(at, n)| (at.to_string(), *n));
        assert_eq!(resolve("echo").unwrap(), ("echo@2.0.0".into(), 2));
        assert_eq!(resolve("echo@1.0.0").unwrap(), ("echo@1.0.0".into(), 1));
        assert_eq!(resolve("plain").unwrap(), ("plain@1.0.0".into(), 3));
        assert_eq!(resolve("nobody").unwrap_err().code(), Code::AgentNotAvailable);
        assert_eq!(resolve("echo@9").unwrap_err().code(), Code::AgentVersionNotAvailable);
    }
}
