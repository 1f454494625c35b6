//! The error taxonomy of §12.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Feature, Json};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// A wire error code (§12).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// A code of a vendor's or of a later version. It is only ever read; written, it is
            /// `INTERNAL_ERROR`. What its peer says of a retry holds.
            Other,
        }

        impl Code {
            /// Every code, in the order of §12.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* Self::Other => "INTERNAL_ERROR" }
            }
        }
    };
}

codes! {
    /// Operation rejected by lease enforcement, or a session without the right.
    PermissionDenied = "PERMISSION_DENIED",
    /// A delegation asked for more than its parent has.
    LeaseSubsetViolation = "LEASE_SUBSET_VIOLATION",
    /// The job does not exist or is not visible.
    JobNotFound = "JOB_NOT_FOUND",
    /// An idempotency key came again with other parameters.
    DuplicateKey = "DUPLICATE_KEY",
    /// The agent is not registered.
    AgentNotAvailable = "AGENT_NOT_AVAILABLE",
    /// The agent is registered, that version of it is not.
    AgentVersionNotAvailable = "AGENT_VERSION_NOT_AVAILABLE",
    /// The job ended because its client cancelled it.
    Cancelled = "CANCELLED",
    /// The job passed its `max_runtime_sec`.
    Timeout = "TIMEOUT",
    /// The buffer no longer covers what a resume asked for.
    ResumeWindowExpired = "RESUME_WINDOW_EXPIRED",
    /// The peer was silent for two heartbeat intervals.
    HeartbeatLost = "HEARTBEAT_LOST",
    /// The lease's `expires_at` was reached.
    LeaseExpired = "LEASE_EXPIRED",
    /// A `cost.budget` counter reached zero.
    BudgetExhausted = "BUDGET_EXHAUSTED",
    /// Malformed envelope or schema violation.
    InvalidRequest = "INVALID_REQUEST",
    /// Missing or invalid authentication.
    Unauthenticated = "UNAUTHENTICATED",
    /// Unrecoverable runtime fault; always retryable.
    InternalError = "INTERNAL_ERROR",
}

impl Code {
    /// Whether a naive retry might succeed when nothing else is known: only after a fault of the
    /// runtime or of the connection.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::InternalError | Self::HeartbeatLost)
    }

    /// The codes whose `retryable` no one may change (§12).
    const fn fixed(self) -> bool {
        matches!(self, Self::InternalError | Self::LeaseExpired | Self::BudgetExhausted)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|c| c.as_str() == text).ok_or(UnknownCode)
    }
}

/// The text is none of the codes of §12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of the codes of section 12")]
pub struct UnknownCode;

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    /// A code that §12 does not know is read as [`Code::Other`]: a newer peer must not break us.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        Ok(text.parse().unwrap_or(Self::Other))
    }
}

/// An error with a form on the wire. The message is shown to the peer: it names the field and the
/// rule, never a secret, a path or a parser's internals.
///
/// ```
/// use arcp_core::{Code, Error};
/// let e = Error::new(Code::BudgetExhausted, "the USD counter is at 0").with_retryable(true);
/// assert!(!e.retryable(), "section 12 fixes it");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    code: Code,
    message: Cow<'static, str>,
    retryable: Option<bool>,
    details: Option<Json>,
}

