//! A program that is a runtime on its standard input and output, and has one bad habit, which its first
//! argument names.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use arcp_core::job::FinalStatus;
use arcp_core::transport::Lines;
use arcp_core::{Code, Error, Json};
use arcp_tests::{actor, agents};
use arcp_tower::{AgentError, AuthLayer, BearerTokens, Config, Job, Level, Runtime, agent_fn, serve};
use serde_json::{Value, json};
use tokio::io::{stdin, stdout};

fn main() {
    let habit = std::env::args().nth(1).unwrap_or_default();
    match habit.as_str() {
        // It reads nothing and says nothing.
        "mute" => loop {
            std::thread::park();
        },
        "forges" => forges(),
        "prints" => {
            std::thread::spawn(|| print(Some(5)));
        }
        "floods" => {
            std::thread::spawn(|| print(None));
        }
        _ => {}
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async move {
        runtime().await;
        if habit == "clings" {
            // Neither the end of its input nor SIGTERM makes it go.
            let mut asked =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            loop {
                asked.recv().await;
            }
        }
        std::process::exit(0);
    });
}

/// Lines that are no frames, on both outputs, some of which nobody should ever see whole.
fn print(times: Option<usize>) {
    let long = "x".repeat(100_000);
    for n in 0..times.unwrap_or(usize::MAX) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "a line that is no frame, number {n}");
        let _ = writeln!(out, r#"{{"level":"info","msg":"JSON that is no frame"}}"#);
        let _ = out.write_all(b"no UTF-8: \xff\xfe\n");
        let _ = writeln!(out, "{long}");
        drop(out);
        eprintln!("said \u{1b}[31mloudly\u{1b}[0m, {n}");
    }
}

async fn runtime() {
    let config = Config::default().with(|config| config.grace = Duration::from_secs(1));
    let builder = actor(agents::all(Runtime::builder().config(config.clone())))
        .agent("who", agent_fn(who))
        .agent("dies", agent_fn(dies))
        .agent("aborts", agent_fn(aborts))
        .agent("greedy", agent_fn(greedy))
        .agent(
            "late",
            agent_fn(|(): (), _: Job| async move {
                let error = Error::new(Code::Timeout, "its own time was up");
                Err::<(), _>(AgentError::ended(FinalStatus::TimedOut, error))
            }),
        );
    let token = std::env::var("ARCP_TOKEN").unwrap();
    let tokens = BearerTokens::new([(token, "parent")]);
    let runtime = builder.build().unwrap().layer(AuthLayer::new(tokens));
    let io = Lines::new(stdin(), stdout(), config.line_limits());
    serve(io, runtime, http::Extensions::new(), config).await;
}

/// What it is, and what it may do.
async fn who(_: Json, job: Job) -> Result<Value, AgentError> {
    Ok(json!({
        "pid": std::process::id(), "agent": job.agent().to_string(), "trace": job.trace_id(),
        "lease": job.lease(), "expires_at": job.expires_at(),
        "outer_token": std::env::var("OUTER_SECRET").ok(),
    }))
}

async fn dies(_: Json, job: Job) -> Result<(), AgentError> {
    job.log(Level::Info, "last words").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::process::exit(3)
}

async fn aborts(_: Json, job: Job) -> Result<(), AgentError> {
    job.log(Level::Info, "last words").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::process::abort()
}

/// Takes ten gigabytes.
async fn greedy(_: Json, job: Job) -> Result<usize, AgentError> {
    job.log(Level::Info, "last words").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(vec![1_u8; 10 << 30].len())
}

/// Says by hand what no runtime should say of its jobs.
fn forges() -> ! {
    let mut out = std::io::stdout();
    let mut say_of = |job: &str, kind: &str, seq: Option<u64>, payload: Value| {
        let mut frame = json!({ "arcp": "1.1", "id": "m", "type": kind, "session_id": "sess_forger", "payload": payload });
        if kind.starts_with("job.") {
            frame["job_id"] = json!(job);
        }
        if let Some(seq) = seq {
            frame["event_seq"] = json!(seq);
        }
        writeln!(out, "{frame}").unwrap();
    };
    let own = "job_00000000000000000000000001";
    let ts = "2026-01-01T00:00:00.000Z";
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let heard: Value = serde_json::from_str(&line).unwrap();
        match heard["type"].as_str().unwrap() {
            "session.hello" => {
                let features = ["cost.budget", "progress", "result_chunk"];
                let capabilities = json!({ "encodings": ["json"], "features": features, "agents": [] });
                let runtime = json!({ "name": "forger", "version": "1" });
                say_of(
                    own,
                    "session.welcome",
                    None,
                    json!({ "runtime": runtime, "capabilities": capabilities }),
                );
            }
            "job.submit" => {
                let secret = json!([{ "id": "cred_1", "scheme": "bearer", "value": "sk-secret", "endpoint": "https://x" }]);
                let accepted = json!({
                    "job_id": "job_00000000000000000000000001", "agent": "forges@1.0.0", "lease": {},
                    "credentials": secret, "accepted_at": ts, "request_id": heard["id"],
                });
                say_of(own, "job.accepted", None, accepted);
                let bodies = [
                    (
                        "status",
                        json!({ "phase": "credential_rotated", "credential_id": "cred_1", "value": "sk-secret" }),
                    ),
                    ("status", json!({ "value": "sk-secret" })),
                    ("metric", json!({ "name": "cost.budget.remaining", "value": 1_000_000, "unit": "USD" })),
                    ("metric", json!({ "name": "cost.tool", "value": "1e400", "unit": "USD" })),
                    ("metric", json!({ "name": "cost.tool", "value": 0.25, "unit": "USD", "x-more": true })),
                    (
                        "delegate",
                        json!({ "agent": "helper", "child_job_id": "job_00000000000000000000000002" }),
                    ),
                    ("log", json!({ "level": "notice", "message": "hello", "data": { "k": [1, 2] } })),
                    ("x-vendor.acme.note", json!({ "text": "a vendor's" })),
                    ("telemetry", json!({ "of": "a later version" })),
                ];
                let mut seq = 0;
                // Of jobs that are not its own: one that it is told of, and one that nobody has.
                let others = heard["payload"]["input"]["job_id"].as_str();
                for other in others.into_iter().flat_map(|known| [known, "job_00000000000000000000000009"]) {
                    let body = json!({ "level": "info", "message": "forged" });
                    say_of(
                        other,
                        "job.event",
                        Some(seq + 1),
                        json!({ "kind": "log", "ts": ts, "body": body }),
                    );
                    let result = json!({ "final_status": "success", "result": "forged" });
                    say_of(other, "job.result", Some(seq + 2), result);
                    seq += 2;
                }
                for (kind, body) in bodies {
                    seq += 1;
                    say_of(own, "job.event", Some(seq), json!({ "kind": kind, "ts": ts, "body": body }));
                }
                say_of(
                    own,
                    "job.result",
                    Some(seq + 1),
                    json!({ "final_status": "success", "result": "done" }),
                );
                // What is over is over.
                let more =
                    json!({ "kind": "log", "ts": ts, "body": { "level": "info", "message": "one more" } });
                say_of(own, "job.event", Some(seq + 2), more);
                say_of(
                    own,
                    "job.result",
                    Some(seq + 3),
                    json!({ "final_status": "success", "result": "done again" }),
                );
            }
            _ => {}
        }
    }
    std::process::exit(0)
}
