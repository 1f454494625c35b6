//! What an operation under a lease costs beside the two events that say so, in this process.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use arcp_client::Client;
use arcp_core::transport::memory;
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{AuthLayer, BearerTokens, BoxError, Config, Job, Runtime, agent_fn, serve};
use tokio::sync::mpsc;

use super::{Suite, middle};
use crate::stats::each;
use crate::table::{Table, Target};

/// Operations of a round.
const COUNT: u64 = 50_000;

/// Nanoseconds of one thing each.
struct Round {
    call: f64,
    say: f64,
    denied: f64,
    check: f64,
}

pub(super) fn measure(suite: &Suite, table: &mut Table) -> Result<()> {
    table.group("an operation under a lease");
    let rounds = suite.rounds(|_| round())?;
    table.tell("a tool's call with its two events, µs", middle(&rounds, |round| round.call / 1e3));
    table.tell("its two events alone, µs", middle(&rounds, |round| round.say / 1e3));
    let beside = middle(&rounds, |round| (round.call - round.say) / 1e3);
    table.check("the call beside its events, µs", beside, Target::AtMost(1.5));
    table.tell("a call that is denied, with its events, µs", middle(&rounds, |round| round.denied / 1e3));
    let check = middle(&rounds, |round| round.check / 1e3);
    table.check("a check against 1,000 patterns, µs", check, Target::AtMost(10.0));
    Ok(())
}

fn round() -> Result<Round> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Ok(Round {
            call: timed("call", &["tool".to_owned()]).await?,
            say: timed("say", &["tool".to_owned()]).await?,
            denied: timed("call", &["other".to_owned()]).await?,
            check: timed("check", &(0..1000).map(|n| format!("group/{n}/*/tool-*")).collect::<Vec<_>>())
                .await?,
        })
    })
}

/// Nanoseconds of each of what a job does. Nobody is there to be sent its events: what is measured is
/// the job.
async fn timed(what: &'static str, patterns: &[String]) -> Result<f64> {
    let (said, mut heard) = mpsc::channel(1);
    let agent = agent_fn(move |(): (), job: Job| {
        let said = said.clone();
        async move {
            // Its client leaves.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let began = Instant::now();
            for _ in 0..COUNT {
                match what {
                    "call" => drop(job.tool("tool", "x").await),
                    "say" => {
                        let call_id = job.tool_call("tool", "x").await?;
                        job.tool_result(&call_id, Ok("x")).await?;
                    }
                    _ => drop(job.check("tool.call", "group/999/a/tool-b")),
                }
            }
            let _ = said.send(began.elapsed()).await;
            Ok(())
        }
    });
    let tool = |operation: Operation| std::future::ready(Ok::<_, BoxError>(Output::from(operation.args)));
    let runtime = Runtime::builder().tool("tool", tower::service_fn(tool)).agent("agent", agent).build()?;
    let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("token", "bench")])));
    let (ours, theirs) = memory(64);
    tokio::spawn(serve(theirs, runtime, http::Extensions::new(), Config::default()));
    let client = Client::over(ours).token("token").connect().await?;
    client.submit("agent").lease("tool.call", patterns).send().await?;
    client.close().await;
    let took = heard.recv().await.context("the job ends")?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let took = took.as_nanos() as f64;
    Ok(each(took, COUNT))
}
