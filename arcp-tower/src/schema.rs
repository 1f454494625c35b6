//! JSON Schemas in force: what is given to an agent or a tool is held to what it says of itself.

use arcp_core::{Error, Json};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// A schema that can be used: it refers to nothing outside itself, and its patterns are matched in linear
/// time.
pub(crate) struct Schema(Validator);

impl Schema {
    /// Makes a schema ready, or says what is wrong with it.
    pub(crate) fn new(schema: &Json) -> Result<Self, String> {
        let schema: Value = schema.decode().map_err(|e| e.message().to_owned())?;
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        options.build(&schema).map(Self).map_err(|e| e.to_string())
    }

    /// Whether `value`, which is called `root`, fits.
    ///
    /// # Errors
    /// `INVALID_REQUEST` with the place of the fault, also as a JSON pointer (RFC 6901), and the rule.
    pub(crate) fn check(&self, value: &Json, root: &str) -> Result<(), Error> {
        let value: Value = value.decode_at(root)?;
        self.0.validate(&value).map_err(|fault| {
            // The rule is named by its place in the schema, which repeats nothing of the value.
            let rule = format!("does not fit the schema at {}", fault.schema_path().as_str());
            Error::fault_at(&path(root, fault.instance_path()), fault.instance_path().as_str(), &rule)
        })
    }
}

/// A place in a value, as faults of types are named: `input.items[1]`.
fn path(root: &str, at: &Location) -> String {
    at.segments().fold(root.to_owned(), |path, segment| match segment {
        LocationSegment::Property(name) => format!("{path}.{name}"),
        LocationSegment::Index(index) => format!("{path}[{index}]"),
    })
}
