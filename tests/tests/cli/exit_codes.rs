//! Exit codes: what a shell can branch on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread::spawn;
use std::time::Duration;

use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::{ALICE, Server, tokens};
use arcp_tower::{AuthLayer, Config, Job, Runtime, agent_fn};

/// Runs `arcp submit` to `url`.
fn submit(url: &str, args: &[&str]) -> Output {
    run(&[&["submit", "--url", url, "--token", ALICE, "--agent", "echo"], args].concat())
}

/// Answers every connection with `answer`, and says nothing more.
fn answers(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    spawn(move || {
        let mut open = Vec::new();
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            let _ = tcp.read(&mut [0; 4096]);
            let _ = tcp.write_all(answer.as_bytes());
            open.push(tcp);
        }
    });
    url
}

#[test]
fn help_has_a_page_on_exit_codes_and_one_on_every_command() {
    let page = run(&["help", "exit-codes"]);
    assert_eq!(page.status.code(), Some(0));
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "10", "11", "12", "130"] {
        let line = |line: &str| line.trim_start().starts_with(code);
        assert!(text(&page.stdout).lines().any(line), "{code}: {}", text(&page.stdout));
    }
    assert!(text(&page.stdout).contains("arcp lease"), "a denial is 10, too: {}", text(&page.stdout));
    let all = run(&["help"]);
    assert!(text(&all.stdout).contains("submit") && text(&all.stdout).contains("Exit codes:"));
    let one = run(&["help", "lease", "check"]);
    assert!(text(&one.stdout).contains("arcp lease check"), "{}", text(&one.stdout));
    assert_eq!(run(&["help", "nothing"]).status.code(), Some(2));
}

#[test]
fn a_door_that_is_closed_before_the_runtime_is_4_and_one_that_leads_elsewhere_3() {
    for (answer, code) in [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", 4),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 4),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 3),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 3),
        ("ERROR\r\n\r\n", 3),
    ] {
        let output = submit(&answers(answer), &[]);
        assert_eq!(output.status.code(), Some(code), "{answer}: {}", text(&output.stderr));
    }
}

#[test]
fn the_time_allowed_is_for_connecting_and_submitting_too() {
    let output = submit(&answers(""), &["--timeout", "1"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("before the job was accepted"), "{}", text(&output.stderr));
}

#[test]
fn times_that_no_clock_can_count_to_are_taken_as_forever_or_refused_and_nothing_panics() {
    let serving = Serving::start(&["--demo-agents", "--token", "secret=me@example.com"]);
    let most = u64::MAX.to_string();
    let output = serving.submit(&["--agent", "echo", "--input", "1", "--timeout", &most]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = serving.submit(&["--agent", "echo", "--input", "1", "--max-runtime", &most]);
    assert!(matches!(output.status.code(), Some(0..=2)), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    for option in ["--resume-window", "--retention", "--heartbeat"] {
        assert_eq!(run(&["serve", "--port", "0", option, &most]).status.code(), Some(2), "{option}");
    }
}

#[test]
fn a_stream_that_is_not_json_is_a_wrong_command_line() {
    let output = submit("ws://127.0.0.1:1/arcp", &["--stream"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--json"));
}

#[test]
fn a_job_whose_session_is_lost_with_the_server_is_3_and_whether_it_runs_is_not_claimed() {
    let token = ["--demo-agents", "--token", "secret=me@example.com"];
    let mut serving = Serving::start(&token);
    let mut submit = arcp(&["submit", "--url", &serving.url, "--token", "secret", "--agent", "slow"]);
    submit.args(["--input", "{}"]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = submit.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("accepted") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0);
    }
    let port = serving.url.strip_prefix("ws://127.0.0.1:").unwrap().strip_suffix("/arcp").unwrap().to_owned();
    serving.child.kill().unwrap();
    serving.ended();
    // In its place comes one that knows of no session.
    let mut again = arcp(&["serve", "--port", &port, "--store", "memory"]);
    again.args(token);
    let _again = Serving::of(again, false);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{rest}");
    assert!(rest.contains("could not be resumed"), "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_interrupt_is_130_and_tells_how_to_watch_the_job_that_goes_on() {
    let config = Config::default();
    let stubborn = agent_fn(|_: serde_json::Value, job: Job| async move {
        job.status("working").await?;
        // Heeds nothing.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok(())
    });
    let runtime = Runtime::builder().agent("stubborn", stubborn).build().unwrap();
    let server = Server::of(runtime.layer(AuthLayer::new(tokens())), &config).await;
    let url = server.url();
    let output = tokio::task::spawn_blocking(move || {
        let mut submit = arcp(&["submit", "--url", &url, "--token", ALICE, "--agent", "stubborn"]);
        submit.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = submit.spawn().unwrap();
        let id = child.id().to_string();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut all = String::new();
        let mut until = |words: &str| {
            while !all.contains(words) {
                assert_ne!(said.read_line(&mut all).unwrap(), 0, "no \"{words}\" in {all}");
            }
            all.clone()
        };
        let interrupt = || assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        until("working");
        interrupt();
        until("cancelling");
        interrupt();
        let said = until("to watch it: ");
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        said
    });
    let said = output.await.unwrap();
    let line = said.lines().find(|line| line.contains("to watch it")).unwrap();
    let (_, command) = line.split_once("to watch it: ").unwrap();
    let words: Vec<_> = command.split_whitespace().collect();
    assert_eq!(words[..2], ["arcp", "tail"]);
    assert!(words[2].starts_with("job_"), "{command}");
    assert_eq!(words[3..], ["--from", "1", "--url", &format!("'{}'", server.url())]);
}
