//! What `arcp serve` makes of its command line.

use std::os::unix::fs::PermissionsExt as _;

use arcp_tests::command::{Serving, arcp, run, text};
use serde_json::Value;

/// A command line that is refused, and a word of why.
fn refused(args: &[&str], word: &str) {
    let output = run(&[&["serve"], args].concat());
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
    assert!(text(&output.stderr).contains(word), "{word}: {}", text(&output.stderr));
    assert!(output.stdout.is_empty());
}

#[test]
fn localhost_is_loopback_and_no_other_name_is_an_address() {
    let store = ["serve", "--store", "memory"];
    for address in [&["--host", "localhost", "--port", "0"][..], &["--bind", "localhost:0"]] {
        let serving = Serving::of(arcp(&[&store[..], address].concat()), true);
        assert!(serving.url.starts_with("ws://127.0.0.1:"), "{}", serving.url);
    }
    refused(&["--host", "example.com"], "localhost");
    refused(&["--bind", "example.com:0"], "localhost:PORT");
    refused(&["--bind", "localhost:"], "localhost:PORT");
}

#[test]
fn what_is_about_websockets_is_refused_over_stdio_in_either_spelling() {
    for spelling in [&["--stdio"][..], &["--transport", "stdio"]] {
        let options: [&[&str]; 6] = [
            &["--bind", "127.0.0.1:0"],
            &["--host", "127.0.0.1"],
            &["--port", "0"],
            &["--allow-host", "a"],
            &["--tls-cert", "a.pem", "--tls-key", "b.pem"],
            &["--jwks", "https://localhost/", "--jwt-issuer", "i", "--jwt-audience", "a"],
        ];
        for option in options {
            refused(&[spelling, option].concat(), option[0]);
        }
    }
    refused(&["--stdio", "--transport", "ws"], "--transport");
}

#[test]
fn off_loopback_every_way_to_let_somebody_in_is_named() {
    for way in ["--token", "--jwt-key", "--jwks"] {
        refused(&["--bind", "0.0.0.0:0"], way);
    }
}

#[test]
fn the_token_that_is_made_up_stands_for_the_principal_and_an_issuers_tokens_say_whom_they_stand_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arcp.db");
    let store = format!("sqlite:{}", file.display());
    let serve = ["serve", "--port", "0", "--demo-agents", "--principal", "me@example.com", "--store", &store];
    let mut serving = Serving::of(arcp(&serve), true);
    let token = serving.token.clone().unwrap();
    let submit =
        ["submit", "--url", &serving.url, "--token", &token, "--agent", "credential", "--input", "{}"];
    let output = run(&submit);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let listed = run(&["credentials", "--json", "--db", file.to_str().unwrap()]);
    let listed: Value = serde_json::from_str(text(&listed.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(listed["principal"], "me@example.com");

    let issuer = ["--jwks", "https://localhost/", "--jwt-issuer", "i", "--jwt-audience", "a"];
    refused(&[&issuer[..], &["--principal", "me"]].concat(), "--principal");
}

#[test]
fn a_program_that_cannot_be_started_is_named_before_anybody_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("agent.sh");
    std::fs::write(&script, "#!/bin/sh\nexec cat\n").unwrap();
    let path = script.to_str().unwrap();
    let hosted = |program: &str| format!("helper={program} --flag");
    let store = ["--port", "0", "--store", "memory", "--agent"];
    for program in ["no-such-program", "./no/such/program", folder.path().to_str().unwrap(), path] {
        refused(&[&store[..], &[&hosted(program)]].concat(), program);
        refused(&["--stdio", "--agent", &hosted(program)], program);
    }
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    for program in [path, "cat"] {
        let serving = Serving::start(&["--agent", &hosted(program)]);
        assert!(serving.token.is_some());
    }
    let mut there = arcp(&["serve", "--port", "0", "--store", "memory", "--agent", "helper=./agent.sh"]);
    there.current_dir(folder.path());
    assert!(Serving::of(there, true).token.is_some());
    let mut there = arcp(&["serve", "--port", "0", "--store", "memory", "--agent", "helper=agent.sh"]);
    there.env("PATH", folder.path());
    assert!(Serving::of(there, true).token.is_some());
}
