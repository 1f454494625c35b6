//! What came of an operation.

use std::fmt;

use arcp_core::money::{Amount, Currency};
use arcp_core::{Error, Json};
use bytes::Bytes;
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

/// What an operation gives back.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Output {
    /// What the agent gets, and the `tool_result` event says.
    pub result: Json,
    /// Bytes that only the agent gets: what was in a file, the body of a response.
    pub content: Option<Bytes>,
    /// What it cost. The runtime charges it and reports it as the job's own `cost.*` metric (§9.6); an
    /// agent does not report it again.
    pub costs: SmallVec<[Cost; 1]>,
    /// What layers tell the agent.
    pub extensions: Extensions,
}

/// What an operation cost in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// In what.
    pub currency: Currency,
    /// How much; a negative amount charges nothing.
    pub amount: Amount,
}

impl Output {
    /// An output without costs.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if `result` has no JSON form.
    pub fn of<T: Serialize + ?Sized>(result: &T) -> Result<Self, Error> {
        Json::of(result).map(Self::from)
    }

    /// And it cost `amount`.
    pub fn cost(mut self, currency: Currency, amount: Amount) -> Self {
        self.costs.push(Cost { currency, amount });
        self
    }

    /// The result as a `T`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the place where it is none.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.result.decode_at("result")
    }
}

impl From<Json> for Output {
    fn from(result: Json) -> Self {
        Self { result, ..Self::default() }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("costs", &self.costs).finish_non_exhaustive()
    }
}