impl Error {
    /// An error; an empty message becomes the name of the code, since peers require one.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = match message.into() {
            empty if empty.is_empty() => Cow::Borrowed(code.as_str()),
            message => message,
        };
        Self { code, message, retryable: None, details: None }
    }

    /// `INVALID_REQUEST`: `field` breaks `rule`. `details` carry both.
    pub fn fault(field: &str, rule: &str) -> Self {
        Self::misfit(field, None, rule)
    }

    /// [`Error::fault`] with the place as a JSON pointer (RFC 6901), too: `details.pointer`. It leads into
    /// the value that `field` begins with, such as `/items/1` for the field `input.items[1]`.
    pub fn fault_at(field: &str, pointer: &str, rule: &str) -> Self {
        Self::misfit(field, Some(pointer), rule)
    }

    fn misfit(path: &str, pointer: Option<&str>, rule: &str) -> Self {
        #[derive(Serialize)]
        struct Fault<'a> {
            path: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pointer: Option<&'a str>,
            rule: &'a str,
        }
        let details = Json::of(&Fault { path, pointer, rule }).ok();
        Self { details, ..Self::new(Code::InvalidRequest, format!("{path}: {rule}")) }
    }

    /// `INVALID_REQUEST`: the session did not negotiate `feature` (§6.2).
    pub fn not_negotiated(feature: Feature) -> Self {
        let name = feature.as_str();
        Self::new(Code::InvalidRequest, format!("the feature {name} was not negotiated"))
            .with_detail("feature", name)
    }

    /// `INTERNAL_ERROR` because a bound of the runtime was reached.
    pub fn limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InternalError, message).with_detail("reason", "limit")
    }

    /// Says whether a retry might succeed, where §12 leaves that open.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = Some(retryable);
        self
    }

    /// Sets `details` to an object with one text.
    pub fn with_detail(mut self, key: &str, text: &str) -> Self {
        self.details = Json::of(&std::collections::BTreeMap::from([(key, text)])).ok();
        self
    }

    /// Sets `details`; anything but an object is dropped, since peers refuse it.
    pub fn with_details(mut self, details: Json) -> Self {
        self.details = Some(details).filter(|d| d.as_str().trim_start().starts_with('{'));
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether a naive retry might succeed; fixed by §12 for three codes.
    pub fn retryable(&self) -> bool {
        match self.retryable {
            Some(said) if !self.code.fixed() => said,
            _ => self.code.retryable(),
        }
    }

    /// More about it: an object.
    pub fn details(&self) -> Option<&Json> {
        self.details.as_ref()
    }

    /// The wire form.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code,
            message: self.message.to_string(),
            retryable: self.retryable(),
            details: self.details.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

/// The fields that every error payload shares: `session.error`, `job.error`, `tool_result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The code; an unknown one is read as [`Code::Other`].
    pub code: Code,
    /// The text for people.
    #[serde(default)]
    pub message: String,
    /// Whether a naive retry might succeed.
    #[serde(default)]
    pub retryable: bool,
    /// An object with more, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
}

impl From<ErrorBody> for Error {
    fn from(body: ErrorBody) -> Self {
        let error = Self::new(body.code, body.message).with_retryable(body.retryable);
        match body.details {
            Some(details) => error.with_details(details),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_codes_have_a_fixed_retryable() {
        for code in Code::ALL {
            let (yes, no) = (
                Error::new(*code, "x").with_retryable(true).retryable(),
                Error::new(*code, "x").with_retryable(false).retryable(),
            );
            match code {
                Code::InternalError => assert!(yes && no),
                Code::LeaseExpired | Code::BudgetExhausted => assert!(!yes && !no),
                _ => assert!(yes && !no),
            }
        }
    }

    #[test]
    fn t8_the_codes_are_those_of_the_specification_to_the_letter() {
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let wanted = "PERMISSION_DENIED LEASE_SUBSET_VIOLATION JOB_NOT_FOUND DUPLICATE_KEY AGENT_NOT_AVAILABLE \
            AGENT_VERSION_NOT_AVAILABLE CANCELLED TIMEOUT RESUME_WINDOW_EXPIRED HEARTBEAT_LOST LEASE_EXPIRED \
            BUDGET_EXHAUSTED INVALID_REQUEST UNAUTHENTICATED INTERNAL_ERROR";
        assert_eq!(codes, wanted.split(' ').collect::<Vec<_>>());
        assert_eq!(Code::Other.as_str(), "INTERNAL_ERROR", "what is no code of ours is never sent");
    }

    #[test]
    fn t5_codes_read_back_and_strange_ones_keep_what_their_peer_says_of_a_retry() {
        for code in Code::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&text).unwrap(), *code);
        }
        assert_eq!(serde_json::from_str::<Code>(r#""X_VENDOR""#).unwrap(), Code::Other);
        for said in [true, false] {
            let text = format!(r#"{{"code":"X_VENDOR","message":"m","retryable":{said}}}"#);
            let error: Error = serde_json::from_str::<ErrorBody>(&text).unwrap().into();
            assert_eq!((error.retryable(), error.code().as_str()), (said, "INTERNAL_ERROR"));
        }
    }
}
