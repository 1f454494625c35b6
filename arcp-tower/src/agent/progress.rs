//! A `progress` event in the making (§8.2.1).

use arcp_core::Error;
use arcp_core::wire::event::Progress;
use serde::Serialize;
use serde_json::{Number, Value};

use super::Job;

/// How far a job is. Nothing happens before [`ProgressReport::send`].
#[derive(Debug)]
#[must_use = "it is an event only when it is sent"]
pub struct ProgressReport<'a> {
    job: &'a Job,
    body: Result<Progress, Error>,
}

impl<'a> ProgressReport<'a> {
    pub(super) fn new(job: &'a Job, current: impl Serialize) -> Self {
        let body = number("current", current);
        let body = body.map(|current| Progress { current, total: None, units: None, message: None });
        Self { job, body }
    }

    /// Of how much: any number, 0 or more. It may be passed: a guess was too low.
    pub fn total(mut self, total: impl Serialize) -> Self {
        self.body = self.body.and_then(|body| Ok(Progress { total: Some(number("total", total)?), ..body }));
        self
    }

    /// Of what: `files`, `items`.
    pub fn units(mut self, units: impl Into<String>) -> Self {
        self.body = self.body.map(|body| Progress { units: Some(units.into()), ..body });
        self
    }

    /// A line about it.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.body = self.body.map(|body| Progress { message: Some(message.into()), ..body });
        self
    }

    /// Emits the event.
    ///
    /// # Errors
    /// As [`Job::log`], and `INVALID_REQUEST` if what was counted is no number, or below 0.
    pub async fn send(self) -> Result<(), Error> {
        self.job.emit_body("progress", &self.body?).await
    }
}

/// What JSON has for a number: whole numbers stay whole, and there is no NaN.
fn number(field: &'static str, value: impl Serialize) -> Result<Number, Error> {
    match serde_json::to_value(value) {
        Ok(Value::Number(number)) if number.as_f64().is_some_and(|number| number >= 0.0) => Ok(number),
        _ => Err(Error::fault(field, "must be a number, 0 or more")),
    }
}
