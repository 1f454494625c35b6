//! The `arcp` command watches, lists, cancels and replays jobs of other sessions.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use arcp_tests::Socket;
use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::sessions::{FEATURES, code, resume};
use serde_json::{Value, json};

/// How long something may take that another process has to do.
const PATIENCE: Duration = Duration::from_secs(20);

fn demo_agents(more: &[&str]) -> Serving {
    Serving::start(&[&["--demo-agents", "--token", "secret=me@example.com"], more].concat())
}

/// `arcp serve` in a folder, with nothing said of a store.
fn served_in(folder: &Path, args: &[&str]) -> Command {
    let mut serve = arcp(&[&["serve", "--host", "127.0.0.1", "--port", "0"], args].concat());
    serve.current_dir(folder);
    serve
}

async fn open(serving: &Serving, token: &str) -> Socket {
    let mut peer = serving.connect().await;
    peer.hello(token, &FEATURES).await;
    peer
}

/// `arcp` with `args` as whoever has `token`.
fn as_user(url: &str, token: &str, args: &[&str]) -> Command {
    let mut command = arcp(args);
    command.env("ARCP_URL", url).env("ARCP_TOKEN", token).stdin(Stdio::null());
    command
}

fn ends(url: &str, token: &str, args: &[&str]) -> Output {
    as_user(url, token, args).output().unwrap()
}

/// A command that runs on, and what it prints.
struct Running<T> {
    child: Child,
    lines: Lines<BufReader<T>>,
}

impl Running<ChildStdout> {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// All that is still to come, and the exit code.
    fn rest(mut self) -> (Vec<Value>, Option<i32>) {
        let rest = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Running<ChildStderr> {
    fn noted(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Lines up to one with `words`.
    fn until(&mut self, words: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("no \"{words}\" in {read:?}")).unwrap();
            read.push(line);
            if read.last().unwrap().contains(words) {
                return read;
            }
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until the answer is what is wanted.
fn eventually<T>(mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
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
fn listed(url: &str, token: &str, more: &[&str]) -> Vec<(String, String)> {
    let output = ends(url, token, &[&["jobs", "--json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let word = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = text(&output.stdout).lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (word(&row, "job_id"), word(&row, "status"))).collect()
}

/// The number in a line of the agent `slow`.
fn tick(event: &Value) -> Option<u64> {
    event["body"]["message"].as_str()?.strip_prefix("tick ")?.parse().ok()
}

#[tokio::test]
async fn tail_follows_a_job_live_and_with_from_0_from_its_beginning() {
    let serving = demo_agents(&[]);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("slow", json!({ "seconds": 3600, "tick_ms": 20 })).await;
    let seen = peer.pick(|frame| tick(&frame["payload"]) == Some(3)).await;
    assert_eq!(seen["event_seq"], 5);

    let mut live = Running::start(as_user(&serving.url, "secret", &["tail", &job, "--json"]));
    let first = live.json();
    let from = ["tail", "--job-id", &job, "--from", "0", "--json"];
    let mut whole = Running::start(as_user(&serving.url, "secret", &from));
    let head = [whole.json(), whole.json(), whole.json()];
    peer.cancel(&job).await;
    let (live, exit) = live.rest();
    assert_eq!(exit, Some(11), "the job was cancelled");
    let (whole, exit) = whole.rest();
    assert_eq!(exit, Some(11));

    // Live is what came after tail did; from 0 is all of it; both are without a gap, and end alike.
    let live: Vec<_> = std::iter::once(first).chain(live).collect();
    let whole: Vec<_> = head.into_iter().chain(whole).collect();
    assert_eq!(whole[0]["kind"], "status");
    let ticks = |events: &[Value]| events.iter().filter_map(tick).collect::<Vec<_>>();
    let (late, all) = (ticks(&live), ticks(&whole));
    assert!(late[0] > 3 && late.iter().copied().eq(late[0]..=*all.last().unwrap()), "{late:?}");
    assert!(all.iter().copied().eq(0..all.len() as u64), "{all:?}");
    for tail in [&live, &whole] {
        assert_eq!(tail.last().unwrap()["final_status"], "cancelled");
        assert_eq!(tail.last().unwrap()["job_id"], json!(job));
    }
}

/// Passes connections on, until they are cut.
struct Proxy {
    url: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn before(url: &str) -> Self {
        let upstream = url.strip_prefix("ws://").unwrap().strip_suffix("/arcp").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
        let open = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&open);
        spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&upstream).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    spawn(move || std::io::copy(&mut from, &mut to));
                }
                held.lock().unwrap().extend([client, server]);
            }
        });
        Self { url, open }
    }

    fn cut(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        assert!(!open.is_empty());
        open.iter().for_each(|tcp| _ = tcp.shutdown(Shutdown::Both));
    }
}

#[tokio::test]
async fn tail_goes_on_after_its_connection_was_cut() {
    let serving = demo_agents(&[]);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("slow", json!({ "seconds": 3600, "tick_ms": 20 })).await;
    let proxy = Proxy::before(&serving.url);
    let mut tail = Running::noted(as_user(&proxy.url, "secret", &["tail", &job, "--from", "0"]));
    let mut lines = Vec::new();
    for _ in 0..2 {
        lines.extend(tail.until("tick"));
        proxy.cut();
        lines.extend(tail.until("; resuming]"));
        lines.extend(tail.until("[resumed]"));
    }
    lines.extend(tail.until("tick"));
    peer.cancel(&job).await;
    lines.extend(tail.until("error:"));
    assert_eq!(tail.child.wait().unwrap().code(), Some(11));
    let ticks: Vec<u64> = lines.iter().filter_map(|l| l.split_once("tick ")?.1.parse().ok()).collect();
    assert!(ticks.iter().copied().eq(0..ticks.len() as u64), "{ticks:?}");
}

#[tokio::test]
async fn tail_with_speed_keeps_the_pace() {
    let serving = demo_agents(&[]);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("progress", json!({ "total": 4, "delay_ms": 400 })).await;
    peer.job(&job).await;
    // From the first event to the last, which were 1.2 s apart.
    let shown = |speed: &str| {
        let args = ["tail", &job, "--from", "0", "--speed", speed, "--json"];
        let mut tail = Running::start(as_user(&serving.url, "secret", &args));
        assert_eq!(tail.json()["body"]["current"], 1);
        let began = Instant::now();
        for current in 2..=4 {
            assert_eq!(tail.json()["body"]["current"], current);
        }
        let took = began.elapsed();
        assert_eq!(tail.rest().1, Some(0));
        took
    };
    // A clock that is read in milliseconds may be a few of them off.
    let (as_it_was, twice, at_once) = (shown("1"), shown("2"), shown("1000"));
    assert!(as_it_was >= Duration::from_millis(1150), "{as_it_was:?}");
    assert!(twice >= Duration::from_millis(550), "{twice:?}");
    assert!(at_once < Duration::from_millis(550), "{at_once:?}");
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
