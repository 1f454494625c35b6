//! What a program's job may do: what is left to the job whose work it does (§9.4).

use arcp_client::{Client, Submission};
use arcp_core::lease::Namespace;
use arcp_core::{Code, Error, Feature, Json};
use arcp_tower::Job;

/// The submit of `job` to a program's `agent`, with the job's own grants, what is left of its budget,
/// and its end.
pub(crate) fn submission(client: &Client, agent: &str, job: &Job) -> Result<Submission, Error> {
    let input: Json = job.input()?;
    let mut submission = client.submit(agent).input(&input).trace_id(job.trace_id());
    let models = client.session().features.has(Feature::ModelUse);
    for (namespace, patterns) in &job.lease().0 {
        // That no model is allowed says nothing to a program that knows of none.
        let of_no_use = *namespace == Namespace::ModelUse && patterns.is_empty() && !models;
        if *namespace != Namespace::CostBudget && !of_no_use {
            submission = submission.lease(namespace.as_str(), patterns.clone());
        }
    }
    // Also where it is the money of the job that delegated it.
    let budget = budget(job)?;
    if !budget.is_empty() {
        submission = submission.lease(Namespace::CostBudget.as_str(), budget);
    }
    if let Some(at) = job.expires_at() {
        submission = submission.expires_at(at);
    }
    Ok(submission)
}

fn budget(job: &Job) -> Result<Vec<String>, Error> {
    let left = job.available_budget().into_iter().map(|(currency, left)| {
        if left.is_exhausted() {
            return Err(Error::new(
                Code::BudgetExhausted,
                format!("nothing is left of {}", currency.as_str()),
            ));
        }
        Ok(format!("{}:{left}", currency.as_str()))
    });
    left.collect()
}
