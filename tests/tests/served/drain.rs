//! `arcp serve` that is asked to end while much is going on, and started again on its file.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use arcp_core::transport::Close;
use arcp_tests::Socket;
use arcp_tests::command::{Serving, arcp};
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{FEATURES, contiguous_from, resume};
use serde_json::{Value, json};

fn serve(file: &Path, drain: &str) -> Serving {
    let store = format!("sqlite:{}", file.display());
    let more = ["--demo-agents", "--token", "secret=me@example.com", "--store", &store, "--drain", drain];
    Serving::of(arcp(&[&["serve", "--port", "0"][..], &more].concat()), false)
}

/// Numbered frames up to the close of the connection.
async fn to_the_close(peer: &mut Socket) -> Vec<Value> {
    assert_eq!(peer.closed().await.code, Close::RESTART);
    let mut frames = peer.during(Duration::ZERO).await;
    frames.retain(|frame| frame["event_seq"].is_u64());
    frames
}

/// How each job ended, which each does once.
fn ends(frames: &[Value]) -> BTreeMap<&str, &Value> {
    let terminals: Vec<_> = frames.iter().filter(|frame| is_terminal(frame)).collect();
    let ends: BTreeMap<_, _> =
        terminals.iter().map(|frame| (frame["job_id"].as_str().unwrap(), &frame["payload"])).collect();
    assert_eq!(ends.len(), terminals.len(), "a job ends once");
    ends
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_under_load_loses_no_job_and_its_clients_resume_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arcp.db");
    let mut serving = serve(&file, "4");
    let mut clients = Vec::new();
    for n in 0..50_u64 {
        let mut peer = serving.connect().await;
        let welcome = peer.hello("secret", &FEATURES).await;
        let brief = peer.submit("chatty", json!({ "count": 10 + n, "delay_ms": 20 })).await;
        let long = peer.submit("slow", json!({ "seconds": 3600 })).await;
        clients.push((peer, welcome, [brief, long]));
    }
    let asked = Instant::now();
    serving.signal("TERM");
    let mut sessions = Vec::new();
    for (mut peer, welcome, jobs) in clients {
        let frames = to_the_close(&mut peer).await;
        assert!(contiguous_from(1, &frames));
        sessions.push((welcome, jobs, frames));
    }
    assert_eq!(serving.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

    let serving = serve(&file, "4");
    let (mut finished, mut stopped) = (0, 0);
    for (welcome, jobs, before) in &sessions {
        let mut peer = serving.connect().await;
        let half = before.len() as u64 / 2;
        let again = peer.say_hello(resume("secret", welcome, half)).await;
        assert_eq!(again["session_id"], welcome["session_id"], "{again}");
        peer.welcomed(again);
        let mut after = Vec::new();
        while after.len() < before.len() - before.len() / 2 {
            let frame = peer.next().await;
            after.extend(frame["event_seq"].is_u64().then_some(frame));
        }
        assert!(after == before[before.len() / 2..], "the same bytes under the same numbers");
        peer.works().await;
        let ended = ends(before);
        for job in jobs {
            let end = ended.get(job.as_str()).unwrap_or_else(|| panic!("{job} is lost"));
            if end.get("result").is_some() {
                finished += 1;
            } else {
                assert_eq!(end["details"]["reason"], "runtime_stopped");
                stopped += 1;
            }
        }
        assert_eq!(*numbers(before).last().unwrap(), before.len() as u64);
    }
    assert!(stopped >= 50 && finished + stopped == 100, "{finished} finished, {stopped} were stopped");
    assert!(finished >= 40, "{finished} finished");
}

#[tokio::test]
async fn bad_input_61_a_second_signal_ends_a_server_at_once_and_what_ran_ends_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arcp.db");
    let mut serving = serve(&file, "60");
    let mut peer = serving.connect().await;
    let welcome = peer.hello("secret", &FEATURES).await;
    let job = peer.submit("slow", json!({ "seconds": 3600 })).await;
    serving.signal("INT");
    peer.pick(|frame| frame["payload"]["body"]["phase"] == "draining").await;
    let asked = Instant::now();
    serving.signal("INT");
    assert_eq!(serving.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let serving = serve(&file, "1");
    let mut peer = serving.connect().await;
    let again = peer.say_hello(resume("secret", &welcome, 0)).await;
    peer.welcomed(again);
    let frames = peer.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["details"]["reason"], "runtime_restarted");
}
