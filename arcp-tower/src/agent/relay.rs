//! Events of a job elsewhere that does this job's work.

use arcp_core::wire::event::{Delegate, Metric, Status};
use arcp_core::{Error, Json};
use serde::Deserialize;

use super::Job;
use super::emit::{RESERVED_PHASES, finite};

impl Job {
    /// Emits an event of a job in another runtime, by its payload (§8.1), as an event of this job. What
    /// its body has beyond the kind's own members is kept.
    ///
    /// A metric that begins with `cost.` is charged to this job's budget (§9.6). What only a runtime says
    /// of its own job is left out: phases such as `credential_rotated`, whose body may hold a credential,
    /// `cost.budget.*`, and the `child_job_id` of a `delegate`, which nobody could look up here.
    ///
    /// # Errors
    /// As [`Job::log`]; `BUDGET_EXHAUSTED` for a cost after the budget was used up, which is charged and
    /// emitted all the same: the job elsewhere is to be stopped; and `INVALID_REQUEST` for what is no event, a
    /// `status`, `metric` or `delegate` without the members of its kind or a finite value, and a
    /// `result_chunk`, which a [`ResultStream`](super::ResultStream) writes.
    pub async fn relay(&self, payload: &Json) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Raw {
            kind: String,
            #[serde(default)]
            body: Json,
        }
        let Raw { kind, body } = payload.decode()?;
        match kind.as_str() {
            "status" if RESERVED_PHASES.contains(&body.decode::<Status>()?.phase.as_str()) => Ok(()),
            "metric" => self.relay_metric(&body).await,
            "delegate" => {
                let delegate = Delegate { child_job_id: None, ..body.decode()? };
                self.emit_body("delegate", &delegate).await
            }
            "result_chunk" => Err(Error::fault("kind", "is written by a result stream")),
            "" => Err(Error::fault("kind", "must not be empty")),
            long if long.len() > 128 => Err(Error::fault("kind", "must have at most 128 characters")),
            kind => self.emit_body(kind, &body).await,
        }
    }

    async fn relay_metric(&self, body: &Json) -> Result<(), Error> {
        let metric: Metric = body.decode()?;
        if metric.name.starts_with("cost.budget.") {
            return Ok(());
        }
        finite(&metric.value)?;
        // The cost that uses the budget up is none too many; the next one is of something that was begun
        // after that (§9.6), and that no operation of this runtime refuses.
        let solvent = self.authority().solvent();
        // Before it is there: whoever sees the cost finds it charged.
        let charged = self.charge_metric(&metric);
        self.emit_body("metric", body).await?;
        let Some(currency) = charged else { return Ok(()) };
        self.tell_remaining(&currency).await?;
        solvent
    }
}
