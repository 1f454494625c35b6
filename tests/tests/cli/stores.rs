//! What `arcp serve` keeps, where and for how long, and the command lines as they are documented.

use std::process::Stdio;
use std::time::Duration;

use arcp_tests::command::{Serving, arcp, text};
use arcp_tests::sessions::{FEATURES, code, resume};
use serde_json::{Value, json};

use super::jobs::{demo_agents, ends, eventually, listed, open, served_in};

#[test]
fn the_command_lines_of_the_protocols_documentation_work_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = ["--token", "tok", "--principal", "me@example.com"];
    // As written, but for the port, which may not be free.
    let mut serving = Serving::of(served_in(folder.path(), &tokens), false);
    let there = |args: &[&str]| {
        let output = arcp(args).current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let remote = ["--url", &serving.url, "--token", "tok"];
    let submit = ["submit", remote[0], remote[1], remote[2], remote[3], "--agent", "echo", "--input"];
    assert_eq!(there(&[&submit[..], &["{\"hi\":1}"]].concat()), "{\"hi\":1}\n");
    let kept = ["{\"hi\":2}", "--session", "kept.json"];
    there(&[&submit[..], &kept].concat());
    let jobs = listed(&serving.url, "tok", &["--all"]);
    assert_eq!(jobs.len(), 2);
    let tail = ["tail", remote[0], remote[1], remote[2], remote[3], "--job-id", &jobs[0].0];
    assert_eq!(there(&tail), "{\"hi\":2}\n");
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let kept = std::fs::read(folder.path().join("kept.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let session = kept["session_id"].as_str().unwrap();
    let printed = there(&["replay", "--db", "arcp.db", "--session", session, "--after-seq", "0"]);
    let result: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(result["payload"]["result"], json!({ "hi": 2 }));
    assert_eq!(result["job_id"], json!(jobs[0].0));
}

#[test]
fn the_store_can_be_named_in_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    for (store, file) in [("sqlite:there.db", "there.db"), ("memory", "arcp.db")] {
        let mut serve = served_in(folder.path(), &["--token", "tok"]);
        serve.env("ARCP_STORE", store);
        let serving = Serving::of(serve, false);
        assert_eq!(ends(&serving.url, "tok", &["submit", "--agent", "echo"]).status.code(), Some(0));
        assert_eq!(folder.path().join(file).exists(), store != "memory", "{store}");
    }
    let mut serve = served_in(folder.path(), &["--token", "tok"]);
    let output = serve.env("ARCP_STORE", "postgres:elsewhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("sqlite:FILE"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_server_keeps_a_session_for_its_resume_window() {
    let brief = demo_agents(&["--resume-window", "1"]);
    let long = demo_agents(&["--resume-window", "600"]);
    for (serving, window) in [(&brief, 1), (&long, 600)] {
        let mut peer = serving.connect().await;
        let mut welcome = peer.hello("secret", &FEATURES).await;
        assert_eq!(welcome["payload"]["resume_window_sec"], window);
        // A connection that is gone may be noticed late; who resumes in time begins the window anew.
        let mut answers = Vec::new();
        for wait in [0, 1500, 4000, 8000] {
            drop(peer);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            peer = serving.connect().await;
            let answer = peer.say_hello(resume("secret", &welcome, 0)).await;
            answers.push(code(&answer).to_owned());
            if window > 1 && answers.len() == 2 || answer["type"] != "session.welcome" {
                break;
            }
            welcome = answer;
        }
        assert_eq!(answers[0], "", "at once, it is there");
        let last = if window == 1 { "RESUME_WINDOW_EXPIRED" } else { "" };
        assert_eq!(answers.last().unwrap(), last, "{window} s: {answers:?}");
    }
}

#[tokio::test]
async fn retention_forgets() {
    let folder = tempfile::tempdir().unwrap();
    for (store, retention) in [("memory", "1"), ("sqlite:arcp.db", "1"), ("sqlite:other.db", "3600")] {
        let mut serve = served_in(folder.path(), &["--token", "secret", "--store", store]);
        serve.args(["--retention", retention]);
        let serving = Serving::of(serve, false);
        let mut peer = open(&serving, "secret").await;
        let job = peer.submit("echo", json!(1)).await;
        let frames = peer.job(&job).await;
        // What a session has not acknowledged is kept for it.
        peer.ack(frames.last().unwrap()["event_seq"].as_u64().unwrap()).await;
        let list = || listed(&serving.url, "secret", &["--all"]);
        if retention == "1" {
            assert_eq!(eventually(list, Vec::is_empty), [], "{store}");
            assert_eq!(ends(&serving.url, "secret", &["tail", &job, "--from", "0"]).status.code(), Some(1));
        } else {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            assert_eq!(list(), [(job, "success".to_owned())]);
        }
    }
}
