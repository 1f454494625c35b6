//! `arcp agents`.

use arcp_client::SessionInfo;
use arcp_tower::core::agent::{AgentDescription, AgentInfo};
use arcp_tower::core::{Code, Error};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::Agents;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::plain::plain;
use crate::remote::connect;

/// Lists the agents of a runtime, or prints the schemas of one.
pub(crate) async fn run(args: Agents) -> anyhow::Result<()> {
    let client = connect(&args.remote).await?;
    let session = client.session().clone();
    client.close().await;
    if let Some(agent) = &args.schema {
        return schemas(&session, agent, args.json);
    }
    for agent in session.agents() {
        if args.json {
            output::json(&serde_json::to_string(&Line::of(agent))?)?;
        } else {
            told(agent)?;
        }
    }
    Ok(())
}

/// One agent for programs.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    versions: Vec<Version<'a>>,
}

#[allow(clippy::struct_field_names, reason = "what it is called in the inventory")]
#[derive(Serialize)]
struct Version<'a> {
    version: &'a str,
    default: bool,
    #[serde(flatten)]
    said: Said<'a>,
}

/// What an agent says of itself, with no member left out.
#[derive(Default, Serialize)]
struct Said<'a> {
    description: Option<&'a str>,
    input_schema: Option<&'a RawValue>,
    output_schema: Option<&'a RawValue>,
    omitted: bool,
}

impl<'a> Line<'a> {
    fn of(agent: &'a AgentInfo) -> Self {
        let versions = agent.versions.iter().map(|version| Version {
            version,
            default: agent.default.as_ref() == Some(version),
            said: agent.description(Some(version)).map(Said::of).unwrap_or_default(),
        });
        Self { name: &agent.name, versions: versions.collect() }
    }
}

impl<'a> Said<'a> {
    fn of(said: &'a AgentDescription) -> Self {
        Self {
            description: said.description.as_deref(),
            input_schema: said
                .input_schema
                .as_ref()
                .and_then(|json| serde_json::from_str(json.as_str()).ok()),
            output_schema: said
                .output_schema
                .as_ref()
                .and_then(|json| serde_json::from_str(json.as_str()).ok()),
            omitted: said.omitted,
        }
    }
}

/// One agent for people: a line for each version.
fn told(agent: &AgentInfo) -> anyhow::Result<()> {
    if agent.versions.is_empty() {
        return output::line(&plain(&agent.name));
    }
    for version in &agent.versions {
        let mut line = format!("{}@{version}", agent.name);
        if agent.versions.len() > 1 && agent.default.as_ref() == Some(version) {
            line += "  (default)";
        }
        if let Some(said) = agent.description(Some(version)) {
            if said.input_schema.is_some() || said.output_schema.is_some() {
                line += "  (schema)";
            }
            if let Some(text) = &said.description {
                line = format!("{line}  {text}");
            }
        }
        output::line(&plain(&line))?;
    }
    Ok(())
}

fn schemas(session: &SessionInfo, agent: &str, compact: bool) -> anyhow::Result<()> {
    let (name, version) =
        agent.split_once('@').map_or((agent, None), |(name, version)| (name, Some(version)));
    let known = session.agents().iter().find(|known| known.name == name);
    let has = |known: &AgentInfo| version.is_none_or(|version| known.versions.iter().any(|v| v == version));
    if !known.is_some_and(has) {
        let error = Error::new(Code::AgentNotAvailable, format!("the runtime has no agent {agent}"));
        return Err(Failure::of(Exit::Refused, &error).into());
    }
    let said = session.description(agent).map(Said::of).unwrap_or_default();
    if said.omitted {
        let words = format!("the runtime has too many schemas to tell those of {agent}");
        return Err(Failure::new(Exit::Refused, words).into());
    }
    if compact {
        return output::json(&serde_json::to_string(&said)?);
    }
    let value = serde_json::to_value(&said)?;
    output::json(&serde_json::to_string_pretty(&value)?)
}
