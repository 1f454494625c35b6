//! `arcp doctor`: what is wrong with a set-up, one finding after the other.

mod finding;
mod runtime;
mod store;

use std::process::ExitCode;

use crate::args::{Doctor, Remote};
use crate::exit::Exit;
use crate::{output, remote};

use finding::{Finding, Level};

/// Looks at everything that can be looked at, and says what it found; what cannot work is exit code 1.
pub(crate) async fn run(args: &Doctor) -> anyhow::Result<ExitCode> {
    let mut findings = match &args.remote.command {
        Some(_) => program(&args.remote).await,
        None => server(&args.remote).await,
    };
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

async fn server(remote: &Remote) -> Vec<Finding> {
    let token = remote::token(remote);
    let mut findings = vec![match &token {
        Ok(_) => Finding::good("token", "there is one"),
        Err(error) => {
            Finding::bad("token", format!("{error:#}")).hint("arcp serve prints one when it starts")
        }
    }];
    findings.extend(runtime::token_file(remote));
    match runtime::reach(&remote.url).await {
        Ok(found) => {
            findings.extend(found);
            if token.is_ok() {
                findings.extend(runtime::session(remote).await);
            }
        }
        Err(found) => findings.extend(found),
    }
    findings
}

/// A program needs no token, and there is no way to it.
async fn program(remote: &Remote) -> Vec<Finding> {
    let mut findings: Vec<_> = runtime::token_file(remote).into_iter().collect();
    findings.extend(runtime::session(remote).await);
    findings
}
