//! `arcp doctor`: what is wrong with a set-up, one finding after the other.

mod finding;
mod runtime;
mod store;

use std::process::ExitCode;

use crate::args::Doctor;
use crate::exit::{Exit, Failure};
use crate::{output, remote};

use finding::{Finding, Level};

/// Looks at everything that can be looked at, and says what it found; what cannot work is exit code 1.
pub(crate) async fn run(args: &Doctor) -> anyhow::Result<ExitCode> {
    if args.remote.command.is_some() {
        return Err(Failure::new(Exit::Usage, "a server is looked at, by its --url, and no --command").into());
    }
    let mut findings = Vec::new();
    let token = remote::token(&args.remote);
    findings.push(match &token {
        Ok(_) => Finding::good("token", "there is one"),
        Err(error) => {
            Finding::bad("token", format!("{error:#}")).hint("arcp serve prints one when it starts")
        }
    });
    findings.extend(runtime::token_file(&args.remote));
    match runtime::reach(&args.remote.url).await {
        Ok(found) => {
            findings.extend(found);
            if let Ok(token) = &token {
                findings.extend(runtime::session(&args.remote.url, token).await);
            }
        }
        Err(found) => findings.extend(found),
    }
    if let Some(db) = &args.db {
        findings.extend(store::look(db));
    }
    for finding in &findings {
        if args.json {
            output::json(&serde_json::to_string(finding)?)?;
        } else {
            finding.print()?;
        }
    }
    let bad = findings.iter().any(|finding| finding.level == Level::Bad);
    Ok(if bad { Exit::Refused.into() } else { ExitCode::SUCCESS })
}
