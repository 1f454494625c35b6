//! Leases (§9): on the wire namespaces and patterns, in force an [`Authority`] and a [`Budget`].
//!
//! A pattern and what an operation is about, its [`Target`], are made canonical before they meet.
//!
//! # Where the specification is silent
//!
//! * What stands between two `**` has at most 127 bytes beside its stars; more is refused at submit.
//!   Before the first and after the last `**` there is no such bound ([`glob`]).
//! * A `*` in a host is part of a name, and never matches an address, in whatever notation; a pattern
//!   that has a wildcard in an address is refused.
//! * A pattern of URLs that has a query of its own, stars included, is about that query. One without
//!   grants any query if its path ends in a star, and none otherwise.
//! * URLs with `//` or `;` in the path, with escapes that are no UTF-8, or that hide a dot, a separator
//!   or a NUL, and with a `%` in the host are refused, as patterns and as targets: clients read them in
//!   two ways.
//! * `agent.delegate` is about bare names: patterns with `@version`, and names with `.` or `..` as a
//!   segment, are refused.
//! * A child may name a currency that its parent does not only if the parent has no budget at all.
//! * Inclusion is decided one parent's pattern at a time: a child's pattern that only several patterns
//!   together cover is refused, as is whatever cannot be proved ([`Authority::covers`]).

mod authority;
mod budget;
mod canonical;
mod charge;
mod covers;
pub mod glob;
mod grants;
mod pattern;
mod subset;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use authority::{Authority, Verdict};
pub use budget::{Budget, Charged, Hold, Snapshot};
pub use canonical::Unfit;
pub use charge::{NoCharge, charge_of};
pub use pattern::Pattern;
pub use subset::ModelUse;
pub use target::{MAX_TARGET, Target};

use crate::money::{Amount, Currency, parse_budget};
use crate::{Error, Feature, Features, Timestamp};

macro_rules! namespaces {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// A capability namespace (§9.2).
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Namespace {
            $($(#[$doc])* $name,)*
            /// A vendor's own: `x-vendor.` and more.
            Vendor(String),
        }

        impl Namespace {
            /// The namespace as it is on the wire.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$name => $wire,)* Self::Vendor(name) => name }
            }
        }

        impl FromStr for Namespace {
            type Err = InvalidNamespace;
            fn from_str(text: &str) -> Result<Self, InvalidNamespace> {
                match text {
                    $($wire => Ok(Self::$name),)*
                    vendor if vendor.strip_prefix("x-vendor.").is_some_and(|rest| !rest.is_empty()) => {
                        Ok(Self::Vendor(vendor.to_owned()))
                    }
                    _ => Err(InvalidNamespace),
                }
            }
        }
    };
}

namespaces! {
    /// Reading files.
    FsRead = "fs.read",
    /// Writing files.
    FsWrite = "fs.write",
    /// Outbound HTTP.
    NetFetch = "net.fetch",
    /// Calling registered tools.
    ToolCall = "tool.call",
    /// Delegating to other agents.
    AgentDelegate = "agent.delegate",
    /// Spending limits.
    CostBudget = "cost.budget",
    /// Models.
    ModelUse = "model.use",
}

/// Why a text is no namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a namespace of section 9.2 or begin with x-vendor.")]
pub struct InvalidNamespace;

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Capability grants: patterns by namespace. An empty lease grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lease(pub BTreeMap<Namespace, Vec<String>>);

/// `lease_constraints` (§9.5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaseConstraints {
    /// When the authority ends, as text: the form matters (`Z`), so it is checked, not only read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl LeaseConstraints {
    /// A lease that ends at `at`.
    pub fn expires_at(at: Timestamp) -> Self {
        Self { expires_at: Some(at.to_string()) }
    }

    /// The end in force.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if it is not UTC with `Z`, or not after `now`.
    pub fn effective(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        const FIELD: &str = "payload.lease_constraints.expires_at";
        let Some(text) = &self.expires_at else { return Ok(None) };
        let at = Timestamp::parse_utc(text).map_err(|e| Error::fault(FIELD, &e.to_string()))?;
        if at <= now {
            return Err(Error::fault(FIELD, "must be in the future"));
        }
        Ok(Some(at))
    }
}

/// The most patterns of a lease, and the longest pattern in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Patterns in all namespaces together.
    pub patterns: usize,
    /// Bytes of one pattern.
    pub pattern_bytes: usize,
    /// Bytes of the whole lease as JSON: it is part of what observers are sent.
    pub bytes: usize,
}

