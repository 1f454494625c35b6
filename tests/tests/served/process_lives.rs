//! Programs that run as agents: how long they live, and what dies with them.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arcp_client::{Client, Program};
use arcp_core::Code;
use arcp_core::job::FinalStatus;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::process_agents::{Hosting, child, events, failure, shell, until};

fn lives(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_cancellation_reaches_the_program_and_one_that_does_not_heed_it_gets_no_new_jobs() {
    let hosting = Hosting::of(&child(""), |config| config.cancel = Duration::from_millis(200)).await;
    let begun = Instant::now();
    for agent in ["slow", "actor"] {
        let input = if agent == "slow" { json!({}) } else { json!(["until_cancelled"]) };
        let mut job = hosting.submit(agent, input).await;
        if agent == "slow" {
            job.next().await.unwrap().unwrap();
        }
        job.cancel(Some("enough")).await.unwrap();
        assert_eq!(failure(&mut job).await.final_status, FinalStatus::Cancelled, "{agent}");
    }
    // Its agent ignores the cancellation, and its runtime waits a second for it.
    let mut job = hosting.submit("stubborn", json!({})).await;
    job.next().await.unwrap().unwrap();
    job.cancel(None).await.unwrap();
    assert_eq!(failure(&mut job).await.final_status, FinalStatus::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(20), "no grace of 30 s was waited for");
    hosting.stop().await;
}

#[tokio::test]
async fn jobs_share_a_process_and_one_that_dies_is_followed_by_another() {
    let program = child("");
    let hosting = Hosting::of(&program, |config| config.backoff_first = Duration::from_millis(10)).await;
    let first = hosting.pid().await;
    assert_eq!(hosting.pid().await, first);
    for _ in 0..3 {
        let mut job = hosting.submit("dies", json!({})).await;
        assert_eq!(
            events(&mut job).await,
            [("log".to_owned(), json!({ "level": "info", "message": "last words" }))]
        );
        let died = failure(&mut job).await;
        assert_eq!((died.final_status, died.error.code()), (FinalStatus::Error, Code::InternalError));
        assert!(died.error.retryable() && died.error.message().contains("exit status: 3"), "{}", died.error);
        assert_eq!(died.error.details().unwrap().as_str(), r#"{"reason":"process_lost"}"#);
    }
    // Killed from outside.
    let killed = std::process::Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    assert!(killed.success());
    until("it is reaped", || !lives(first)).await;
    let mut pid = hosting.submit("who", json!({})).await.result().await;
    if pid.is_err() {
        // The end of the process had not been seen.
        pid = hosting.submit("who", json!({})).await.result().await;
    }
    let second = pid.unwrap().decode::<Value>().unwrap()["pid"].as_u64().unwrap();
    assert_ne!(first, second);
    hosting.stop().await;
    assert!(!lives(second), "it is stopped with its agent");
}

#[tokio::test]
async fn bad_input_46_a_program_that_aborts_or_takes_all_its_memory_ends_its_job_and_not_the_runtime() {
    // What a program may take is for the operating system to say.
    let limited = format!("ulimit -c 0; ulimit -v 8000000; exec {}", env!("CARGO_BIN_EXE_child"));
    let program = Program::new("sh").args(["-c", limited.as_str()]);
    let hosting = Hosting::of(&program, |config| config.backoff_first = Duration::from_millis(10)).await;
    for agent in ["aborts", "greedy"] {
        let mut job = hosting.submit(agent, json!({})).await;
        assert_eq!(events(&mut job).await.len(), 1, "{agent}");
        let died = failure(&mut job).await;
        assert_eq!((died.final_status, died.error.code()), (FinalStatus::Error, Code::InternalError));
        assert!(died.error.retryable() && died.error.message().contains("signal: 6"), "{}", died.error);
        assert_eq!(died.error.details().unwrap().as_str(), r#"{"reason":"process_lost"}"#);
        hosting.client.ping().await.unwrap();
    }
    hosting.pid().await;
    hosting.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_start_or_never_answers_ends_the_job_and_not_the_runtime() {
    let cases = [
        (Program::new("/nonexistent/agent"), "No such file"),
        (Program::new("false"), "exit status: 1"),
        (child("mute"), "within the time allowed"),
    ];
    for (program, words) in cases {
        let hosting = Hosting::of(&program, |config| {
            (config.starts, config.backoff_first) = (2, Duration::from_millis(20));
            config.client.hello_timeout = Duration::from_millis(300);
        })
        .await;
        let failed = hosting.fails("slow", json!({})).await;
        assert_eq!(failed.error.code(), Code::AgentNotAvailable, "{program}");
        assert!(failed.error.retryable() && failed.error.message().contains(words), "{}", failed.error);
        // Many who wait for the same wait no longer than one.
        let begun = Instant::now();
        let many = (0..20).map(|_| hosting.fails("slow", json!({})));
        futures_util::future::join_all(many).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        // A job that is cancelled meanwhile does not wait for it.
        let mut job = hosting.submit("slow", json!({})).await;
        job.cancel(None).await.unwrap();
        assert_eq!(failure(&mut job).await.final_status, FinalStatus::Cancelled);
        hosting.client.ping().await.unwrap();
        hosting.stop().await;
    }
}

#[tokio::test]
async fn a_program_that_clings_to_life_is_killed_and_leaves_no_zombie() {
    let hosting = Hosting::of(&child("clings"), |_| {}).await;
    let pid = hosting.pid().await;
    assert!(lives(pid));
    let begun = Instant::now();
    hosting.stop().await;
    assert!(!lives(pid), "nothing is left, not even to be waited for");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_server_that_is_killed_takes_its_programs_along() {
    use arcp_tests::command::{Serving, binary};
    let dir = tempfile::tempdir().unwrap();
    let said: PathBuf = dir.path().join("pid");
    let script =
        format!("echo $$ > {}; exec {} serve --stdio --demo-agents", said.display(), binary().display());
    let agent = format!("slow={}", shell(&script));
    let mut serving = Serving::start(&["--token", "secret", "--agent", &agent]);
    let client = Client::builder(&serving.url).token("secret").connect().await.unwrap();
    let mut job = client.submit("slow").input(&json!({ "seconds": 3600 })).send().await.unwrap();
    job.next().await.unwrap().unwrap();
    let pid: u64 = std::fs::read_to_string(&said).unwrap().trim().parse().unwrap();
    assert!(lives(pid));
    serving.signal("KILL");
    serving.ended();
    until("its input has ended, and so has it", || !lives(pid)).await;
}
