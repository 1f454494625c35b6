//! Identifiers: short shared strings that need no escaping inside JSON.
//!
//! Peers choose some of them, so every constructor checks them once; after that they can be
//! spliced into a frame as they are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The longest identifier that is accepted from a peer, in bytes.
pub const MAX_ID: usize = 128;

/// 128 bits as the 26 characters of a ULID: the shape that every peer accepts.
pub fn crockford(bits: u128) -> [u8; 26] {
    let mut out = [b'0'; 26];
    let mut rest = bits;
    for slot in out.iter_mut().rev() {
        *slot = CROCKFORD[(rest & 31) as usize];
        rest >>= 5;
    }
    out
}

/// Why a text is no identifier. It names the rule and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 printable ASCII characters without quotes, backslashes or spaces")]
pub struct InvalidId;

fn check(text: &str) -> Result<(), InvalidId> {
    let safe = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(safe) {
        return Err(InvalidId);
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// An identifier of the runtime's own, from 128 random (or keyed) bits.
            pub fn from_bits(bits: u128) -> Self {
                let mut text = String::with_capacity($prefix.len() + 26);
                text.push_str($prefix);
                text.extend(crockford(bits).map(char::from));
                Self(text.into())
            }

            /// The text, safe to splice into JSON.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A message (§5): `id`, and `request_id` in the replies to it.
    MessageId, "");
id!(
    /// A session (§6.2), `sess_` and 26 characters when it is ours.
    SessionId, "sess_");
id!(
    /// A job (§7.1), `job_` and 26 characters when it is ours.
    JobId, "job_");
id!(
    /// A streamed result (§8.4), `res_` and 26 characters.
    ResultId, "res_");
id!(
    /// A tool call (§8.2), `call_` and 26 characters when the runtime makes it up.
    CallId, "call_");
id!(
    /// A provisioned credential (§9.8), `cred_` and 26 characters when it is ours. It stays the same
    /// when the credential is rotated.
    CredentialId, "cred_");

id!(
    /// A delegation (§10), `del_` and 26 characters: what a `delegate` event and its child share.
    DelegateId, "del_");

/// A trace (§11): 32 lowercase hex digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// A new trace from random bits; zero, which W3C forbids, becomes one.
    pub fn from_bits(bits: u128) -> Self {
        Self(bits.max(1))
    }

    /// Its bits.
    pub fn to_bits(self) -> u128 {
        self.0
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceId;

    /// Takes 32 hex digits or a whole `traceparent`, which peers send in the same field.
    fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
        let hex = match text.len() {
            32 => text,
            // version "-" trace-id "-" parent-id "-" flags
            55.. if text.as_bytes()[2] == b'-' && text.as_bytes()[35] == b'-' => {
                text.get(3..35).ok_or(InvalidTraceId)?
            }
            _ => return Err(InvalidTraceId),
        };
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidTraceId);
        }
        match u128::from_str_radix(hex, 16) {
            Ok(bits) if bits != 0 => Ok(Self(bits)),
            _ => Err(InvalidTraceId),
        }
    }
}

/// Why a text is no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 hex digits, not all zero, or a W3C traceparent")]
pub struct InvalidTraceId;

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_shape_of_a_ulid() {
        assert_eq!(JobId::from_bits(0).as_str(), "job_00000000000000000000000000");
        assert_eq!(MessageId::from_bits(u128::MAX).as_str(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }

    #[test]
    fn ids_that_would_need_escaping_are_refused() {
        for bad in ["", "a\"b", "a\nb", "a\\b", "a b", "é", &"x".repeat(129)] {
            assert_eq!(bad.parse::<MessageId>(), Err(InvalidId), "{bad:?}");
        }
        assert!("01J00000000000000000000000".parse::<MessageId>().is_ok());
    }

    #[test]
    fn a_trace_is_taken_bare_or_as_traceparent() {
        let bare: TraceId = "4BF92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
        let full: TraceId = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        assert_eq!(bare, full);
        assert_eq!(bare.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in ["", "0", &"0".repeat(32), &"g".repeat(32), "00-zz-11-01", &"é".repeat(16)] {
            assert_eq!(bad.parse::<TraceId>(), Err(InvalidTraceId), "{bad:?}");
        }
        assert_eq!(
            "é0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse::<TraceId>(),
            Err(InvalidTraceId)
        );
    }
}
