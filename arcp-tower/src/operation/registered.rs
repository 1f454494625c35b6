//! What was registered to carry operations out.

use std::collections::BTreeMap;

use arcp_core::lease::Namespace;
use arcp_core::{Error, Json};

use super::Backend;

/// Tools by their names, the rest by their capability.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registered {
    pub(crate) tools: BTreeMap<String, Tool>,
    pub(crate) others: BTreeMap<Namespace, Backend>,
}

/// What an agent can know of a tool before it calls it; see [`Job::tools`](crate::Job::tools).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolInfo {
    /// Its name, for [`Job::tool`](crate::Job::tool).
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON Schema of its arguments.
    pub input_schema: Option<Json>,
    /// The JSON Schema of its result.
    pub output_schema: Option<Json>,
}

/// A tool, and what it says of itself.
#[derive(Clone)]
pub(crate) struct Tool {
    pub(crate) info: ToolInfo,
    backend: Backend,
    #[cfg(feature = "schema")]
    schema: Option<std::sync::Arc<crate::schema::Schema>>,
}

impl Tool {
    pub(crate) fn new(name: String, backend: Backend) -> Self {
        let info = ToolInfo { name, description: None, input_schema: None, output_schema: None };
        Self {
            info,
            backend,
            #[cfg(feature = "schema")]
            schema: None,
        }
    }

    /// One that says something of itself, or what is wrong with that.
    #[cfg(feature = "schema")]
    pub(crate) fn described(
        name: String,
        backend: Backend,
        said: arcp_core::agent::AgentDescription,
    ) -> Result<Self, String> {
        use crate::schema::Schema;
        if let Some(schema) = &said.output_schema {
            Schema::new(schema).map_err(|rule| format!("its output schema: {rule}"))?;
        }
        let schema = said.input_schema.as_ref().map(Schema::new).transpose();
        let schema = schema.map_err(|rule| format!("its input schema: {rule}"))?.map(std::sync::Arc::new);
        let (description, input_schema, output_schema) =
            (said.description, said.input_schema, said.output_schema);
        let info = ToolInfo { name, description, input_schema, output_schema };
        Ok(Self { info, backend, schema })
    }

    /// What carries a call with `args` out.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the place of the fault, if `args` do not fit the tool's schema.
    #[cfg_attr(
        not(feature = "schema"),
        allow(clippy::unnecessary_wraps, unused_variables, reason = "there is no schema")
    )]
    pub(crate) fn taking(&self, args: &Json) -> Result<&Backend, Error> {
        #[cfg(feature = "schema")]
        if let Some(schema) = &self.schema {
            schema.check(args, "args")?;
        }
        Ok(&self.backend)
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tool").field(&self.info.name).finish()
    }
}
