//! A server as a process: signals, limits, and files that it cannot use.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arcp_core::transport::Close;
use arcp_tests::command::{Serving, arcp, binary, run, text};
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{FEATURES, contiguous_from, resume};
use arcp_tests::{Socket, features};
use serde_json::{Value, json};

/// Serves on `file`, and gives jobs a second when it is asked to end.
fn hurried(file: &Path) -> Serving {
    let store = format!("sqlite:{}", file.display());
    let more = ["--demo-agents", "--token", "secret=me@example.com", "--store", &store, "--drain", "1"];
    Serving::of(arcp(&[&["serve", "--port", "0"][..], &more].concat()), false)
}

async fn open(serving: &Serving) -> (Socket, Value) {
    let mut peer = serving.connect().await;
    let welcome = peer.hello("secret", &FEATURES).await;
    (peer, welcome)
}

async fn resumed(serving: &Serving, welcome: &Value, last: u64) -> (Socket, Value) {
    let mut peer = serving.connect().await;
    let again = peer.say_hello(resume("secret", welcome, last)).await;
    assert_eq!(again["session_id"], welcome["session_id"], "{again}");
    peer.welcomed(again.clone());
    (peer, again)
}

/// Reads until `count` numbered frames have come.
async fn read(peer: &mut Socket, count: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let frame = peer.next().await;
        if frame["event_seq"].is_u64() {
            frames.push(frame);
        }
    }
    frames
}

/// Numbered frames up to the close of the connection, and its code.
async fn to_the_close(peer: &mut Socket) -> (Vec<Value>, u16) {
    let code = peer.closed().await.code;
    let mut frames = peer.during(Duration::ZERO).await;
    frames.retain(|frame| frame["event_seq"].is_u64());
    (frames, code)
}

#[tokio::test]
async fn bad_input_61_an_end_in_the_middle_of_everything_is_orderly_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arcp.db");
    let mut serving = hurried(&file);
    let (mut peer, mut welcome) = open(&serving).await;
    // One job writes as fast as it can, one sleeps, and each end comes at another moment.
    let busy = peer.submit("chatty", json!({ "count": 1_000_000, "delay_ms": 1 })).await;
    let asleep = peer.submit("slow", json!({ "seconds": 3600 })).await;
    let mut seen = read(&mut peer, 500).await;
    let mut ends = 0;
    for signal in ["TERM", "INT"] {
        // A submit whose agent is about to begin.
        peer.send("job.submit", json!({ "agent": "progress", "input": { "total": 3 } })).await;
        serving.signal(signal);
        let (frames, code) = to_the_close(&mut peer).await;
        assert_eq!(code, Close::RESTART, "{signal}");
        seen.extend(frames);
        assert_eq!(serving.ended(), Some(0), "{signal}");

        serving = hurried(&file);
        // As if the last of it had not arrived.
        seen.truncate(seen.len() - 30);
        let last = *numbers(&seen).last().unwrap();
        (peer, welcome) = resumed(&serving, &welcome, last).await;
        if signal == "TERM" {
            // In the middle of what is sent again, for the next one.
            seen.extend(read(&mut peer, 20).await);
        }
        ends += 1;
    }
    while ![&busy, &asleep].iter().all(|job| seen.iter().any(|f| f["job_id"] == json!(job) && is_terminal(f)))
    {
        seen.extend(read(&mut peer, 1).await);
    }
    assert!(contiguous_from(1, &seen) && ends == 2);
    for job in [&busy, &asleep] {
        let terminals: Vec<_> = seen.iter().filter(|f| f["job_id"] == json!(job) && is_terminal(f)).collect();
        assert_eq!(terminals.len(), 1);
        assert_eq!(terminals[0]["payload"]["details"]["reason"], "runtime_stopped");
    }
    // To the byte, what was sent is what the file has.
    drop(peer);
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let args =
        ["replay", "--db", file.to_str().unwrap(), "--session", welcome["session_id"].as_str().unwrap()];
    let output = run(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let kept: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kept.starts_with(&seen), "{} kept, {} seen", kept.len(), seen.len());
}

/// Everything in the files of a store.
fn bytes_of(dir: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

#[tokio::test]
async fn s45_what_auditors_look_for_is_in_the_file_when_it_is_answered_and_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = hurried(&dir.path().join("arcp.db"));
    let (mut peer, welcome) = open(&serving).await;
    let job = peer.submit("slow", json!({ "seconds": 3600 })).await;
    let has = |what: &str| {
        let record = format!("\"what\":\"{what}\"");
        bytes_of(dir.path()).windows(record.len()).filter(|window| *window == record.as_bytes()).count()
    };
    let (mut other, _) = open(&serving).await;
    other.subscribe(&job, false).await;
    assert_eq!(other.cancel(&job).await["payload"]["code"], "PERMISSION_DENIED");
    drop(peer);
    let (mut peer, _) = resumed(&serving, &welcome, 0).await;
    assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
    serving.signal("KILL");
    serving.ended();
    for what in ["job.subscribe", "job.cancel", "session.resume"] {
        assert!(has(what) > 0, "{what}");
    }
    // The next life adds to it, and takes nothing away.
    let before = has("job.cancel");
    serving = hurried(&dir.path().join("arcp.db"));
    let (mut peer, _) = open(&serving).await;
    peer.cancel(&job).await;
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    assert!(has("job.cancel") > before.min(2) && has("session.resume") > 0);
}

