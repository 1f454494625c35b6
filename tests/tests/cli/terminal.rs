//! What a terminal is shown, and what it is not.

use std::time::Duration;

use arcp_tests::command::{arcp, run, text};
use arcp_tests::{ALICE, Server, tokens};
use arcp_tower::core::{Code, Error};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use serde_json::{Value, json};

use super::pty::on_a_terminal;

/// Clears the screen, in both ways of saying so, rings, and turns the direction of reading.
const EVIL: &str = "a\u{1b}[2Jb\u{9b}2Jc\u{7}d\u{202e}e";

/// Everything that an agent can say, with what a terminal would obey in it.
async fn evil(input: Value, job: Job) -> Result<Value, AgentError> {
    job.log(Level::Info, EVIL).await?;
    job.thought(EVIL).await?;
    job.status(EVIL).await?;
    let call = job.tool_call("tool", EVIL).await?;
    job.tool_result(&call, Ok(EVIL)).await?;
    job.metric("latency", 1, Some(EVIL)).await?;
    job.emit("x-vendor.evil", &json!({ "text": EVIL })).await?;
    job.progress(1).units(EVIL).message(EVIL).send().await?;
    match input.as_str() {
        Some("fail") => Err(Error::new(Code::InternalError, EVIL).into()),
        Some("wait") => {
            job.cancelled().await;
            Ok(Value::Null)
        }
        _ => Ok(json!({ "text": EVIL })),
    }
}

/// A job that shows a bar and a gauge.
async fn gauged(_: Value, job: Job) -> Result<&'static str, AgentError> {
    job.progress(0.5).units("GB").message("begun").send().await?;
    job.progress(0.75).total(1.5).units("GB").message("half").send().await?;
    job.metric("cost.search", 0.25, Some("USD")).await?;
    // A bar is drawn now and then, not for every change.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok("done")
}

async fn server() -> Server {
    let runtime = Runtime::builder().agent("evil", agent_fn(evil)).agent("gauged", agent_fn(gauged));
    Server::of(runtime.build().unwrap().layer(AuthLayer::new(tokens())), &Config::default()).await
}

fn is_harmless(text: &str) -> bool {
    !text.contains(['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}'])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s46_nothing_that_an_agent_says_steers_a_terminal() {
    let server = server().await;
    let url = server.url();
    let shown = tokio::task::spawn_blocking(move || {
        let with = |args: &[&str]| run(&[args, &["--url", &url, "--token", ALICE]].concat());
        let submit = |input: &str, more: &[&str]| {
            with(&[&["submit", "--agent", "evil", "--input", input][..], more].concat())
        };
        for (input, code) in [("\"ok\"", 0), ("\"fail\"", 10)] {
            let output = submit(input, &[]);
            assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
            assert!(text(&output.stderr).contains('\u{fffd}'), "it is shown: {}", text(&output.stderr));
            assert!(is_harmless(text(&output.stderr)), "{:?}", text(&output.stderr));
            assert!(is_harmless(text(&output.stdout)), "{:?}", text(&output.stdout));

            let output = submit(input, &["--json", "--stream"]);
            assert!(is_harmless(text(&output.stdout)), "{:?}", text(&output.stdout));
            let lines: Vec<Value> =
                text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines[0]["body"]["message"], EVIL, "as data it is whole");
        }
        let jobs = with(&["jobs", "--all", "--json"]);
        let job: Value = serde_json::from_str(text(&jobs.stdout).lines().next().unwrap()).unwrap();
        let tail = with(&["tail", job["job_id"].as_str().unwrap(), "--from", "0"]);
        text(&tail.stderr).to_owned()
    });
    let shown = shown.await.unwrap();
    assert!(shown.contains('\u{fffd}') && is_harmless(&shown), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_gets_a_bar_with_fractions_and_what_is_left_of_the_budget() {
    let server = server().await;
    let url = server.url();
    let shown = tokio::task::spawn_blocking(move || {
        let mut submit = arcp(&["submit", "--url", &url, "--token", ALICE, "--agent", "gauged"]);
        submit.args(["--lease", "{\"cost.budget\":[\"USD:4.00\"]}"]);
        on_a_terminal(submit)
    });
    let (status, shown, stdout) = shown.await.unwrap();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("0.75/1.5 GB half"), "{shown:?}");
    assert!(shown.contains("3.75 USD left"), "{shown:?}");
    assert!(shown.contains('█') || shown.contains('#'), "a bar: {shown:?}");
    assert!(shown.contains("\u{1b}["), "it is drawn and coloured: {shown:?}");
    assert_eq!(text(&stdout), "\"done\"\n", "data goes elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colour_is_as_it_was_asked_for() {
    let server = server().await;
    let url = server.url();
    let done = tokio::task::spawn_blocking(move || {
        let args = ["submit", "--url", &url, "--token", ALICE, "--agent", "gauged", "--color"];
        let with = |when: &str| run(&[&args[..], &[when]].concat());
        assert!(text(&with("always").stderr).contains("\u{1b}["));
        assert!(!text(&with("never").stderr).contains("\u{1b}["));
        assert!(!text(&with("auto").stderr).contains("\u{1b}["), "it is no terminal");
        let mut never = arcp(&args[..args.len() - 1]);
        never.args(["--color", "never", "--json"]);
        let (_, shown, _) = on_a_terminal(never);
        assert!(!shown.contains("\u{1b}["), "{shown:?}");
    });
    done.await.unwrap();
}
