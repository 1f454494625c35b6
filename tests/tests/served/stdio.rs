//! `arcp` over standard input and output: what a parent process sees of it.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use arcp_client::{Client, ConnectionStatus, JobError, Program};
use arcp_core::job::FinalStatus;
use arcp_tests::command::{arcp, binary, run, text};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// `arcp serve --stdio`, by its pipes.
struct Served {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let mut serve = arcp(&[&["serve"][..], args].concat());
        let mut child = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, stdin, lines: BufReader::new(stdout).lines() }
    }

    fn say(&mut self, line: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        // It may have ended already.
        let _ = stdin.write_all(line.as_ref()).and_then(|()| stdin.write_all(b"\n"));
    }

    fn hears(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("a frame").unwrap()).unwrap()
    }

    /// Nothing more comes; its exit code.
    fn ended(&mut self) -> Option<i32> {
        assert!(self.lines.next().is_none());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hello(token: Option<&str>) -> String {
    let auth = token.map(|token| json!({ "scheme": "bearer", "token": token }));
    let client = json!({ "name": "test", "version": "1" });
    let capabilities = json!({ "features": [], "x-vendor.arcp.profile": "draft" });
    let payload = json!({ "client": client, "auth": auth, "capabilities": capabilities });
    json!({ "arcp": "1.1", "id": "m1", "type": "session.hello", "payload": payload }).to_string()
}

fn submit(input: &Value) -> String {
    let payload = json!({ "agent": "echo", "input": input });
    json!({ "arcp": "1.1", "id": "m2", "type": "job.submit", "payload": payload }).to_string()
}

#[test]
fn a_session_is_served_in_either_spelling_and_ends_with_the_input() {
    for spelling in [&["--stdio"][..], &["--transport", "stdio"]] {
        let mut served = Served::start(spelling);
        served.say("");
        served.say(hello(None) + "\r");
        assert_eq!(served.hears()["type"], "session.welcome");
        served.say("no frame");
        assert_eq!(served.hears()["payload"]["code"], "INVALID_REQUEST");
        served.say(submit(&json!({ "a": 1 })));
        assert_eq!(served.hears()["type"], "job.accepted");
        assert_eq!(served.hears()["payload"]["result"], json!({ "a": 1 }));
        served.stdin = None;
        assert_eq!(served.ended(), Some(0), "{spelling:?}");
    }
}

#[test]
fn a_token_is_asked_for_only_where_there_is_one() {
    for (args, token, wanted) in [
        (&["--stdio"][..], None, "session.welcome"),
        (&["--stdio"], Some("any"), "session.welcome"),
        (&["--stdio", "--token", "secret"], Some("secret"), "session.welcome"),
        (&["--stdio", "--token", "secret"], None, "session.error"),
        (&["--stdio", "--token", "secret"], Some("other"), "session.error"),
    ] {
        let mut served = Served::start(args);
        served.say(hello(token));
        let said = served.hears();
        assert_eq!(said["type"], wanted, "{args:?} {token:?}");
        if wanted == "session.error" {
            assert_eq!(said["payload"]["code"], "UNAUTHENTICATED");
            served.stdin = None;
            assert_eq!(served.ended(), Some(0));
        }
    }
}

#[test]
fn bad_lines_are_named_before_the_connection_ends() {
    let cases: [(bool, Vec<u8>, &str); 4] = [
        (false, vec![b'x'; 20_000], "message: is too large"),
        (false, b"\xff\xfe".to_vec(), "message: must be UTF-8"),
        (true, vec![b'x'; (2 << 20) + (65 << 10)], "message: is too large"),
        (true, b"{\"a\":\"\xff\"}".to_vec(), "message: must be UTF-8"),
    ];
    for (opened, line, words) in cases {
        let mut served = Served::start(&["--stdio"]);
        if opened {
            served.say(hello(None));
            served.hears();
        }
        served.say(line);
        let said = served.hears();
        assert_eq!(said["payload"]["message"], words);
        assert_eq!(said["payload"]["code"], "INVALID_REQUEST");
        if !opened {
            // It says so in the forms of all peers, since this one has not said which it is.
            assert_eq!(served.hears()["payload"]["message"], words);
        }
        assert_eq!(served.ended(), Some(0), "{words}");
    }
}

#[test]
fn a_signal_ends_it_whether_or_not_a_session_is_open() {
    for opened in [true, false] {
        let mut served = Served::start(&["--stdio"]);
        if opened {
            served.say(hello(None));
            served.hears();
        } else {
            // It says nothing before it is spoken to, so there is nothing to wait for.
            std::thread::sleep(Duration::from_millis(500));
        }
        let begun = Instant::now();
        let id = served.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert_eq!(served.ended(), Some(0), "opened: {opened}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

/// A command line that serves over stdio.
fn serving(args: &str) -> String {
    format!("{} serve --stdio {args}", binary().display())
}

#[test]
fn submit_starts_a_program_and_says_why_it_cannot() {
    let command = serving("--demo-agents");
    let output = run(&["submit", "--command", &command, "--agent", "echo", "--input", "[1, 2]"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "[1, 2]\n"));
    let output = run(&["submit", "--command", &command, "--agent", "fails"]);
    assert_eq!(output.status.code(), Some(1), "its input is refused");
    let output = run(&["jobs", "--command", &command, "--json"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), ""));

    let guarded = serving("--token secret");
    let output = run(&["submit", "--command", &guarded, "--agent", "echo"]);
    assert_eq!(output.status.code(), Some(4));
    let output = run(&["submit", "--command", &guarded, "--agent", "echo", "--token", "secret"]);
    assert_eq!(output.status.code(), Some(0));
    for (command, words) in [("false", "exit status: 1"), ("/nonexistent", "No such file")] {
        let output = run(&["submit", "--command", command, "--agent", "echo"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    let output = run(&["submit", "--command", "'unclosed", "--agent", "echo"]);
    assert_eq!(output.status.code(), Some(2));
}

fn program(args: &str) -> Program {
    Program::new(binary()).args(["serve", "--stdio", "--demo-agents"]).args(args.split_whitespace())
}

#[tokio::test]
async fn raw_ends_of_lines_inside_of_an_input_do_not_end_its_frame() {
    let client = Client::program(&program("")).connect().await.unwrap();
    let input = arcp_core::Json::parse("{\n\t\"a\" :\r\n [1,\n 2], \"b\": \"x\\ny\"}").unwrap();
    let mut job = client.submit("echo").input(&input).send().await.unwrap();
    let outcome = job.result().await.unwrap();
    assert_eq!(outcome.decode::<Value>().unwrap(), json!({ "a": [1, 2], "b": "x\ny" }));
    client.close().await;
}

#[tokio::test]
async fn a_job_is_followed_and_cancelled_and_the_program_ends_with_the_session() {
    let program = program("");
    let client = Client::program(&program).connect().await.unwrap();
    let mut job = client.submit("slow").input(&json!({ "seconds": 3600 })).send().await.unwrap();
    assert_eq!(job.next().await.unwrap().unwrap().body.kind(), "status");
    job.cancel(None).await.unwrap();
    let Err(JobError::Ended(failure)) = job.result().await else { panic!("it must end") };
    assert_eq!(failure.final_status, FinalStatus::Cancelled);
    client.close().await;
    tokio::time::timeout(Duration::from_secs(5), program.ended()).await.expect("it has ended");
}

#[tokio::test]
async fn a_program_that_is_killed_is_started_anew_and_its_store_gives_the_session_back() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "echo $$ > {0}/pid; exec {1} serve --stdio --demo-agents --store sqlite:{0}/arcp.db",
        dir.path().display(),
        binary().display(),
    );
    let client = Client::program(&Program::new("sh").args(["-c", &script])).connect().await.unwrap();
    let session = client.session().id.clone();
    let mut job =
        client.submit("chatty").input(&json!({ "count": 100_000, "delay_ms": 1 })).send().await.unwrap();
    let mut seen = vec![];
    for _ in 0..50 {
        seen.extend(job.next().await.unwrap().unwrap().event_seq);
    }
    let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    while let Some(event) = job.next().await {
        seen.extend(event.unwrap().event_seq);
    }
    let Err(JobError::Ended(failure)) = job.result().await else { panic!("it must end") };
    assert_eq!(failure.error.details().unwrap().as_str(), r#"{"reason":"runtime_restarted"}"#);
    assert!(seen.len() >= 50 && seen.iter().copied().eq(1..=seen.len() as u64), "none is missing");
    assert_eq!(*client.status().borrow(), ConnectionStatus::Connected);
    assert_eq!(client.session().id, session);
    let mut job = client.submit("echo").input(&7).send().await.unwrap();
    assert_eq!(job.result().await.unwrap().decode::<u64>().unwrap(), 7);
    client.close().await;
}
