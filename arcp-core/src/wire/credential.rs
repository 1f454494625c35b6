//! Provisioned credentials (§9.8): secrets that are read from frames, and written only on purpose.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::event::CREDENTIAL_ROTATED;
use crate::id::CredentialId;
use crate::money::{Amount, Currency};
use crate::{Json, Timestamp};

/// The one scheme that §9.8.1 defines.
pub const BEARER: &str = "bearer";

/// A text that must not be found anywhere: it is overwritten when it is dropped, its `Debug` form is
/// `[redacted]`, and it has no `Serialize`.
///
/// ```
/// use arcp_core::wire::credential::Secret;
/// let secret = Secret::new("sk-1");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "sk-1");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Guards `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. Whoever asks sees to it that it goes no further than it may.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self::new)
    }
}

/// A credential for a service that costs something, limited as the job's lease is (§9.8.1). It has
/// no `Serialize`: see [`Credential::revealed`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Credential {
    /// Names it within the job, also after it was rotated.
    pub id: CredentialId,
    /// How it is presented: [`BEARER`], or something that one may not know, and then leaves alone.
    pub scheme: String,
    /// The secret itself.
    pub value: Secret,
    /// The base URL where it is valid. It must not be presented to any other.
    #[serde(default)]
    pub endpoint: String,
    /// The protocol that is spoken there, such as `openai`: a hint.
    #[serde(default)]
    pub profile: Option<String>,
    /// What the service enforces, for information; see [`Constraints`].
    #[serde(default)]
    pub constraints: Option<Json>,
}

impl Credential {
    /// A bearer token that is valid at `endpoint`.
    pub fn bearer(id: CredentialId, value: Secret, endpoint: impl Into<String>) -> Self {
        let (scheme, endpoint) = (BEARER.to_owned(), endpoint.into());
        Self { id, scheme, value, endpoint, profile: None, constraints: None }
    }

    /// The credential with its value, for the one whom it was issued to (§14).
    pub fn revealed(&self) -> Revealed<'_, Self> {
        Revealed(self)
    }
}

/// Something with its secrets in the clear: the only form of it that can be written.
#[derive(Clone, Copy)]
pub struct Revealed<'a, T>(pub(super) &'a T);

impl<T: fmt::Debug> fmt::Debug for Revealed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Revealed<'_, Credential> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            id: &'a CredentialId,
            scheme: &'a str,
            value: &'a str,
            endpoint: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            profile: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            constraints: Option<&'a Json>,
        }
        let Credential { id, scheme, value, endpoint, profile, constraints } = self.0;
        let (value, profile, constraints) = (value.expose(), profile.as_deref(), constraints.as_ref());
        Whole { id, scheme, value, endpoint, profile, constraints }.serialize(s)
    }
}

/// What a service enforces of a lease by itself (§9.8.3). What it does not, the runtime does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Constraints {
    /// The most that may be spent, as `currency:amount`.
    #[serde(rename = "cost.budget", default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<String>,
    /// The models that may be used.
    #[serde(rename = "model.use", default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Constraints {
    /// A spending cap, currency by currency.
    pub fn with_budget(mut self, budget: &BTreeMap<Currency, Amount>) -> Self {
        self.budget =
            budget.iter().map(|(currency, amount)| format!("{}:{amount}", currency.as_str())).collect();
        self
    }

    /// A list of models.
    pub fn with_models(mut self, models: &[String]) -> Self {
        self.models = models.to_vec();
        self
    }

    /// An end.
    pub fn with_expiry(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// As [`Credential::constraints`] has it; `None` if nothing is enforced.
    pub fn to_json(&self) -> Option<Json> {
        if *self == Self::default() { None } else { Json::of(self).ok() }
    }
}

/// The body of the `status` event that announces a new value (§9.8.2). Without the value it is what is
/// kept, and what everybody but the submitter is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Rotated {
    /// The credential.
    pub id: CredentialId,
    /// Its new value, for its submitter.
    #[serde(default)]
    pub value: Option<Secret>,
}

impl Rotated {
    /// What is kept of a rotation.
    pub fn new(id: CredentialId) -> Self {
        Self { id, value: None }
    }

