//! Feature negotiation (§6.2): what both sides may use is the intersection of what they named.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// A feature flag of §6.2.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Feature { $($(#[$doc])* $name,)* }

        impl Feature {
            /// Every feature, in the order of §6.2.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The flag as it is on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }
        }
    };
}

features! {
    /// Pings in both directions (§6.4).
    Heartbeat = "heartbeat",
    /// Acknowledgement of events (§6.5).
    Ack = "ack",
    /// An inventory of jobs (§6.6).
    ListJobs = "list_jobs",
    /// Watching jobs of other sessions (§7.6).
    Subscribe = "subscribe",
    /// Leases that end at a time (§9.5).
    LeaseExpiresAt = "lease_expires_at",
    /// Spending limits (§9.6).
    CostBudget = "cost.budget",
    /// Model limits (§9.7).
    ModelUse = "model.use",
    /// Credentials issued for a job (§9.8).
    ProvisionedCredentials = "provisioned_credentials",
    /// `progress` events (§8.2.1).
    Progress = "progress",
    /// Streamed results (§8.4).
    ResultChunk = "result_chunk",
    /// `name@version` (§7.5).
    AgentVersions = "agent_versions",
}

/// A set of features.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Features(u16);

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);

    /// The set of `features`.
    pub fn of(features: &[Feature]) -> Self {
        features.iter().fold(Self::NONE, |set, f| set.with(*f))
    }

    /// This set and `feature`.
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u16)
    }

    /// This set without `feature`.
    pub const fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u16))
    }

    /// Whether `feature` is in it.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u16 != 0
    }

    /// What both sets have: the effective set of a session.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The features in the order of §6.2.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |f| self.has(*f))
    }

    /// `Ok` if `feature` may be used.
    ///
    /// # Errors
    /// `INVALID_REQUEST` with `details.feature` if it was not negotiated.
    pub fn require(self, feature: Feature) -> Result<(), crate::Error> {
        if self.has(feature) { Ok(()) } else { Err(crate::Error::not_negotiated(feature)) }
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Feature::as_str)).finish()
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter().map(Feature::as_str))
    }
}

impl<'de> Deserialize<'de> for Features {
    /// A list of texts; those that we do not know are not ours to use, and are left out.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Features;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of feature names")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Features, A::Error> {
                let mut set = Features::NONE;
                while let Some(name) = seq.next_element::<std::borrow::Cow<'de, str>>()? {
                    let known = Feature::ALL.iter().find(|f| f.as_str() == name);
                    set = known.map_or(set, |f| set.with(*f));
                }
                Ok(set)
            }
        }
        d.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_names_are_left_out() {
        let set: Features = serde_json::from_str(r#"["ack","x","ack","heartbeat"]"#).unwrap();
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"["heartbeat","ack"]"#);
        assert!(serde_json::from_str::<Features>(r#""ack""#).is_err());
    }

    #[test]
    fn the_effective_set_is_the_intersection() {
        let ours = Features::of(&[Feature::Ack, Feature::Progress]);
        let theirs = Features::of(&[Feature::Progress, Feature::Subscribe]);
        let both = ours.intersection(theirs);
        assert!(both.require(Feature::Progress).is_ok());
        let e = both.require(Feature::Ack).unwrap_err();
        assert_eq!(e.details().unwrap().as_str(), r#"{"feature":"ack"}"#);
    }
}
