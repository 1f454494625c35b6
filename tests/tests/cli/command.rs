//! The `arcp` command, as a shell sees it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arcp_tests::command::{Serving, arcp, binary, run, text};
use serde_json::{Value, json};

fn demo_agents() -> Serving {
    Serving::start(&["--demo-agents", "--token", "secret=me@example.com"])
}

#[test]
fn the_demo_shows_a_job_and_prints_its_result_in_ten_seconds() {
    binary();
    let began = Instant::now();
    let output = run(&["demo"]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({ "refactored": 20 }));
    assert!(text(&output.stderr).contains("progress"), "{}", text(&output.stderr));
}

#[test]
fn the_demo_cuts_the_connection_in_the_middle_and_no_event_is_missing() {
    let output = run(&["demo", "--steps", "8"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    let at = |words: &str| said.find(words).unwrap_or_else(|| panic!("no \"{words}\" in {said}"));
    let cut = at("the connection is cut");
    assert!(at("progress 4/8") < cut && cut < at("resumed after event "), "{said}");
    assert!(at("resumed after event ") < at("progress 8/8"), "{said}");
    // Planning, a thought, a tool's call and result, working, a log, a metric, and eight steps.
    at("events 1 to 15: each arrived once, none is missing");
}

#[test]
fn serving_others_than_loopback_needs_a_token() {
    for address in [&["--bind", "0.0.0.0:0"][..], &["--host", "0.0.0.0", "--port", "0"]] {
        let output = run(&[&["serve"], address].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("--token"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn port_0_prints_the_port_and_a_token_is_made_up_and_works() {
    let serving = Serving::start(&[]);
    let address = serving.url.strip_prefix("ws://127.0.0.1:").unwrap();
    let port: u16 = address.strip_suffix("/arcp").unwrap().parse().unwrap();
    assert_ne!(port, 0);
    let token = serving.token.as_deref().unwrap();
    let args =
        ["submit", "--url", &serving.url, "--token", token, "--agent", "echo", "--input", "{\"a\":1.0}"];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "{\"a\":1.0}\n");
    // Without --demo-agents there is `echo`, and nothing else.
    let output = run(&["submit", "--url", &serving.url, "--token", token, "--agent", "chatty"]);
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(unix)]
#[test]
fn a_server_that_is_asked_to_end_ends_in_an_orderly_way() {
    let mut serving = demo_agents();
    let id = serving.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn submit_says_how_the_job_ended_with_its_exit_code() {
    let serving = demo_agents();
    let cases: [(&[&str], i32); 11] = [
        (&["--agent", "echo", "--input", "1"], 0),
        (&["--agent", "chunker", "--input", "{}"], 0),
        (&["--agent", "nobody"], 1),
        (&["--agent", "chatty", "--input", "{}"], 1),
        (&["--agent", "echo", "--input", "{"], 2),
        (&["--agent", "echo", "--token", "wrong"], 4),
        (&["--agent", "slow", "--input", "{}", "--timeout", "1"], 5),
        (&["--agent", "fails", "--input", "{}"], 10),
        (&["--agent", "fails", "--input", "{\"code\":\"BUDGET_EXHAUSTED\"}"], 10),
        (&["--agent", "slow", "--input", "{}", "--max-runtime", "1"], 12),
        (&["--agent", "fails", "--input", "{}", "--exit-zero"], 0),
    ];
    for (args, code) in cases {
        let output = serving.submit(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty(), "people are told something: {args:?}");
    }
}

#[test]
fn submit_says_when_nobody_is_there_and_when_it_has_no_token() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}/arcp");
    let output = run(&["submit", "--url", &url, "--token", "t", "--agent", "echo"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let output = run(&["submit", "--url", &url, "--agent", "echo"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn json_is_one_line_for_the_end_and_with_stream_one_for_each_event() {
    let serving = demo_agents();
    let lines = |args: &[&str]| -> Vec<Value> {
        let output = serving.submit(args);
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let end = lines(&["--agent", "progress", "--input", "{\"total\":3}", "--json"]);
    assert_eq!(end.len(), 1);
    assert_eq!(end[0]["final_status"], "success");
    assert_eq!(end[0]["result"], json!({ "done": 3 }));
    assert!(end[0]["job_id"].as_str().unwrap().starts_with("job_"));

    let all = lines(&["--agent", "progress", "--input", "{\"total\":3}", "--output", "json", "--stream"]);
    assert_eq!(all.len(), 4);
    for (i, event) in all[..3].iter().enumerate() {
        assert_eq!(event["event_seq"], i + 1);
        assert_eq!(event["kind"], "progress");
        assert_eq!(event["body"], json!({ "current": i + 1, "total": 3, "units": "items" }));
    }
    assert_eq!(all[3]["final_status"], "success");

    let failed = lines(&["--agent", "fails", "--input", "{\"message\":\"no\"}", "--json"]);
    assert_eq!(failed[0]["final_status"], "error");
    assert_eq!(failed[0]["error"]["code"], "INTERNAL_ERROR");
    assert_eq!(failed[0]["error"]["message"], "no");
    assert_eq!(failed[0]["error"]["retryable"], true);
    let refused = lines(&["--agent", "nobody", "--json"]);
    assert_eq!(refused[0]["error"]["code"], "AGENT_NOT_AVAILABLE");
    let streamed = lines(&["--agent", "chunker", "--input", "{\"size\":30}", "--json"]);
    assert_eq!(streamed[0]["result_text"], "abcdefghijklmnopqrstuvwxyzabcd");
    assert_eq!(streamed[0]["result_size"], 30);
}

#[cfg(unix)]
#[test]
fn an_interrupt_cancels_the_job_and_the_exit_code_says_so() {
    let serving = demo_agents();
    let mut submit = arcp(&["submit", "--url", &serving.url, "--agent", "slow", "--input", "{}"]);
    submit.env("ARCP_TOKEN", "secret").args(["--json", "--stream"]).stdout(Stdio::piped());
    let mut child = submit.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("working"));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(11));
    let end: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(end["final_status"], "cancelled");
}

#[test]
fn an_operator_sees_the_state_of_every_credential_and_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arcp.db");
    let db = file.to_str().unwrap();
    {
        let serving = Serving::on(&file);
        let output = serving.submit(&["--agent", "credential", "--input", "{\"rotate\":true}"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "{\"count\":1}\n");
    }
    let output = run(&["credentials", "--db", db, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "it was rotated");
    for line in &lines {
        assert_eq!((&line["state"], &line["principal"]), (&json!("revoked"), &json!("me@example.com")));
        assert!(line["job_id"].as_str().unwrap().starts_with("job_"));
        assert_eq!(line["id"], lines[0]["id"]);
    }
    assert!(!text(&output.stdout).contains("sk-demo-"));
    let people = run(&["credentials", "--db", db]);
    assert!(text(&people.stdout).contains("revoked") && !text(&people.stdout).contains("sk-demo-"));
    let none = run(&["credentials", "--db", db, "--state", "stuck"]);
    assert!(none.status.success() && none.stdout.is_empty());
    assert_eq!(run(&["credentials", "--db", db, "--state", "lost"]).status.code(), Some(2));
    assert_eq!(run(&["credentials", "--db", "nowhere.db"]).status.code(), Some(2));
}

#[test]
fn a_reader_that_has_enough_ends_a_command_quietly() {
    let serving = demo_agents();
    let input = json!({ "count": 2000 }).to_string();
    let args = ["submit", "--url", &serving.url, "--token", "secret", "--agent", "chatty", "--input", &input];
    let mut child = arcp(&[&args[..], &["--json", "--stream"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
}

/// Arguments, the environment, and the exit code.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32);

#[test]
fn a_token_on_the_command_line_goes_before_the_environment_and_an_empty_one_is_none() {
    let serving = demo_agents();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret\n").unwrap();
    let path = file.path().to_str().unwrap();
    let cases: [Case<'_>; 8] = [
        (&["--token", "secret"], &[("ARCP_TOKEN", "wrong")], 0),
        (&["--token", "secret"], &[("ARCP_TOKEN_FILE", "/none")], 0),
        (&["--token-file", path], &[("ARCP_TOKEN", "wrong")], 0),
        (&[], &[("ARCP_TOKEN", "secret"), ("ARCP_TOKEN_FILE", "/none")], 0),
        (&[], &[("ARCP_TOKEN", ""), ("ARCP_TOKEN_FILE", path)], 0),
        (&[], &[("ARCP_TOKEN", "wrong")], 4),
        (&[], &[("ARCP_TOKEN", "")], 2),
        (&["--token", "secret", "--token-file", path], &[], 2),
    ];
    for (args, environment, code) in cases {
        let all = [&["submit", "--url", &serving.url, "--agent", "echo", "--input", "1"], args].concat();
        let output = arcp(&all).envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?} {environment:?}: {}", text(&output.stderr));
    }
    for (args, environment) in [(&["--token", "=alice"][..], ""), (&["--bind", "0.0.0.0:0"], "")] {
        let output = arcp(&[&["serve", "--store", "memory"], args].concat())
            .env("ARCP_TOKEN", environment)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_lease_is_asked_without_a_runtime() {
    let lease = r#"{"fs.read":["/ws/**","/tmp/*"],"cost.budget":["USD:1"]}"#;
    let check = |more: &[&str]| run(&[&["lease", "check", "--lease", lease], more].concat());
    let output = check(&["fs.read", "/ws/src/main.rs", "/ws/../etc/passwd", "/tmp/a/b"]);
    assert_eq!(output.status.code(), Some(10));
    let said = text(&output.stdout);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("allowed  /ws/src/main.rs  by /ws/**"), "{said}");
    assert!(
        lines[1].starts_with("denied   /ws/../etc/passwd") && lines[1].contains("PERMISSION_DENIED"),
        "{said}"
    );
    assert!(lines[2].contains("nearest is /tmp/*"), "{said}");
    assert_eq!(check(&["fs.read", "/ws/a"]).status.code(), Some(0));
    let spent = check(&["--spent", "USD:1.00", "--json", "fs.read", "/ws/a"]);
    let line: Value = serde_json::from_slice(&spent.stdout).unwrap();
    assert_eq!((&line["allowed"], &line["error"]["code"]), (&json!(false), &json!("BUDGET_EXHAUSTED")));
    let ended = check(&["--expires-at", "2020-01-01T00:00:00Z", "fs.read", "/ws/a"]);
    assert!(text(&ended.stdout).contains("LEASE_EXPIRED"));
    assert_eq!(check(&["no.such", "/ws/a"]).status.code(), Some(2));
    let budget = check(&["cost.budget", "USD:0.50"]);
    assert_eq!(budget.status.code(), Some(2), "nothing is asked of a budget by name");
    assert!(text(&budget.stderr).contains("--spent"), "{}", text(&budget.stderr));
    let covers = |child| run(&["lease", "covers", "--parent", lease, "--child", child]);
    assert_eq!(covers(r#"{"fs.read":["/ws/src/**"]}"#).status.code(), Some(0));
    let wider = covers(r#"{"fs.read":["/**"]}"#);
    assert_eq!(wider.status.code(), Some(10));
    assert!(text(&wider.stdout).contains("LEASE_SUBSET_VIOLATION"), "{}", text(&wider.stdout));
}

#[test]
fn the_file_of_a_session_is_its_owners_only_whatever_was_there_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let serving = Serving::start(&["--demo-agents", "--token", "secret=me@example.com"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    std::fs::write(&file, "{}").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut submit = arcp(&["submit", "--agent", "echo", "--input", "1", "--session"]);
    submit.arg(&file).env("ARCP_URL", &serving.url).env("ARCP_TOKEN", "secret");
    assert_eq!(submit.output().unwrap().status.code(), Some(0));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(kept["resume_token"].is_string(), "{kept}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is left beside it");
}
