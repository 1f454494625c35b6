//! A `progress` event in the making (§8.2.1).

use arcp_core::Error;
use arcp_core::wire::event::Progress;

use super::Job;

/// How far a job is. Nothing happens before [`ProgressReport::send`].
#[derive(Debug)]
#[must_use = "it is an event only when it is sent"]
pub struct ProgressReport<'a> {
    job: &'a Job,
    body: Progress,
}

impl<'a> ProgressReport<'a> {
    pub(super) fn new(job: &'a Job, current: u64) -> Self {
        let body = Progress { current: current.into(), total: None, units: None, message: None };
        Self { job, body }
    }

    /// Of how much.
    pub fn total(mut self, total: u64) -> Self {
        self.body.total = Some(total.into());
        self
    }

    /// Of what: `files`, `items`.
    pub fn units(mut self, units: impl Into<String>) -> Self {
        self.body.units = Some(units.into());
        self
    }

    /// A line about it.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.body.message = Some(message.into());
        self
    }

    /// Emits the event.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn send(self) -> Result<(), Error> {
        self.job.emit_body("progress", &self.body).await
    }
}
