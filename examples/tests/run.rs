//! The examples run to their end, and say what they are to show.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Runs an example, and returns what it printed.
fn run(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let (said, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{failed}", output.status);
    said
}

#[test]
fn submit_and_stream_follows_a_job_to_its_result() {
    let said = run(env!("CARGO_BIN_EXE_submit_and_stream"));
    let told: Vec<_> = said.lines().collect();
    assert!(told.contains(&"accepted as count-words@1.0.0"), "{said}");
    assert_eq!(told.iter().filter(|line| line.starts_with("progress: ")).count(), 4, "{said}");
    assert_eq!(told.last(), Some(&"result: 4 words"), "{said}");
}

#[test]
fn custom_layer_counts_commands_and_refuses_one_agent() {
    let said = run(env!("CARGO_BIN_EXE_custom_layer"));
    for line in ["upper: ONE", "upper: TWO", "shred: refused with PERMISSION_DENIED", "commands: 3"] {
        assert!(said.lines().any(|told| told == line), "{line} is missing:\n{said}");
    }
}

#[test]
fn resume_goes_on_in_another_client_where_the_first_one_stopped() {
    let said = run(env!("CARGO_BIN_EXE_resume"));
    let first = (1..=3).map(|n| format!("first client: event {n}"));
    let second = (4..=10).map(|n| format!("second client: event {n}"));
    let expected: Vec<_> = first.chain(second).chain(["result: 10".to_owned()]).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// An example that prints these lines, and nothing else.
fn prints(program: &str, expected: &[&str]) {
    assert_eq!(run(program).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn custom_auth_looks_api_keys_up_and_gives_each_its_scopes() {
    prints(
        env!("CARGO_BIN_EXE_custom_auth"),
        &[
            "app: hello world",
            "dashboard: sees 1 job",
            "dashboard: a submit is PERMISSION_DENIED",
            "a guess: UNAUTHENTICATED",
        ],
    );
}

#[test]
fn host_session_takes_whom_the_apps_middleware_found_and_only_for_the_apps_own_page() {
    prints(
        env!("CARGO_BIN_EXE_host_session"),
        &[
            "the app's page: ann@example.com",
            "another page: PERMISSION_DENIED",
            "a stranger: UNAUTHENTICATED",
        ],
    );
}

#[test]
fn jwt_jwks_fetches_the_issuers_keys_and_takes_scopes_from_the_token() {
    prints(
        env!("CARGO_BIN_EXE_jwt_jwks"),
        &[
            "arcp:submit: ann@example.com",
            "arcp:observe: a submit is PERMISSION_DENIED",
            "for another service: UNAUTHENTICATED",
        ],
    );
}
