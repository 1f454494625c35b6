//! `arcp jobs`, `arcp cancel` and `arcp replay`, and servers for them.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use arcp_tests::Socket;
use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::sessions::FEATURES;
use serde_json::{Value, json};

use super::running::Running;

/// How long something may take that another process has to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn demo_agents(more: &[&str]) -> Serving {
    Serving::start(&[&["--demo-agents", "--token", "secret=me@example.com"], more].concat())
}

/// `arcp serve` in a folder, with nothing said of a store.
pub(crate) fn served_in(folder: &Path, args: &[&str]) -> Command {
    let mut serve = arcp(&[&["serve", "--host", "127.0.0.1", "--port", "0"], args].concat());
    serve.current_dir(folder);
    serve
}

pub(crate) async fn open(serving: &Serving, token: &str) -> Socket {
    let mut peer = serving.connect().await;
    peer.hello(token, &FEATURES).await;
    peer
}

/// `arcp` with `args` as whoever has `token`.
pub(crate) fn as_user(url: &str, token: &str, args: &[&str]) -> Command {
    let mut command = arcp(args);
    command.env("ARCP_URL", url).env("ARCP_TOKEN", token).stdin(Stdio::null());
    command
}

pub(crate) fn ends(url: &str, token: &str, args: &[&str]) -> Output {
    as_user(url, token, args).output().unwrap()
}

/// Asks until the answer is what is wanted.
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if wanted(&answer) || Instant::now() > end {
            return answer;
        }
        sleep(Duration::from_millis(50));
    }
}

/// `arcp jobs --json`: the jobs and their states.
pub(crate) fn listed(url: &str, token: &str, more: &[&str]) -> Vec<(String, String)> {
    let output = ends(url, token, &[&["jobs", "--json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let word = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = text(&output.stdout).lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (word(&row, "job_id"), word(&row, "status"))).collect()
}

#[tokio::test]
async fn jobs_lists_what_runs_and_with_all_what_ended() {
    let serving = demo_agents(&["--token", "other=else@example.com"]);
    let mut peer = open(&serving, "secret").await;
    let ended = peer.submit("echo", json!(1)).await;
    peer.job(&ended).await;
    let running = peer.submit("slow", json!({ "seconds": 3600 })).await;
    peer.kind("job.event").await;
    let row = |job: &String, status: &str| (job.clone(), status.to_owned());
    let list = |more: &[&str]| listed(&serving.url, "secret", more);
    assert_eq!(list(&[]), [row(&running, "running")]);
    assert_eq!(list(&["--all"]), [row(&running, "running"), row(&ended, "success")]);
    assert_eq!(list(&["--all", "--agent", "echo"]), [row(&ended, "success")]);
    assert_eq!(list(&["--agent", "echo"]), []);
    assert_eq!(listed(&serving.url, "other", &["--all"]), []);
    let table = ends(&serving.url, "secret", &["jobs"]);
    assert!(text(&table.stdout).starts_with(&format!("{running}  running ")), "{}", text(&table.stdout));
}

#[tokio::test]
async fn observe_lets_one_principal_list_and_watch_the_jobs_of_another_and_no_more() {
    let tokens = ["--token", "a=alice", "--token", "b=bob", "--token", "c=carol"];
    let serving = Serving::start(&[&["--demo-agents", "--observe", "bob=alice"], &tokens[..]].concat());
    let mut alice = open(&serving, "a").await;
    let job = alice.submit("slow", json!({ "seconds": 3600, "tick_ms": 20 })).await;
    let mut tail = Running::start(as_user(&serving.url, "b", &["tail", &job, "--from", "0", "--json"]));
    assert_eq!(tail.json()["kind"], "status");
    assert_eq!(listed(&serving.url, "b", &[]), [(job.clone(), "running".to_owned())]);
    assert_eq!(listed(&serving.url, "c", &[]), []);
    assert_eq!(ends(&serving.url, "c", &["tail", &job]).status.code(), Some(1));
    assert_eq!(ends(&serving.url, "b", &["cancel", &job]).status.code(), Some(1));
    // Not the other way round.
    let mut bob = open(&serving, "b").await;
    let bobs = bob.submit("slow", json!({ "seconds": 3600 })).await;
    assert_eq!(listed(&serving.url, "a", &[]), [(job.clone(), "running".to_owned())]);
    assert_eq!(ends(&serving.url, "a", &["tail", &bobs]).status.code(), Some(1));
    alice.cancel(&job).await;
    assert_eq!(tail.rest().1, Some(11));
    for wrong in ["bob", "=alice", "bob="] {
        let output = run(&["serve", "--port", "0", "--store", "memory", "--observe", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn cancel_needs_the_session_that_submitted() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let serving = demo_agents(&[]);
    let kept = folder.path().join("session.json");
    let file = kept.to_str().unwrap();
    let submit = ["submit", "--agent", "slow", "--input", "{\"seconds\":3600}", "--session", file];
    let mut submit =
        Running::start(as_user(&serving.url, "secret", &[&submit[..], &["--json", "--stream"]].concat()));
    assert_eq!(submit.json()["kind"], "status");
    let jobs = listed(&serving.url, "secret", &[]);
    let [(job, _)] = &jobs[..] else { panic!("{jobs:?}") };

    let output = ends(&serving.url, "secret", &["cancel", job]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--session"), "{}", text(&output.stderr));
    assert_eq!(listed(&serving.url, "secret", &[]), jobs, "it goes on");

    // The file has the key to the session: it is nobody else's to read.
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let output = ends(&serving.url, "secret", &["cancel", "--job-id", job, "--session", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), format!("{job} is cancelled\n"));
    let after = eventually(|| listed(&serving.url, "secret", &[]), Vec::is_empty);
    assert_eq!(after, []);
    assert_eq!(listed(&serving.url, "secret", &["--all"]), [(job.clone(), "cancelled".to_owned())]);
    let nowhere = ["cancel", job, "--session", "nowhere.json"];
    assert_eq!(ends(&serving.url, "secret", &nowhere).status.code(), Some(1));
    assert_eq!(ends(&serving.url, "secret", &["cancel", "nobodys"]).status.code(), Some(1));
}

#[tokio::test]
async fn replay_prints_what_came_after_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arcp.db");
    let mut serving = Serving::on(&file);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("chatty", json!({ "count": 5 })).await;
    let frames = peer.job(&job).await;
    let session = peer.session().to_owned();
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let replay = |more: &[&str]| -> Vec<Value> {
        let output =
            run(&[&["replay", "--db", file.to_str().unwrap(), "--session", &session], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // All that has a number, as it was sent.
    let numbered: Vec<_> = frames.into_iter().filter(|frame| frame["event_seq"].is_u64()).collect();
    assert_eq!(numbered.len(), 6);
    assert_eq!(replay(&[]), numbered);
    assert_eq!(replay(&["--after-seq", "0"]), numbered);
    assert_eq!(replay(&["--after-seq", "4"]), numbered[4..]);
    assert!(replay(&["--after-seq", "6"]).is_empty());
    let nobody = ["replay", "--db", file.to_str().unwrap(), "--session", "sess_01J00000000000000000000000"];
    assert_eq!(run(&nobody).status.code(), Some(1));
    assert_eq!(run(&["replay", "--db", "nowhere.db", "--session", &session]).status.code(), Some(2));
}