    /// Reads the body of a `status` event, in any of the shapes that runtimes give it; `None` if it
    /// announces something else.
    pub fn read(body: &Json) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            phase: String,
            id: Option<CredentialId>,
            value: Option<Secret>,
            credential_id: Option<CredentialId>,
            credential_value: Option<Secret>,
            details: Option<Rotated>,
        }
        let body: Body = body.decode().ok()?;
        if body.phase != CREDENTIAL_ROTATED {
            return None;
        }
        let (id, value) = body.details.map(|details| (details.id, details.value)).unzip();
        let value = body.value.or(body.credential_value).or(value.flatten());
        Some(Self { id: body.id.or(body.credential_id).or(id)?, value })
    }

    /// The body as the draft has it, without a value.
    pub fn body(&self) -> impl Serialize + '_ {
        self.shape(None)
    }

    /// The body as the draft has it, with its value.
    pub fn revealed(&self) -> impl Serialize + '_ {
        self.shape(self.value.as_ref().map(Secret::expose))
    }

    /// The same, and beside it what the SDKs read that do not read the draft's.
    pub fn revealed_to_all(&self) -> impl Serialize + '_ {
        let value = self.value.as_ref().map(Secret::expose);
        let details = Some(Named { id: &self.id, value });
        Shape { credential_id: Some(&self.id), credential_value: value, details, ..self.shape(value) }
    }

    fn shape<'a>(&'a self, value: Option<&'a str>) -> Shape<'a> {
        let (credential_id, credential_value, details) = (None, None, None);
        let named = Named { id: &self.id, value };
        Shape { phase: CREDENTIAL_ROTATED, named, credential_id, credential_value, details }
    }
}

#[derive(Serialize)]
struct Shape<'a> {
    phase: &'static str,
    #[serde(flatten)]
    named: Named<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_id: Option<&'a CredentialId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    id: &'a CredentialId,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

/// Reads a list of credentials. One that has no such form, as one of a scheme that is not known may,
/// is left out: it must not cost the job (§9.8.1).
pub(super) fn list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Credential>, D::Error> {
    let listed = Option::<Vec<Json>>::deserialize(d)?.unwrap_or_default();
    Ok(listed.iter().filter_map(|entry| entry.decode().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::job::Accepted;

    const CANARY: &str = "sk-canary";

    fn accepted() -> Accepted {
        let text = format!(
            r#"{{"job_id":"job_1","accepted_at":"2026-01-01T00:00:00Z","credentials":[
            {{"id":"cred_1","scheme":"bearer","value":"{CANARY}","endpoint":"https://g/v1","profile":"openai",
              "constraints":{{"cost.budget":["USD:5.00"],"other":1}}}},
            {{"id":"cred_2","scheme":"x-odd","value":"v","more":[1]}},
            {{"id":"cred_3","scheme":"x-odder","value":{{"a":1}}}},
            7]}}"#
        );
        Json::parse(text).unwrap().decode().unwrap()
    }

    #[test]
    fn t108_a_scheme_that_is_not_known_is_kept_and_what_is_no_credential_costs_nothing() {
        let credentials = accepted().credentials;
        assert_eq!(credentials.iter().map(|c| c.scheme.as_str()).collect::<Vec<_>>(), ["bearer", "x-odd"]);
        assert_eq!(credentials[0].value.expose(), CANARY);
        let constraints: Constraints = credentials[0].constraints.as_ref().unwrap().decode().unwrap();
        assert_eq!(constraints, Constraints { budget: vec!["USD:5.00".into()], ..Constraints::default() });
    }

    #[test]
    fn a_secret_is_written_only_where_it_is_revealed() {
        let accepted = accepted();
        let kept = Json::of(&accepted).unwrap();
        assert!(!kept.as_str().contains("credentials"), "{kept:?}");
        assert!(!format!("{accepted:?} {:?}", accepted.revealed()).contains(CANARY));
        let sent = Json::of(&accepted.revealed()).unwrap();
        assert!(sent.as_str().contains(CANARY));
        // Nothing else differs, and what was sent is read again.
        assert_eq!(sent.decode::<Accepted>().unwrap(), accepted);
        let bare = Accepted { credentials: Vec::new(), ..accepted };
        assert_eq!(Json::of(&bare.revealed()).unwrap(), kept);
    }

    #[test]
    fn a_rotation_is_kept_without_its_value_and_read_in_every_shape() {
        let id: CredentialId = "cred_1".parse().unwrap();
        let rotated = Rotated { id: id.clone(), value: Some(Secret::new(CANARY)) };
        let kept = Json::of(&rotated.body()).unwrap();
        assert_eq!(kept.as_str(), r#"{"phase":"credential_rotated","id":"cred_1"}"#);
        assert_eq!(Rotated::read(&kept), Some(Rotated::new(id)));
        for shape in [
            Json::of(&rotated.revealed()).unwrap(),
            Json::of(&rotated.revealed_to_all()).unwrap(),
            Json::parse(format!(r#"{{"phase":"credential_rotated","credential_id":"cred_1","credential_value":"{CANARY}"}}"#)).unwrap(),
            Json::parse(format!(r#"{{"phase":"credential_rotated","message":"cred_1","details":{{"id":"cred_1","value":"{CANARY}"}}}}"#)).unwrap(),
        ] {
            assert_eq!(Rotated::read(&shape), Some(rotated.clone()), "{shape:?}");
        }
        assert_eq!(Rotated::read(&Json::parse(r#"{"phase":"working","id":"cred_1"}"#).unwrap()), None);
    }
}
