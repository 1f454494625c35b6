//! What agents say of their input and their results, in JSON Schema, and that inputs are held to it.
//!
//! Types say it with [`typed`](super::AgentFn::typed), by way of [`schemars`]:
//!
//! ```
//! use arcp_tower::{Job, Runtime, agent_fn};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Refactor {
//!     /// What to look at.
//!     paths: Vec<String>,
//!     #[schemars(range(min = 1, max = 8))]
//!     rounds: u8,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let refactor = agent_fn(|input: Refactor, _: Job| async move { Ok(input.paths.len()) });
//! let runtime = Runtime::builder().agent("refactor", refactor.typed().about("Rewrites code.")).build()?;
//! let said = runtime.inventory()[0].description(None);
//! assert!(said.is_some_and(|said| said.input_schema.is_some()));
//! # Ok(())
//! # }
//! ```
//!
//! Any other agent says it with [`described`]. Either way a submit whose input does not fit is refused with
//! `INVALID_REQUEST` before there is a job (§7.1); `details.pointer` leads to the fault in the input.
//!
//! The output schema is for those who read, and no result is held to it: that of a typed agent fits by
//! construction, since its schema is that of the type which it returns, and of one that is only
//! [`described`] the work is done by then. To fail such a job would lose what was paid for.
//!
//! Tools say the same of themselves with
//! [`Builder::described_tool`](crate::Builder::described_tool).
//!
//! Patterns are matched in linear time, so a schema has no look-around, and a schema refers to nothing
//! outside itself. A runtime with a schema that cannot be used is not built.

use std::sync::Arc;

use arcp_core::agent::{AgentDescription, AgentInfo};
use arcp_core::{Error, Json};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use super::{Agent, AgentError, Job};
use crate::schema::Schema;

/// An agent that says what it takes and gives; [`described`] makes one, and
/// [`typed`](super::AgentFn::typed).
#[derive(Debug, Clone)]
pub struct Described<A> {
    agent: A,
    description: AgentDescription,
}

/// Has `agent` say `description` of itself.
///
/// ```
/// use arcp_tower::agent::schema::described;
/// use arcp_tower::core::Json;
/// use arcp_tower::core::agent::AgentDescription;
/// use arcp_tower::{Job, agent_fn};
///
/// # fn main() -> Result<(), arcp_tower::core::Error> {
/// let schema = Json::parse(r#"{"type":"object","required":["query"]}"#)?;
/// let agent = agent_fn(|input: Json, _: Job| async move { Ok(input) });
/// let agent = described(agent, AgentDescription::new().input(schema));
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
pub fn described<A: Agent>(agent: A, description: AgentDescription) -> Described<A> {
    Described { agent, description }
}

/// The schemas of an input and of a result.
pub fn description_of<I: JsonSchema + ?Sized, R: JsonSchema + ?Sized>() -> AgentDescription {
    let settings = SchemaSettings::draft2020_12;
    let input = settings().for_deserialize().into_generator().into_root_schema_for::<I>();
    let output = settings().for_serialize().into_generator().into_root_schema_for::<R>();
    let mut description = AgentDescription::new();
    // A schema is a JSON value, which always has a text.
    description.input_schema = Json::of(&input).ok();
    description.output_schema = Json::of(&output).ok();
    description
}

impl<A> Described<A> {
    /// Says what it is for.
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.description = self.description.about(text);
        self
    }
}

impl<A: Agent> Agent for Described<A> {
    fn check(&self, input: &Json) -> Result<(), Error> {
        self.agent.check(input)
    }

    fn describe(&self) -> AgentDescription {
        self.description.clone()
    }

    fn run(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>> {
        self.agent.run(job)
    }
}

/// An agent whose inputs are held to its schema.
struct Enforced {
    agent: Arc<dyn Agent>,
    schema: Schema,
}

impl Agent for Enforced {
    fn check(&self, input: &Json) -> Result<(), Error> {
        // What a type has to say of a fault is said better.
        self.agent.check(input)?;
        self.schema.check(input, "input")
    }

    fn run(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>> {
        self.agent.run(job)
    }
}

/// Holds an agent to its input schema, if it has one.
pub(crate) fn enforced(
    agent: Arc<dyn Agent>,
    description: &AgentDescription,
) -> Result<Arc<dyn Agent>, String> {
    if let Some(schema) = &description.output_schema {
        Schema::new(schema).map_err(|rule| format!("its output schema: {rule}"))?;
    }
    let Some(schema) = &description.input_schema else { return Ok(agent) };
    let schema = Schema::new(schema).map_err(|rule| format!("its input schema: {rule}"))?;
    Ok(Arc::new(Enforced { agent, schema }))
}

/// Puts what agents say of themselves in the inventory, up to `most` bytes; of the rest it says that it was
/// left out.
pub(crate) fn advertise(
    inventory: &mut [AgentInfo],
    said: impl IntoIterator<Item = (String, String, AgentDescription)>,
    most: usize,
) {
    let mut used = 0;
    for (name, version, mut description) in said {
        let Some(agent) = inventory.iter_mut().find(|agent| agent.name == name) else { continue };
        let bytes = Json::of(&description).map_or(usize::MAX, |text| text.as_str().len());
        if bytes > most - used {
            tracing::warn!(agent = %name, %version, bytes, most, "its description has no room in the welcome");
            description = AgentDescription::left_out();
        } else {
            used += bytes;
        }
        agent.described.insert(version, description);
    }
}
