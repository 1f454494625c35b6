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

/// Runs an example, and looks for lines, in this order.
fn shows(program: &str, lines: &[&str]) {
    let said = run(program);
    let mut told = said.lines();
    for line in lines {
        assert!(told.any(|told| told == *line), "\"{line}\" is missing, or too early:\n{said}");
    }
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

#[test]
fn stdio_runs_a_job_in_a_program_and_stops_it() {
    let said = run(env!("CARGO_BIN_EXE_stdio"));
    let told: Vec<_> = said.lines().collect();
    assert!(told[0].contains("working in a process of the host's"), "{said}");
    assert!(told.iter().any(|line| line.contains(r#""message":"OTHER""#)), "{said}");
    assert_eq!(told[told.len() - 2..], ["result: ONE AFTER THE OTHER", "the agent has ended"], "{said}");
}

#[test]
fn cancel_lets_the_agent_tidy_up_and_ends_the_job() {
    shows(env!("CARGO_BIN_EXE_cancel"), &["first: status", "then: log", "ended: cancelled"]);
}

#[test]
fn delegate_gives_less_than_it_has_and_gets_back_what_is_not_spent() {
    shows(
        env!("CARGO_BIN_EXE_delegate"),
        &["wider: LEASE_SUBSET_VIOLATION", "found: three papers about tides", "left: USD 2.75"],
    );
}

#[test]
fn idempotent_retry_runs_one_job_for_two_submits() {
    shows(
        env!("CARGO_BIN_EXE_idempotent_retry"),
        &["result: report of 2026-W19", "same job: true", "runs: 1", "another week: DUPLICATE_KEY"],
    );
}

#[test]
fn lease_violation_never_reaches_the_tool() {
    shows(
        env!("CARGO_BIN_EXE_lease_violation"),
        &[
            "calls search.web",
            "done",
            "calls db.delete",
            "refused: PERMISSION_DENIED",
            "result: hits for tides, false, PERMISSION_DENIED",
        ],
    );
}

#[test]
fn vendor_extensions_travel_as_they_are() {
    shows(
        env!("CARGO_BIN_EXE_vendor_extensions"),
        &["x-vendor.acme.table: 24 rows of port, height", "result: 3 copies of edition-7"],
    );
}

#[test]
fn heartbeat_notices_a_pulled_cable_and_nothing_is_missing() {
    shows(
        env!("CARGO_BIN_EXE_heartbeat"),
        &[
            "the cable is pulled",
            "disconnected: nothing was heard for two heartbeat intervals",
            "connected again",
            "nothing is missing: true",
            "result: all of them",
        ],
    );
}

#[test]
fn ack_backpressure_holds_the_agent_and_loses_nothing() {
    shows(
        env!("CARGO_BIN_EXE_ack_backpressure"),
        &["while the client slept the agent waited: true", "events: 1000", "it was told: true"],
    );
}

#[test]
fn list_jobs_finds_what_runs_and_pages_through_what_ended() {
    shows(env!("CARGO_BIN_EXE_list_jobs"), &["running: slow@1.0.0 true", "quick: 25"]);
}

#[test]
fn subscribe_shows_what_was_and_what_is_and_gives_no_right_to_cancel() {
    shows(
        env!("CARGO_BIN_EXE_subscribe"),
        &["agent: count@1.0.0", "events: 10", "result: 10", "cancel: PERMISSION_DENIED"],
    );
}

#[test]
fn agent_versions_stand_side_by_side() {
    shows(
        env!("CARGO_BIN_EXE_agent_versions"),
        &[
            "greet: 1.0.0, 2.0.0",
            "greet is greet@2.0.0: good day, Ada",
            "greet@1.0.0 is greet@1.0.0: hello Ada",
            "greet@3.0.0: AGENT_VERSION_NOT_AVAILABLE",
        ],
    );
}

#[test]
fn lease_expires_at_ends_tools_and_the_job() {
    shows(
        env!("CARGO_BIN_EXE_lease_expires_at"),
        &["accepted until it expires: true", "the tool: LEASE_EXPIRED", "the job: LEASE_EXPIRED"],
    );
}

#[test]
fn cost_budget_holds_to_the_last_cent() {
    shows(
        env!("CARGO_BIN_EXE_cost_budget"),
        &[
            "cost.tool 0.4",
            "calls: 3, then BUDGET_EXHAUSTED",
            "twice is too much: BUDGET_EXHAUSTED; left: 0.5",
        ],
    );
}

#[test]
fn progress_is_of_a_known_amount_or_an_unknown_one() {
    shows(env!("CARGO_BIN_EXE_progress"), &["0.7/? GB: looking around", "3/3 files: c.txt", "result: 3"]);
}

#[test]
fn result_chunk_arrives_whole() {
    shows(
        env!("CARGO_BIN_EXE_result_chunk"),
        &["summary: 200000 rows", "as long as the runtime says: true", "last row: 200000,40000000000"],
    );
}

#[test]
fn drain_lets_jobs_end_and_the_next_process_goes_on() {
    shows(
        env!("CARGO_BIN_EXE_drain"),
        &[
            "finished: 1, stopped: 1, left: 1, in time: true",
            "quick: in time",
            "long: the runtime was stopped while the job ran",
            "again: at last",
        ],
    );
}

#[test]
fn provisioned_credentials_end_with_their_job_and_are_not_shown() {
    shows(env!("CARGO_BIN_EXE_provisioned_credentials"), &["length: 14", "keys in force: 0"]);
}

#[test]
fn custom_auth_looks_api_keys_up_and_gives_each_its_scopes() {
    shows(
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
fn typed_agent_shows_its_schema_and_holds_inputs_to_it() {
    shows(
        env!("CARGO_BIN_EXE_typed_agent"),
        &[
            "refactor: Rewrites code.",
            r#"needs: ["files","rounds"]"#,
            r#"INVALID_REQUEST at "/files/1/path""#,
            r#"INVALID_REQUEST at "/rounds""#,
            "rewritten: a.rs",
        ],
    );
}

#[test]
fn host_session_takes_whom_the_apps_middleware_found_and_only_for_the_apps_own_page() {
    shows(
        env!("CARGO_BIN_EXE_host_session"),
        &["the app's page: ann@example.com", "another page: 403 Forbidden", "a stranger: UNAUTHENTICATED"],
    );
}

#[test]
fn jwt_jwks_fetches_the_issuers_keys_and_takes_scopes_from_the_token() {
    shows(
        env!("CARGO_BIN_EXE_jwt_jwks"),
        &[
            "arcp:submit: ann@example.com",
            "arcp:observe: a submit is PERMISSION_DENIED",
            "for another service: UNAUTHENTICATED",
        ],
    );
}

#[test]
fn host_tracing_shows_the_runtimes_spans_to_the_hosts_own_subscriber() {
    shows(
        env!("CARGO_BIN_EXE_host_tracing"),
        &[
            "result: three pages about tides",
            "trace: 4bf92f3577b34da6a3ce929d0e0e4736",
            "request",
            "arcp.command",
            "arcp.job",
            "arcp.job > reading",
            "arcp.job > arcp.operation",
        ],
    );
}

#[test]
fn tool_with_layers_is_refused_by_one_and_timed_out_by_another() {
    let said = run(env!("CARGO_BIN_EXE_tool_with_layers"));
    let told: Vec<_> = said.lines().collect();
    assert_eq!(told[..2], ["hits for tides", "passwords: PERMISSION_DENIED: passwords is not searched for"]);
    assert!(told[2].starts_with("everything: "), "{said}");
}

#[test]
fn axum_nested_sees_in_every_place_what_the_apps_own_middleware_learnt() {
    let said = run(env!("CARGO_BIN_EXE_axum_nested"));
    let told: Vec<_> = said.lines().collect();
    let id = told[0].strip_prefix("job.submit of request ").unwrap_or_default();
    assert_eq!(id.len(), 36, "a request id of the host's: {said}");
    assert_eq!(told[1..], ["acme at 127.0.0.1", "drained: true"], "{said}");
}

#[test]
fn actix_middleware_says_who_it_is_and_its_server_ends_after_the_drain() {
    shows(
        env!("CARGO_BIN_EXE_actix_middleware"),
        &["job.submit of the team tides", "ann@example.com at 127.0.0.1", "drained: true"],
    );
}

#[test]
fn hyper_layers_give_the_peers_address_and_refuse_by_what_the_request_said() {
    shows(
        env!("CARGO_BIN_EXE_hyper_layers"),
        &["me@example.com at 127.0.0.1", "from the south: PERMISSION_DENIED", "drained: true"],
    );
}

#[test]
fn model_use_reaches_the_models_that_the_lease_names_and_charges_them() {
    shows(
        env!("CARGO_BIN_EXE_model_use"),
        &["tier-fast/small was asked", "another: PERMISSION_DENIED", "left: USD 0.98"],
    );
}
