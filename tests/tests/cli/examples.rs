//! What the help and the README show works as it is written there.

use std::process::{Command, Output};

use arcp_tests::command::{Serving, binary, run, text};

/// A line as a shell runs it, where `arcp` is found.
fn shell(line: &str) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("PATH", format!("{}:{path}", binary().parent().unwrap().display()));
    for name in ["ARCP_URL", "ARCP_TOKEN", "ARCP_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command
}

/// A line that serves, on a free port and without a file.
fn serving(line: &str) -> Serving {
    let line = format!("exec {line} --port 0 --store memory");
    Serving::of(shell(&line), !line.contains("--token"))
}

/// The examples of a command's help, each in one line.
fn examples(command: &str) -> Vec<String> {
    let help = run(&[command, "--help"]);
    let help = text(&help.stdout).replace("\\\n", " ");
    let (_, examples) = help.split_once("Examples:\n").expect("it has examples");
    examples.lines().map_while(|line| line.strip_prefix("  ")).map(|line| line.trim().to_owned()).collect()
}

fn submitted(url: &str, token: &str, line: &str) -> Output {
    let mut command = shell(line);
    command.env("ARCP_URL", url);
    if !line.contains("ARCP_TOKEN") {
        command.env("ARCP_TOKEN", token);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    output
}

#[test]
fn a_program_that_serves_is_an_agent_as_the_help_has_it() {
    let examples = examples("serve");
    let line = examples.iter().find(|line| line.contains("--agent")).expect("an example with a program");
    let serving = serving(line);
    let token = serving.token.clone().unwrap();
    let output = submitted(&serving.url, &token, "arcp submit --agent echo --input '[1,2.0]'");
    assert_eq!(text(&output.stdout).trim(), "[1,2.0]");
    // There is what was named, and nothing for trying out beside it.
    let listed = submitted(&serving.url, &token, "arcp agents");
    let named: Vec<_> = text(&listed.stdout).lines().map(str::to_owned).collect();
    assert!(named.len() == 2 && named.iter().all(|name| !name.contains("2.0.0")), "{named:?}");
}

#[test]
fn every_example_of_submitting_works_with_the_server_that_is_shown_for_it() {
    let examples = examples("submit");
    let serving = serving("arcp serve --token s3cret");
    for line in &examples {
        submitted(&serving.url, "s3cret", &line.replace("ws://127.0.0.1:7777/arcp", &serving.url));
    }
    assert!(examples.len() >= 3);
}

#[test]
fn every_submit_of_the_readme_works_with_the_server_of_the_line_before() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (mut serves, mut submits) = (String::new(), Vec::new());
    for line in readme.lines() {
        if line.starts_with("arcp serve") {
            serves = line.split('#').next().unwrap().trim().to_owned();
        } else if line.contains("arcp submit") && (line.starts_with("arcp") || line.starts_with("ARCP_")) {
            submits.push(line);
        }
    }
    assert!(submits.len() >= 3);
    let serving = serving(&serves);
    for line in submits {
        submitted(&serving.url, "s3cret", line);
    }
}

#[test]
fn a_job_that_is_left_is_said_to_be_over_where_its_program_is_stopped() {
    let line = "arcp submit --command 'arcp serve --stdio --demo-agents' --agent slow --input '{}' --timeout 1 --json";
    let output = shell(line).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(said.contains("goes no further") && !said.contains("tail"), "{said}");
}