#[tokio::test]
async fn bad_input_61_asked_to_end_twice_it_ends_once_and_who_does_not_read_holds_it_up_for_seconds_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = Serving::on(&dir.path().join("arcp.db"));
    let (mut deaf, _) = open(&serving).await;
    deaf.submit("chatty", json!({ "count": 1_000_000 })).await;
    read(&mut deaf, 10).await;
    for signal in ["TERM", "TERM", "INT", "TERM"] {
        serving.signal(signal);
        std::thread::yield_now();
        if serving.child.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert_eq!(serving.ended(), Some(0));
    // The file was let go in order.
    Serving::on(&dir.path().join("arcp.db"));
}

/// What `arcp serve` says of a file that it cannot use.
fn refused(file: &Path) -> String {
    let store = format!("sqlite:{}", file.display());
    let output = run(&["serve", "--port", "0", "--token", "secret", "--store", &store]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "it did not listen");
    let said = text(&output.stderr).to_owned();
    assert!(said.contains(file.to_str().unwrap()) && !said.contains("panicked"), "{said}");
    said
}

#[tokio::test]
async fn bad_input_57_a_file_that_another_server_has_is_refused_and_that_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arcp.db");
    let serving = Serving::on(&file);
    let (mut peer, welcome) = open(&serving).await;
    assert!(refused(&file).contains("in use by another process"));
    let replay =
        ["replay", "--db", file.to_str().unwrap(), "--session", welcome["session_id"].as_str().unwrap()];
    let output = run(&replay);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("in use by another process"), "{}", text(&output.stderr));
    peer.works().await;
}

#[test]
fn bad_input_57_a_file_that_cannot_be_used_is_named_with_the_reason_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("notes.txt"), "a text that is long enough for a header of anything ".repeat(99))
        .unwrap();
    let before = std::fs::read(path("notes.txt")).unwrap();
    assert!(refused(&path("notes.txt")).contains("no database"));
    assert_eq!(std::fs::read(path("notes.txt")).unwrap(), before);
    assert!(refused(&path("nowhere/arcp.db")).contains("cannot be opened"));
    std::fs::create_dir(path("folder")).unwrap();
    refused(&path("folder"));
    // Half of a file of our own.
    drop(Serving::on(&path("half.db")));
    let mut serving = Serving::on(&path("half.db"));
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let whole = std::fs::read(path("half.db")).unwrap();
    std::fs::write(path("half.db"), &whole[..whole.len() / 2]).unwrap();
    refused(&path("half.db"));
}

/// `arcp serve` below a limit of the shell's `ulimit`.
fn limited(limit: &str) -> Serving {
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(binary()).args(["serve", "--port", "0", "--store", "memory"]);
    command
        .args(["--demo-agents", "--token", "secret=me@example.com"])
        .env_remove("RUST_LOG")
        .stderr(Stdio::null());
    Serving::of(command, false)
}

#[tokio::test]
async fn bad_input_59_a_server_without_file_handles_left_serves_who_is_there_and_later_everybody() {
    let serving = limited("-n 48");
    let (mut peer, _) = open(&serving).await;
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(serving.tcp().await);
        peer.ping("still").await;
    }
    peer.works().await;
    drop(many);
    let (mut other, _) = open(&serving).await;
    other.works().await;
    peer.works().await;
}

/// The most memory that a process ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak(serving: &Serving) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn p17_bad_frames_and_floods_take_no_memory_that_stays() {
    let serving = limited("-n 1024");
    let (mut good, _) = open(&serving).await;
    let mut peaks = Vec::new();
    for _ in 0..6 {
        // Many that say nothing, that say nonsense, and that are refused.
        let mut odd = Vec::new();
        for n in 0..150 {
            let mut peer = serving.connect().await;
            match n % 3 {
                0 => peer.send_text("{".repeat(16 << 10)).await,
                1 => peer.send("session.hello", features("wrong", &[])).await.clear(),
                _ => {}
            }
            odd.push(peer);
        }
        // One that sends the largest frames that pass, and as large ones that are none.
        let (mut large, _) = open(&serving).await;
        for _ in 0..10 {
            let id =
                large.send("job.submit", json!({ "agent": "nobody", "input": "x".repeat(2 << 20) })).await;
            large.reply(&id).await;
            large.send_text(format!("[{}]", "[],".repeat(600 << 10))).await;
            large.kind("session.error").await;
        }
        good.works().await;
        peaks.push(peak(&serving) >> 20);
    }
    assert!(peaks[5] < 256 && peaks[5] < peaks[1] + 16, "MiB: {peaks:?}");
}

/// A flood of frames of all sizes below a limit of memory: what does not fit is refused by bounds, and
/// never by the system.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn p17_bad_input_59_a_server_below_a_limit_of_memory_serves_on_and_makes_no_more_threads() {
    let serving = limited("-v 3145728");
    let threads = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    let (mut good, _) = open(&serving).await;
    let (mut many, mut most) = (Vec::new(), 0);
    for n in 0..24 {
        let (mut peer, _) = open(&serving).await;
        // Nobody reads what these jobs say, and none of them is small.
        let input = json!({ "count": 5_000, "pad": "x".repeat(1 << 20) });
        peer.send("job.submit", json!({ "agent": "chatty", "input": input })).await;
        many.push(peer);
        if n % 6 == 0 {
            good.works().await;
        }
        most = most.max(threads());
    }
    drop(many);
    good.works().await;
    let (mut other, _) = open(&serving).await;
    other.works().await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(most <= cores + 8, "{most} threads on {cores} cores");
}

#[test]
fn help_and_version_are_not_a_server() {
    for args in [&["--version"][..], &["serve", "--help"]] {
        let output = arcp(args).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty());
    }
}
