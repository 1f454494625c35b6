//! What `arcp submit` makes of its command line, and what programs find in what it prints.

use std::io::Write as _;
use std::process::{Output, Stdio};

use arcp_tests::command::{Serving, arcp, run, text};
use serde_json::{Value, json};

use super::jobs::{as_user, demo_agents};
use super::running::Running;

/// Nobody listens there: whoever connects ends with 3.
const NOWHERE: &str = "ws://127.0.0.1:1/arcp";

fn submit(url: &str, more: &[&str]) -> Output {
    run(&[&["submit", "--url", url, "--token", "t", "--agent", "echo"], more].concat())
}

fn last(output: &Output) -> Value {
    serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap()
}

#[test]
fn input_and_lease_are_read_before_anybody_is_connected_to_and_faults_have_their_place() {
    let cases: [(&[&str], &str); 5] = [
        (&["--input", "{\"a\":\n  oops}"], "line 2 column 3"),
        (&["--input", "[1,"], "line 1 column 3"),
        (&["--lease", "{\"fs.read\":[\"/a\"]"], "line 1 column 17"),
        (&["--lease", "{\"fs.raed\":[]}"], "line 1 column 10"),
        (&["--trace-id", "short"], "--trace-id"),
    ];
    for (args, place) in cases {
        let output = submit(NOWHERE, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains(args[0]) && said.contains(place), "{place}: {said}");
    }
    assert_eq!(submit(NOWHERE, &["--input", "1", "--lease", "{}"]).status.code(), Some(3));
    assert_eq!(submit(NOWHERE, &["--max-runtime", "0"]).status.code(), Some(2));
}

#[test]
fn input_from_another_program_is_submitted_and_its_faults_have_their_place() {
    let serving = demo_agents(&[]);
    let piped = |input: &str| {
        let mut submit = as_user(&serving.url, "secret", &["submit", "--agent", "echo", "--input", "-"]);
        submit.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = submit.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(text(&piped("{\"a\":\n1.0}\n").stdout), "{\"a\":\n1.0}\n");
    let fault = piped("{\n\n!");
    assert_eq!(fault.status.code(), Some(2));
    assert!(text(&fault.stderr).contains("line 3 column 1"), "{}", text(&fault.stderr));
}

#[test]
fn an_address_that_is_none_is_a_wrong_command_line() {
    for url in ["http://127.0.0.1:1/arcp", "127.0.0.1:7777", "ws://", "ws://a b/", ""] {
        for command in [&["submit", "--agent", "echo"][..], &["jobs"], &["send", "--type", "ping"]] {
            let output = run(&[command, &["--url", url, "--token", "t"]].concat());
            assert_eq!(output.status.code(), Some(2), "{command:?} {url}: {}", text(&output.stderr));
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(said.contains("--url") && said.contains("ws://host"), "{said}");
        }
    }
}

#[test]
fn json_of_a_job_that_is_left_alone_says_where_to_go_on() {
    let serving = demo_agents(&[]);
    let args =
        ["--agent", "slow", "--input", "{\"seconds\":3600,\"tick_ms\":50}", "--timeout", "1", "--json"];
    let output = serving.submit(&[&args[..], &["--stream"]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (left, events) = lines.split_last().unwrap();
    assert_eq!(left["error"]["code"], "FAILED");
    assert_eq!(left["last_event_seq"], events.last().unwrap()["event_seq"]);
    assert!(left["session_id"].as_str().unwrap().starts_with("sess_"), "{left}");
    let (job, seen) = (left["job_id"].as_str().unwrap(), left["last_event_seq"].as_u64().unwrap());
    let from = ["tail", job, "--from", &seen.to_string(), "--json"];
    let mut tail = Running::start(as_user(&serving.url, "secret", &from));
    let next = tail.json();
    assert_eq!(next["body"]["message"], format!("tick {}", events.len() - 1), "without a gap: {next}");
    let cut = last(&run(&["submit", "--url", NOWHERE, "--token", "t", "--agent", "echo", "--json"]));
    assert_eq!(cut["error"]["code"], "FAILED");
    assert_eq!(cut.as_object().unwrap().len(), 1, "there is no job: {cut}");
}

#[test]
fn json_names_the_session_and_replay_prints_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arcp.db");
    let mut serving = Serving::on(&file);
    for (agent, status) in [("echo", "success"), ("fails", "error")] {
        let end = last(&serving.submit(&["--agent", agent, "--input", "{}", "--json"]));
        assert_eq!(end["final_status"], status);
        assert!(end["session_id"].as_str().unwrap().starts_with("sess_"), "{end}");
    }
    let end = last(&serving.submit(&["--agent", "echo", "--input", "7", "--json", "--stream"]));
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let session = end["session_id"].as_str().unwrap();
    let replay = arcp(&["replay", "--session", session, "--db"]).arg(&file).output().unwrap();
    assert_eq!(replay.status.code(), Some(0), "{}", text(&replay.stderr));
    let frame = last(&replay);
    assert_eq!((&frame["job_id"], &frame["payload"]["result"]), (&end["job_id"], &json!(7)));
}
