//! `arcp lease check`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use arcp_tower::core::lease::{Authority, Budget, Namespace, Target};
use arcp_tower::core::money::parse_budget;
use arcp_tower::core::{Code, Error, Timestamp};
use serde_json::json;

use super::{read, usage};
use crate::args::LeaseCheck;
use crate::exit::{Exit, Failure};
use crate::output;

/// Prints a verdict for each target. Ends with 0 if all are allowed, with 10 if one is not.
pub(super) fn run(ask: &LeaseCheck) -> anyhow::Result<ExitCode> {
    let wrong = |what: &str| Failure::new(Exit::Usage, what.to_owned());
    let lease = read(&ask.lease)?;
    let namespace: Namespace =
        ask.namespace.parse().map_err(|e| wrong(&format!("{}: {e}", ask.namespace)))?;
    if namespace == Namespace::CostBudget {
        let words = "cost.budget has amounts and no patterns: ask for what is to be paid, such as \
                     tool.call search.web, and say with --spent what was spent of it";
        return Err(wrong(words).into());
    }
    let expires_at = ask.expires_at.as_deref().map(Timestamp::parse_utc).transpose();
    let expires_at = expires_at.map_err(|e| wrong(&format!("--expires-at: {e}")))?;
    let authority = Authority::new(&lease, expires_at).map_err(|e| usage(&e))?;
    let mut budget = Budget::new(lease.budget().map_err(|e| usage(&e))?);
    for spent in &ask.spent {
        let (currency, amount) = parse_budget(spent).map_err(|e| wrong(&format!("--spent: {e}")))?;
        budget.charge(&currency, amount);
    }
    let mut all = true;
    for target in &ask.targets {
        let verdict = verdict(&authority, &budget, &namespace, target);
        all &= verdict.is_ok();
        output::line(&if ask.json { line(target, &verdict) } else { text(target, &verdict) })?;
    }
    Ok(if all { ExitCode::SUCCESS } else { Exit::JobError.into() })
}

/// Expiry, budget, pattern: in the order of a runtime.
fn verdict(
    authority: &Authority,
    budget: &Budget,
    namespace: &Namespace,
    target: &str,
) -> Result<String, Error> {
    if authority.expired(SystemTime::now().into(), Duration::ZERO) {
        return Err(Error::new(Code::LeaseExpired, "the lease has ended"));
    }
    budget.check()?;
    let target = Target::parse(namespace, target)?;
    authority.check(namespace, &target).into_result().map(str::to_owned)
}

fn text(target: &str, verdict: &Result<String, Error>) -> String {
    match verdict {
        Ok(grant) => format!("allowed  {target}  by {grant}"),
        Err(denial) => {
            let nearest: Option<Nearest> = denial.details().and_then(|details| details.decode().ok());
            let nearest =
                nearest.map_or(String::new(), |Nearest { nearest }| format!("; nearest is {nearest}"));
            format!("denied   {target}  {denial}{nearest}")
        }
    }
}

#[derive(serde::Deserialize)]
struct Nearest {
    nearest: String,
}

fn line(target: &str, verdict: &Result<String, Error>) -> String {
    match verdict {
        Ok(grant) => json!({ "target": target, "allowed": true, "grant": grant }),
        Err(denial) => json!({ "target": target, "allowed": false, "error": denial.body() }),
    }
    .to_string()
}
