//! JSON text that was serialised or checked once and is shared from then on.

mod pointer;

use std::fmt;

use bytestring::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Code, Error};

/// Valid JSON text, reference-counted with the frame it was read from.
///
/// Cloning costs one atomic increment. Equality is equality of the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(ByteString);

impl Json {
    /// The text `null`.
    pub const fn null() -> Self {
        Self(ByteString::from_static("null"))
    }

    /// The text `{}`.
    pub const fn empty_object() -> Self {
        Self(ByteString::from_static("{}"))
    }

    /// Serialises `value` once.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if `value` has no JSON form, such as a map whose keys are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        serde_json::to_string(value)
            .map(|text| Self(text.into()))
            .map_err(|e| Error::new(Code::InternalError, format!("the value has no JSON form: {e}")))
    }

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if it is not one JSON value.
    pub fn parse(text: impl Into<ByteString>) -> Result<Self, Error> {
        let text = text.into();
        serde_json::from_str::<&RawValue>(&text)
            .map_err(|_| Error::new(Code::InvalidRequest, "must be one JSON value"))?;
        Ok(Self(text))
    }

    /// Text that the caller composed from values that are JSON already.
    pub(crate) fn composed(text: String) -> Self {
        debug_assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "composed: {text}");
        Self(text.into())
    }

    /// Borrows `raw` from the frame that contains it: no copy, one atomic increment.
    pub(crate) fn slice_of(frame: &ByteString, raw: &RawValue) -> Self {
        Self(frame.slice_ref(raw.get()))
    }

    /// Decodes the text as `T`. The error names the path of the fault and what was expected, but
    /// repeats none of the text.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the text is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.decode_at("payload")
    }

    /// [`Json::decode`], naming faults from `root`: `input`, `payload.filter`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the text is not a `T`; `details.path` is the place of the fault, and
    /// `details.pointer` the same as a JSON pointer into this text (RFC 6901).
    pub fn decode_at<T: DeserializeOwned>(&self, root: &str) -> Result<T, Error> {
        let de = &mut serde_json::Deserializer::from_str(&self.0);
        serde_path_to_error::deserialize(de).map_err(|fault| {
            let path = match fault.path().to_string() {
                dot if dot == "." => root.to_owned(),
                path if path.starts_with('[') => format!("{root}{path}"),
                path => format!("{root}.{path}"),
            };
            let pointer = pointer::pointer(fault.path(), &self.0);
            Error::fault_at(&path, &pointer, &rule_of(fault.inner()))
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text is `null`.
    pub fn is_null(&self) -> bool {
        self.0.trim() == "null"
    }

    /// The text without a copy.
    pub fn into_text(self) -> ByteString {
        self.0
    }
}

/// What serde expected, without the peer's own text: serde quotes the offending value in its
/// messages, and a wrong value may be a secret in the wrong place.
fn rule_of(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if let Some((_, expected)) = text.rsplit_once(", expected ") {
        let expected = match expected {
            // serde names our own types, which mean nothing to a peer.
            object if object.starts_with("struct ") || object == "a map" => "an object",
            list if list.starts_with("a sequence") => "a list",
            "a string" | "a borrowed string" => "a text",
            other => other,
        };
        return format!("must be {expected}");
    }
    if let Some(field) = text.strip_prefix("missing field ") {
        return format!("lacks the field {field}");
    }
    if let Some(field) = text.strip_prefix("duplicate field ") {
        return format!("has the field {field} twice");
    }
    if e.is_data() && !text.contains(['`', '"']) {
        // A `custom` message of our own types: it names a rule.
        return text.to_owned();
    }
    "has a value of the wrong form".to_owned()
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Json {
    /// Copies the text; only a `serde_json` deserializer can be asked for it.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        Ok(Self(String::from(Box::<str>::from(raw)).into()))
    }
}

/// Reads a member that may be missing and may be `null`, which is not the same.
pub(crate) fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Input {
        count: u32,
        name: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        items: Vec<Input>,
    }

    #[test]
    fn a_fault_is_named_by_path_and_rule_and_never_by_value() {
        let json = Json::parse(r#"{"items":[{"count":1},{"count":"s3cret"}]}"#).unwrap();
        let e = json.decode_at::<Outer>("input").unwrap_err();
        assert_eq!(e.message(), "input.items[1].count: must be u32");
        let e = Json::parse("{}").unwrap().decode_at::<Input>("input").unwrap_err();
        assert_eq!(e.message(), "input: lacks the field `count`");
        let e = Json::parse(r#"{"count":1,"count":2}"#).unwrap().decode_at::<Input>("input").unwrap_err();
        assert!(e.message().ends_with("twice"), "{e}");
        let e = Json::parse(r#""s3cret""#).unwrap().decode_at::<Input>("input").unwrap_err();
        assert!(!e.to_string().contains("s3cret"), "{e}");
    }

    #[test]
    fn json_inside_a_value_keeps_its_text() {
        let json = Json::parse(r#"{"a" : 1.0}"#).unwrap();
        assert_eq!(serde_json::to_string(&vec![json]).unwrap(), r#"[{"a" : 1.0}]"#);
    }
}
