//! What `session.welcome` tells of agents (§6.2).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Json;

/// One line of the inventory in `session.welcome` (§6.2). Peers of every kind read this form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentInfo {
    /// The name.
    pub name: String,
    /// Its versions, in the order of registration; empty where a peer's runtime has none.
    pub versions: Vec<String>,
    /// What a bare name resolves to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What is said of those versions that say something of themselves. It is no part of the protocol;
    /// peers that do not know it read past it.
    #[serde(rename = "x-vendor.arcp.described", skip_serializing_if = "BTreeMap::is_empty")]
    pub described: BTreeMap<String, AgentDescription>,
}

impl AgentInfo {
    /// What is said of `version`, or of what a bare name resolves to.
    pub fn description(&self, version: Option<&str>) -> Option<&AgentDescription> {
        self.described.get(version.or(self.default.as_deref())?)
    }
}

/// What an agent says of itself: a text for people, and JSON Schemas of its input and its result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentDescription {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its input has to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Json>,
    /// What its results fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Json>,
    /// It says something of itself that the welcome had no room for; the rest is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub omitted: bool,
}

impl AgentDescription {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the agent is for.
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Says what its input has to fit.
    pub fn input(mut self, schema: Json) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// Says what its results fit.
    pub fn output(mut self, schema: Json) -> Self {
        self.output_schema = Some(schema);
        self
    }

    /// That there is something to say, which there was no room for.
    pub fn left_out() -> Self {
        Self { omitted: true, ..Self::default() }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<'de> Deserialize<'de> for AgentInfo {
    /// Reads a bare name too, which runtimes send when `agent_versions` was not negotiated.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Rich)
    }
}

struct Rich;

impl<'de> serde::de::Visitor<'de> for Rich {
    type Value = AgentInfo;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an agent's name, or an object with its name and versions")
    }

    fn visit_str<E>(self, name: &str) -> Result<AgentInfo, E> {
        let (versions, described) = (Vec::new(), BTreeMap::new());
        Ok(AgentInfo { name: name.to_owned(), versions, default: None, described })
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<AgentInfo, A::Error> {
        let (mut name, mut versions, mut default, mut described) = (None, Vec::new(), None, BTreeMap::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => name = Some(map.next_value()?),
                "versions" => versions = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "default" => default = map.next_value()?,
                // A peer that means something else by it loses no session over it.
                "x-vendor.arcp.described" => {
                    described = map.next_value::<Json>()?.decode().unwrap_or_default();
                }
                _ => _ = map.next_value::<serde::de::IgnoredAny>()?,
            }
        }
        let name = name.ok_or_else(|| serde::de::Error::missing_field("name"))?;
        Ok(AgentInfo { name, versions, default, described })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventories_of_every_peer_are_read() {
        let flat: Vec<AgentInfo> =
            serde_json::from_str(r#"["echo",{"name":"b","versions":null,"bare":1}]"#).unwrap();
        assert_eq!(flat[0].name, "echo");
        assert!(flat[1].versions.is_empty());
    }

    #[test]
    fn descriptions_survive_the_wire_and_one_that_is_none_costs_nothing_else() {
        let schema = Json::parse(r#"{"type":"string"}"#).unwrap();
        let said = AgentDescription::new().about("counts").input(schema);
        let agent = AgentInfo {
            name: "a".to_owned(),
            versions: vec!["1.0.0".to_owned(), "2.0.0".to_owned()],
            default: Some("2.0.0".to_owned()),
            described: BTreeMap::from([
                ("1.0.0".to_owned(), AgentDescription::left_out()),
                ("2.0.0".to_owned(), said.clone()),
            ]),
        };
        let text = serde_json::to_string(&agent).unwrap();
        let read: AgentInfo = serde_json::from_str(&text).unwrap();
        assert_eq!(read, agent);
        assert_eq!(read.description(None), Some(&said));
        assert!(read.description(Some("1.0.0")).unwrap().omitted);
        assert_eq!(read.description(Some("3.0.0")), None);
        let odd = r#"{"name":"a","versions":["1"],"x-vendor.arcp.described":[7]}"#;
        assert!(serde_json::from_str::<AgentInfo>(odd).unwrap().described.is_empty());
    }
}
