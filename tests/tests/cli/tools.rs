//! Commands about the command itself, and about its surroundings.

use std::process::{Command, Output, Stdio};

use arcp_tests::command::{Serving, arcp, binary, run, text};
use serde_json::{Value, json};

fn demo_agents() -> Serving {
    Serving::start(&["--demo-agents", "--token", "secret=me@example.com"])
}

fn to(serving: &Serving, args: &[&str]) -> Output {
    arcp(args)
        .env("ARCP_URL", &serving.url)
        .env("ARCP_TOKEN", "secret")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn send_sends_a_message_of_any_type_and_prints_what_answers_it() {
    let serving = demo_agents();
    let pong = to(&serving, &["send", "--type", "ping", "--payload", "{\"nonce\":\"x\"}"]);
    assert_eq!(pong.status.code(), Some(0), "{}", text(&pong.stderr));
    assert_eq!(lines(&pong)[0]["type"], "session.pong");
    assert_eq!(lines(&pong)[0]["payload"]["ping_nonce"], "x");

    let jobs = to(&serving, &["send", "--type", "session.list_jobs", "--payload", "{\"limit\":3}"]);
    assert_eq!((jobs.status.code(), &lines(&jobs)[0]["type"]), (Some(0), &json!("session.jobs")));

    let unknown = to(&serving, &["send", "--type", "session.dance"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(lines(&unknown)[0]["payload"]["code"], "INVALID_REQUEST");

    let submit = json!({ "agent": "echo", "input": [1] }).to_string();
    let all = to(&serving, &["send", "--type", "job.submit", "--payload", &submit, "--all", "--wait", "2"]);
    let kinds: Vec<_> = lines(&all).iter().map(|line| line["type"].as_str().unwrap().to_owned()).collect();
    assert!(
        kinds.contains(&"job.accepted".to_owned()) && kinds.contains(&"job.result".to_owned()),
        "{kinds:?}"
    );

    let silent = to(
        &serving,
        &["send", "--type", "session.ack", "--payload", "{\"last_processed_seq\":0}", "--wait", "0.2"],
    );
    assert_eq!(silent.status.code(), Some(5), "nothing answers an ack");
    assert_eq!(to(&serving, &["send", "--type", "ping", "--payload", "{"]).status.code(), Some(2));
}

#[test]
fn doctor_finds_nothing_wrong_where_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("arcp.db");
    drop(Serving::on(&db));
    let serving = Serving::on(&dir.path().join("other.db"));
    let output = to(&serving, &["doctor", "--json", "--db", db.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let found = lines(&output);
    assert!(found.iter().all(|finding| finding["level"] != "bad"), "{found:?}");
    for what in ["token", "port", "session", "ping", "clock", "store", "agents", "file"] {
        assert!(
            found.iter().any(|finding| finding["what"] == what && finding["level"] == "good"),
            "{what}: {found:?}"
        );
    }
}

#[test]
fn doctor_names_what_is_wrong_and_what_to_do_about_it() {
    let serving = demo_agents();
    let bad = |args: &[&str]| {
        let output = run(&[&["doctor", "--json"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
        let found = lines(&output);
        let what = found.iter().find(|finding| finding["level"] == "bad").unwrap();
        what["what"].as_str().unwrap().to_owned()
    };
    assert_eq!(bad(&["--url", &serving.url]), "token");
    assert_eq!(bad(&["--url", &serving.url, "--token", "wrong"]), "session");
    assert_eq!(bad(&["--url", &serving.url.replace("/arcp", "/elsewhere"), "--token", "secret"]), "session");
    assert_eq!(bad(&["--url", "http://127.0.0.1/", "--token", "secret"]), "address");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(bad(&["--url", &format!("ws://127.0.0.1:{port}/arcp"), "--token", "secret"]), "port");
    let file = ["--url", &serving.url, "--token", "secret", "--db"];
    assert_eq!(bad(&[&file[..], &["/nowhere/arcp.db"]].concat()), "file");
    let people = run(&["doctor", "--url", &serving.url, "--token", "wrong"]);
    assert!(text(&people.stdout).contains("FAIL  session"), "{}", text(&people.stdout));
}

#[test]
fn doctor_looks_at_a_runtime_that_is_a_program() {
    let command = format!("{} serve --stdio", binary().display());
    let output = run(&["doctor", "--json", "--command", &command]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let found = lines(&output);
    for what in ["session", "ping", "agents"] {
        let good = |finding: &Value| finding["what"] == what && finding["level"] == "good";
        assert!(found.iter().any(good), "{what}: {found:?}");
    }
    let output = run(&["doctor", "--json", "--command", "no-such-program"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output)[0]["hint"], "the program of --command is not there");
    assert!(text(&run(&["doctor", "--help"]).stdout).contains("--command"));
}

#[test]
fn completions_are_written_for_every_shell_and_bash_takes_its_own() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0), "{shell}");
        for word in ["submit", "serve", "resume-window", "credentials"] {
            assert!(text(&script.stdout).contains(word), "{shell} does not know {word}");
        }
    }
    let script = run(&["completions", "bash"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("arcp.bash");
    std::fs::write(&file, &script.stdout).unwrap();
    let ask =
        "source \"$0\"; COMP_WORDS=(arcp sub); COMP_CWORD=1; _arcp arcp sub arcp; echo \"${COMPREPLY[@]}\"";
    let reply = Command::new("bash").args(["-c", ask]).arg(&file).output().unwrap();
    assert_eq!(text(&reply.stdout).trim(), "submit", "{}", text(&reply.stderr));
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = run(&["man"]);
    assert!(text(&page.stdout).contains(".TH arcp 1") && text(&page.stdout).contains("Exit codes"));
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for name in ["arcp", "arcp-serve", "arcp-submit", "arcp-tail", "arcp-lease-check", "arcp-doctor"] {
        let page = std::fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH OPTIONS") || page.contains(".SH SUBCOMMANDS"), "{name}");
    }
}