impl Lease {
    /// Checks what can be checked without an operation at hand: that each namespace in use was
    /// negotiated, the caps, and that each pattern has a canonical form.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the namespace and the rule.
    pub fn validate(&self, features: Features, caps: Caps) -> Result<(), Error> {
        let total: usize = self.0.values().map(Vec::len).sum();
        if total > caps.patterns {
            let rule = format!("must have at most {} patterns", caps.patterns);
            return Err(Error::fault("payload.lease_request", &rule));
        }
        if crate::Json::of(self)?.as_str().len() > caps.bytes {
            let rule = format!("must have at most {} bytes", caps.bytes);
            return Err(Error::fault("payload.lease_request", &rule));
        }
        for (namespace, patterns) in &self.0 {
            match namespace {
                Namespace::CostBudget => features.require(Feature::CostBudget)?,
                // That no model is allowed, a runtime may have said by itself (§9.7).
                Namespace::ModelUse if patterns.is_empty() => {}
                Namespace::ModelUse => features.require(Feature::ModelUse)?,
                _ => {}
            }
            let field = field(namespace);
            for pattern in patterns {
                if pattern.is_empty() || pattern.len() > caps.pattern_bytes || pattern.contains('\0') {
                    let rule = format!("each pattern must have 1 to {} bytes and no NUL", caps.pattern_bytes);
                    return Err(Error::fault(&field, &rule));
                }
            }
        }
        self.compile()?;
        self.budget().map(drop)
    }

    /// The patterns of all namespaces but `cost.budget`, canonical, compiled, each of them once.
    fn compile(&self) -> Result<BTreeMap<Namespace, Vec<Pattern>>, Error> {
        let mut grants = BTreeMap::new();
        for (namespace, patterns) in self.0.iter().filter(|(name, _)| **name != Namespace::CostBudget) {
            let mut known = BTreeSet::new();
            let mut compiled = Vec::with_capacity(patterns.len());
            for pattern in patterns.iter().filter(|pattern| known.insert(pattern.as_str())) {
                let pattern = Pattern::new(namespace, pattern);
                compiled.push(pattern.map_err(|e| Error::fault(&field(namespace), &e.to_string()))?);
            }
            grants.insert(namespace.clone(), compiled);
        }
        Ok(grants)
    }

    /// The budget's counters at the start: one for each currency.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if an entry is not `currency:amount`, or a currency comes twice.
    pub fn budget(&self) -> Result<BTreeMap<Currency, Amount>, Error> {
        const FIELD: &str = "payload.lease_request.cost.budget";
        let mut counters = BTreeMap::new();
        for entry in self.0.get(&Namespace::CostBudget).into_iter().flatten() {
            let (currency, amount) = parse_budget(entry).map_err(|e| Error::fault(FIELD, &e.to_string()))?;
            if counters.insert(currency, amount).is_some() {
                return Err(Error::fault(FIELD, "must name each currency once"));
            }
        }
        Ok(counters)
    }
}

fn field(namespace: &Namespace) -> String {
    format!("payload.lease_request.{}", namespace.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { patterns: 4, pattern_bytes: 16, bytes: 200 };

    fn lease(json: &str) -> Result<Lease, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn namespaces_are_the_seven_and_the_vendors() {
        assert!(lease(r#"{"fs.read":["/a"],"x-vendor.acme.gpu":["h*"]}"#).is_ok());
        for bad in
            [r#"{"fs.exec":["/a"]}"#, r#"{"x-vendor.":["a"]}"#, r#"{"fs.read":"/a"}"#, r#"{"fs.read":[1]}"#]
        {
            assert!(lease(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lease_is_checked_against_features_and_caps() {
        let all = Features::of(Feature::ALL);
        let check = |json: &str, features| {
            lease(json).unwrap().validate(features, CAPS).map_err(|e| e.message().to_owned())
        };
        assert_eq!(check(r#"{"cost.budget":["USD:1"]}"#, all), Ok(()));
        assert!(
            check(r#"{"cost.budget":["USD:1"]}"#, Features::NONE).unwrap_err().contains("not negotiated")
        );
        assert!(check(r#"{"cost.budget":["USD:1","USD:2"]}"#, all).unwrap_err().contains("once"));
        assert!(check(r#"{"tool.call":["a","b","c","d","e"]}"#, all).unwrap_err().contains("at most 4"));
        assert!(check(r#"{"tool.call":[""]}"#, all).is_err());
        assert!(check(r#"{"tool.call":["12345678901234567"]}"#, all).is_err());
    }

    #[test]
    fn an_expiry_must_be_utc_and_ahead() {
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let at = |text: &str| LeaseConstraints { expires_at: Some(text.to_owned()) }.effective(now);
        assert_eq!(at("2026-01-01T00:00:01Z").unwrap(), Some(Timestamp::from_millis(now.as_millis() + 1000)));
        for bad in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01+00:00", "soon"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
