//! Provisioned credentials (§9.8): when they are issued, who is given them, and that none outlives its
//! job.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::Step;
use arcp_core::store::{CredentialQuery, CredentialRow, CredentialState, Store, StoreError};
use arcp_core::transport::Memory;
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{Stack, code};
use arcp_tests::stores::kept;
use arcp_tests::vault::{
    CANARY, Fault, Vault, bounds, keyed_agents, keyed_runtime, keyed_server, lasting, wanting,
};
use arcp_tests::{ALICE, Memories, Peer, actor, tokens};
use arcp_tower::{AuthLayer, Config, Runtime};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// A vault, a store that outlives its processes, and a server on both.
async fn keyed(config: &Config) -> (Vault, Arc<dyn Store>, Memories<Stack>) {
    let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
    let server = keyed_server(Some(store.clone()), vault.provisioner(), config).await;
    (vault, store, server)
}

async fn accepted(peer: &mut Peer<Memory>, payload: Value) -> Value {
    let id = peer.send("job.submit", payload).await;
    peer.reply(&id).await
}

fn submit(input: &Value) -> Value {
    json!({ "agent": "keyed", "input": input })
}

fn job_of(accepted: &Value) -> String {
    assert_eq!(accepted["type"], "job.accepted", "{accepted}");
    accepted["job_id"].as_str().unwrap().to_owned()
}

fn value_of(accepted: &Value) -> &str {
    accepted["payload"]["credentials"][0]["value"].as_str().unwrap_or_default()
}

async fn ledger(store: &dyn Store) -> Vec<CredentialRow> {
    store.credentials(CredentialQuery::All { after: None, limit: 1000 }).await.unwrap().items
}

async fn states(store: &dyn Store) -> Vec<CredentialState> {
    ledger(store).await.into_iter().map(|row| row.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_gets_its_own_credential_before_it_is_accepted() {
    for store in
        kept().into_iter().filter(|store| store.caps().durability > arcp_core::store::Durability::Volatile)
    {
        let vault = Vault::default();
        let server = keyed_server(Some(store), vault.provisioner(), &bounds()).await;
        let mut peer = server.open(ALICE, &wanting()).await;
        vault.plan_issue(Fault::Slow(3 * SECOND));
        let before = Instant::now();
        let first = accepted(&mut peer, submit(&json!({ "seconds": 5 }))).await;
        assert!(before.elapsed() >= 3 * SECOND);
        let credential = &first["payload"]["credentials"][0];
        assert!(credential["id"].as_str().unwrap().starts_with("cred_"), "{credential}");
        assert_eq!(credential["scheme"], "bearer");
        assert_eq!(credential["endpoint"], "https://vault.example/v1");
        assert_eq!(credential["profile"], "openai");
        assert!(credential["constraints"]["expires_at"].is_string());
        assert!(vault.live().values().any(|value| value == value_of(&first)));
        let second = accepted(&mut peer, submit(&json!({}))).await;
        assert!(value_of(&second).starts_with(CANARY) && value_of(&second) != value_of(&first));
        let end = peer.job(&job_of(&second)).await.pop().unwrap();
        assert_eq!(end["payload"]["result"], json!({ "count": 1, "same": 1 }));
        // A job whose agent needs none costs the service nothing.
        peer.works().await;
        assert_eq!(vault.issued().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn t44_an_issue_that_takes_its_time_holds_up_no_ping_and_no_cancel() {
    let (vault, _, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let running = accepted(&mut peer, json!({ "agent": "slow", "input": { "seconds": 60 } })).await;
    vault.plan_issue(Fault::Slow(9 * SECOND));
    let id = peer.send("job.submit", submit(&json!({}))).await;
    let before = Instant::now();
    peer.ping("soon").await;
    assert_eq!(peer.cancel(&job_of(&running)).await["type"], "job.cancelled");
    assert!(before.elapsed() < SECOND);
    assert_eq!(peer.reply(&id).await["type"], "job.accepted");
}

#[tokio::test(start_paused = true)]
async fn t61_acceptances_leave_in_the_order_of_the_submits_however_long_an_issue_takes() {
    let (vault, _, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    vault.plan_issue(Fault::Slow(9 * SECOND));
    let mut once = submit(&json!({}));
    once["idempotency_key"] = json!("k");
    // A slow one, its repeat, and one that needs no credential.
    let mut asked = Vec::new();
    for payload in [once.clone(), once, json!({ "agent": "echo", "input": 1 })] {
        asked.push(peer.send("job.submit", payload).await);
    }
    let said = peer.during(60 * SECOND).await;
    let accepted: Vec<_> = said.iter().filter(|frame| frame["type"] == "job.accepted").collect();
    let order: Vec<_> = accepted.iter().map(|f| f["payload"]["request_id"].as_str().unwrap()).collect();
    assert_eq!(order, asked);
    assert_eq!(accepted[0]["job_id"], accepted[1]["job_id"], "a repeat is the same job");
    // Nor does any event overtake the acceptance of its job.
    for (at, frame) in said.iter().enumerate().filter(|(_, frame)| frame["event_seq"].is_u64()) {
        let before = said[..at].iter().any(|f| f["type"] == "job.accepted" && f["job_id"] == frame["job_id"]);
        assert!(before, "{frame}");
    }
}

#[tokio::test(start_paused = true)]
async fn t104_a_credential_is_revoked_before_the_end_of_its_job_is_seen_however_it_ends() {
    let config = bounds();
    let (vault, store, server) = keyed(&config).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    for (input, max, code) in [
        (json!({}), None, ""),
        (json!({ "end": "error" }), None, "INTERNAL_ERROR"),
        (json!({ "end": "panic" }), None, "INTERNAL_ERROR"),
        (json!({ "seconds": 60 }), Some(2), "TIMEOUT"),
        (json!({ "seconds": 60, "end": "cancel" }), None, "CANCELLED"),
    ] {
        vault.plan_revoke(Fault::Slow(2 * SECOND));
        let cancel = input["end"] == "cancel";
        let mut payload = submit(&input);
        if let Some(seconds) = max {
            payload["max_runtime_sec"] = json!(seconds);
        }
        let job = job_of(&accepted(&mut peer, payload).await);
        if cancel {
            peer.cancel(&job).await;
        }
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(arcp_tests::sessions::code(&end), code, "{end}");
        assert!(vault.live().is_empty(), "{code}: it was seen too soon");
    }
    sleep(SECOND).await;
    assert_eq!(states(&*store).await, [CredentialState::Revoked; 5]);
    assert!(ledger(&*store).await.iter().all(|row| row.sealed.is_none() && row.due.is_none()));
}

#[tokio::test(start_paused = true)]
async fn bad_input_60_a_service_that_hangs_delays_the_end_of_a_job_for_a_while_only_and_is_asked_again() {
    let (vault, store, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    for (fault, longest) in
        [(Fault::Hang, 5), (Fault::Slow(60 * SECOND), 5), (Fault::Transient, 1), (Fault::LostReply, 1)]
    {
        vault.plan_revoke(fault);
        let job = job_of(&accepted(&mut peer, submit(&json!({}))).await);
        let before = Instant::now();
        peer.job(&job).await;
        let waited = before.elapsed();
        assert!(waited <= Duration::from_secs(longest) + Duration::from_millis(100), "{fault:?}: {waited:?}");
        sleep(60 * SECOND).await;
        assert!(vault.live().is_empty(), "{fault:?}");
        sleep(10 * SECOND).await;
        assert!(states(&*store).await.iter().all(|state| *state == CredentialState::Revoked), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_60_a_credential_that_somebody_else_revoked_counts_as_revoked() {
    let (vault, store, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let job = job_of(&accepted(&mut peer, submit(&json!({ "seconds": 90 }))).await);
    sleep(80 * SECOND).await;
    vault.clear();
    peer.job(&job).await;
    assert_eq!(states(&*store).await, [CredentialState::Revoked]);
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_fails_refuses_the_submit_leaves_nothing_in_force_and_frees_the_key() {
    for (fault, refusal, retryable) in [
        (Fault::Transient, "INTERNAL_ERROR", true),
        (Fault::Permanent, "AGENT_NOT_AVAILABLE", false),
        (Fault::Budget, "BUDGET_EXHAUSTED", false),
        (Fault::Hang, "INTERNAL_ERROR", true),
        (Fault::LostReply, "INTERNAL_ERROR", true),
        (Fault::Slow(60 * SECOND), "INTERNAL_ERROR", true),
        // The service does it after everybody gave up, and after it was asked to revoke it.
        (Fault::Late(30 * SECOND), "INTERNAL_ERROR", true),
    ] {
        let stores: [Option<Arc<dyn Store>>; 2] = [None, Some(lasting())];
        for store in stores {
            let vault = Vault::default();
            let server = keyed_server(store.clone(), vault.provisioner(), &bounds()).await;
            let mut peer = server.open(ALICE, &wanting()).await;
            vault.issue_always(Some(fault));
            let mut payload = submit(&json!({}));
            payload["idempotency_key"] = json!("once");
            let refused = accepted(&mut peer, payload.clone()).await;
            assert_eq!(
                (code(&refused), &refused["payload"]["retryable"]),
                (refusal, &json!(retryable)),
                "{fault:?}"
            );
            assert!(!refused.to_string().contains("500 Internal"), "the service's words are for operators");
            sleep(120 * SECOND).await;
            assert!(vault.live().is_empty(), "{fault:?}");
            if let Some(store) = &store {
                let states = states(&**store).await;
                let over = states.iter().all(|state| *state == CredentialState::Revoked);
                assert!(over && !states.is_empty(), "{fault:?}: {states:?}");
            }
            vault.issue_always(None);
            let job = job_of(&accepted(&mut peer, payload).await);
            assert_eq!(peer.job(&job).await.last().unwrap()["type"], "job.result");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_may_work_later_is_tried_again_within_the_submit() {
    let (vault, store, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    // One that did nothing, and one that was done without anybody hearing of it.
    vault.plan_issue(Fault::Transient);
    vault.plan_issue(Fault::LostReply);
    let began = tokio::time::Instant::now();
    let accepted = accepted(&mut peer, submit(&json!({ "seconds": 60 }))).await;
    assert_eq!(value_of(&accepted), format!("{CANARY}2"));
    let took = began.elapsed();
    assert!((Duration::from_millis(750)..2 * SECOND).contains(&took), "{took:?}");
    sleep(30 * SECOND).await;
    assert_eq!(vault.live().len(), 1, "what was lost is revoked by its name");
    peer.job(&job_of(&accepted)).await;
    sleep(90 * SECOND).await;
    assert!(vault.live().is_empty());
    assert_eq!(states(&*store).await, [CredentialState::Revoked; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_never_works_is_tried_no_longer_than_one_answer_may_take() {
    let config = bounds().with(|config| config.provision_timeout = 4 * SECOND);
    let (vault, store, server) = keyed(&config).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    vault.issue_always(Some(Fault::Transient));
    let began = tokio::time::Instant::now();
    let refused = accepted(&mut peer, submit(&json!({}))).await;
    assert_eq!(code(&refused), "INTERNAL_ERROR");
    assert!(began.elapsed() <= 4 * SECOND, "{:?}", began.elapsed());
    sleep(90 * SECOND).await;
    // After 0, 0.25, 0.75, 1.75 and 3.75 seconds.
    assert_eq!(states(&*store).await, [CredentialState::Revoked; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_gets_the_same_credential_while_it_is_in_force_and_costs_no_second_one() {
    let stores: [Option<Arc<dyn Store>>; 2] = [Some(lasting()), kept().pop()];
    for store in stores {
        let vault = Vault::default();
        let server = keyed_server(store, vault.provisioner(), &bounds()).await;
        let mut peer = server.open(ALICE, &wanting()).await;
        let mut payload = submit(&json!({ "seconds": 10 }));
        payload["idempotency_key"] = json!("once");
        let first = accepted(&mut peer, payload.clone()).await;
        let mut other = server.open(ALICE, &wanting()).await;
        let again = accepted(&mut other, payload.clone()).await;
        assert!(value_of(&first).starts_with(CANARY));
        assert_eq!(again["payload"]["credentials"], first["payload"]["credentials"]);
        // Without the feature there is nothing to read it with.
        let mut plain = server.open(ALICE, &arcp_tests::sessions::FEATURES).await;
        assert!(accepted(&mut plain, payload.clone()).await["payload"].get("credentials").is_none());
        peer.job(&job_of(&first)).await;
        let late = accepted(&mut other, payload).await;
        assert_eq!(late["job_id"], first["job_id"]);
        assert!(late["payload"].get("credentials").is_none(), "it is not in force any more");
        assert_eq!(vault.issued().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn of_repeats_at_the_same_time_one_gets_a_job_and_what_was_issued_for_the_others_is_revoked() {
    let stores: [Option<Arc<dyn Store>>; 2] = [None, Some(lasting())];
    for store in stores {
        let vault = Vault::default();
        let server = keyed_server(store, vault.provisioner(), &bounds()).await;
        let mut payload = submit(&json!({ "seconds": 30 }));
        payload["idempotency_key"] = json!("once");
        let mut peers = Vec::new();
        for _ in 0..4 {
            vault.plan_issue(Fault::Slow(2 * SECOND));
            let mut peer = server.open(ALICE, &wanting()).await;
            let id = peer.send("job.submit", payload.clone()).await;
            peers.push((peer, id));
        }
        let mut jobs = Vec::new();
        for (peer, id) in &mut peers {
            jobs.push(job_of(&peer.reply(id).await));
        }
        assert!(jobs.iter().all(|job| *job == jobs[0]));
        sleep(5 * SECOND).await;
        assert_eq!((vault.issued().len(), vault.live().len()), (4, 1));
        peers[0].0.job(&jobs[0]).await;
        assert!(vault.live().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn p12_bad_input_60_t106_a_service_that_fails_for_ever_is_asked_for_a_day_and_then_an_operator_finds_the_credential()
 {
    let (vault, store, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    vault.revoke_always(Some(Fault::Transient));
    let job = job_of(&accepted(&mut peer, submit(&json!({}))).await);
    peer.job(&job).await;
    sleep(23 * 3600 * SECOND).await;
    let row = ledger(&*store).await.pop().unwrap();
    assert_eq!(row.state, CredentialState::Revoking);
    assert_eq!(row.error.as_deref(), Some("500 Internal Server Error"));
    sleep(2 * 3600 * SECOND).await;
    let row = ledger(&*store).await.pop().unwrap();
    assert_eq!((row.state, row.due, row.job.as_str()), (CredentialState::Stuck, None, job.as_str()));
    // Waits grow to five minutes, and so tries are few.
    assert!((288..700).contains(&row.tries), "{}", row.tries);
    let asked = vault.asked_to_revoke();
    sleep(24 * 3600 * SECOND).await;
    assert_eq!(vault.asked_to_revoke(), asked, "nobody asks any more");

    // Once somebody has seen to it, a restart is enough.
    drop((peer, server));
    vault.revoke_always(None);
    let _server = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
    sleep(SECOND).await;
    assert_eq!(states(&*store).await, [CredentialState::Revoked]);
    assert!(vault.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn s45_t106_a_revocation_that_is_refused_for_good_is_stuck_at_once_and_audited() {
    let flaky = lasting();
    let store: Arc<dyn Store> = flaky.clone();
    let vault = Vault::default();
    let server = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    vault.plan_revoke(Fault::Permanent);
    let job = job_of(&accepted(&mut peer, submit(&json!({}))).await);
    peer.job(&job).await;
    sleep(SECOND).await;
    assert_eq!(states(&*store).await, [CredentialState::Stuck]);
    let audit: Vec<Value> = flaky
        .inner()
        .audit()
        .iter()
        .map(|(_, record)| serde_json::from_str(record.as_str()).unwrap())
        .collect();
    assert_eq!(audit.len(), 1);
    assert_eq!((&audit[0]["what"], &audit[0]["job"]), (&json!("credential.stuck"), &json!(job)));
    assert_eq!(audit[0]["error"], "403 Forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_when_a_job_ends_keeps_no_credential_in_force() {
    let flaky = lasting();
    let vault = Vault::default();
    let server = keyed_server(Some(flaky.clone()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let job = job_of(&accepted(&mut peer, submit(&json!({ "seconds": 5 }))).await);
    flaky.fail_commits(40, &StoreError::Full);
    sleep(60 * SECOND).await;
    assert!(vault.live().is_empty());
    flaky.heal();
    assert!(is_terminal(peer.job(&job).await.last().unwrap()));
    sleep(300 * SECOND).await;
    assert_eq!(states(&*flaky).await, [CredentialState::Revoked]);
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_the_store_did_not_keep_leaves_no_credential_in_force() {
    // Every commit of a submit: the intent, and the job.
    for at in 0..2 {
        for failure in [StoreError::Full, StoreError::Unknown] {
            for done in [false, true] {
                let flaky = lasting();
                let vault = Vault::default();
                let server = keyed_server(Some(flaky.clone()), vault.provisioner(), &bounds()).await;
                let mut peer = server.open(ALICE, &wanting()).await;
                sleep(SECOND).await;
                (0..at).for_each(|_| flaky.plan_commit(Step::pass()));
                let step = || if done { Step::after(failure.clone()) } else { Step::before(failure.clone()) };
                (0..8).for_each(|_| flaky.plan_commit(step()));
                let answer = accepted(&mut peer, submit(&json!({}))).await;
                flaky.heal();
                sleep(180 * SECOND).await;
                assert!(vault.live().is_empty(), "{at} {failure:?} {done}: {answer}");
                let open = states(&*flaky).await;
                assert!(open.iter().all(|state| *state == CredentialState::Revoked), "{open:?}");
                peer.works().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t107_what_is_issued_for_a_session_that_dies_or_is_closed_meanwhile_is_revoked() {
    let faults =
        [Fault::Slow(3 * SECOND), Fault::Late(3 * SECOND), Fault::LostReply, Fault::Hang, Fault::Transient];
    for (fault, closes) in faults.into_iter().flat_map(|fault| [(fault, false), (fault, true)]) {
        let (vault, store, server) = keyed(&bounds()).await;
        let mut peer = server.open(ALICE, &wanting()).await;
        vault.plan_issue(fault);
        peer.send("job.submit", submit(&json!({ "seconds": 1 }))).await;
        if closes {
            peer.send("session.close", json!({})).await;
        } else {
            sleep(SECOND / 10).await;
        }
        drop(peer);
        sleep(180 * SECOND).await;
        assert!(vault.live().is_empty(), "{fault:?}, {closes}: {:?}", vault.live());
        let states = states(&*store).await;
        let over = states.iter().all(|state| *state == CredentialState::Revoked);
        assert!(over && !states.is_empty(), "{fault:?}, {closes}: {states:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t107_what_is_issued_for_a_child_whose_parent_is_cancelled_meanwhile_is_revoked() {
    for fault in [Fault::Slow(3 * SECOND), Fault::Late(3 * SECOND), Fault::Hang] {
        let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
        let builder = actor(keyed_agents(Runtime::builder())).config(bounds());
        let builder = builder.credentials("openai", vault.provisioner()).store(store.clone());
        let runtime = builder.open().await.unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &bounds());
        let mut peer = server.open(ALICE, &wanting()).await;
        vault.plan_issue(fault);
        let steps = json!([{ "delegate": ["keyed", { "seconds": 600 }, {}] }]);
        let lease = json!({ "agent.delegate": ["keyed"] });
        let job = peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": lease })).await;
        sleep(SECOND).await;
        assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
        assert_eq!(code(peer.job(&job).await.last().unwrap()), "CANCELLED");
        sleep(180 * SECOND).await;
        assert!(vault.live().is_empty(), "{fault:?}: {:?}", vault.live());
        let states = states(&*store).await;
        assert!(
            !states.is_empty() && states.iter().all(|state| *state == CredentialState::Revoked),
            "{states:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_service_has_under_the_runtimes_names_and_no_job_has_is_revoked() {
    let (vault, store, server) = keyed(&bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let job = job_of(&accepted(&mut peer, submit(&json!({ "seconds": 7200 }))).await);
    let name = ledger(&*store).await[0].name.clone();
    let stray = format!("{}{}", &name[..name.len() - 26], "0".repeat(26));
    vault.put(&stray);
    vault.put("arcp-somebodyelse-1");
    sleep(3700 * SECOND).await;
    let live = vault.live();
    assert!(!live.contains_key(&stray), "{live:?}");
    assert!(live.contains_key("arcp-somebodyelse-1"), "the key of another store");
    assert_eq!(live.len(), 2, "the job's own, and somebody else's");
    peer.job(&job).await;
}

#[tokio::test(start_paused = true)]
async fn p12_s19_credentials_are_for_agents_only_where_the_store_is_volatile_or_the_transport_is_not_private()
{
    let volatile: Arc<dyn Store> = Arc::new(arcp_core::store::MemoryStore::default());
    let open = arcp_tests::timed(|_| {});
    let cases: [(Option<Arc<dyn Store>>, Config); 3] =
        [(None, bounds()), (Some(volatile), bounds()), (Some(lasting()), open)];
    for (store, config) in cases {
        let vault = Vault::default();
        let server = keyed_server(store, vault.provisioner(), &config).await;
        let mut peer = server.connect();
        let welcome = peer.hello(ALICE, &wanting()).await;
        let features = welcome["payload"]["capabilities"]["features"].to_string();
        assert!(!features.contains("provisioned_credentials"), "{features}");
        let answer = accepted(&mut peer, submit(&json!({ "rotate": 1 }))).await;
        assert!(answer["payload"].get("credentials").is_none());
        let frames = peer.job(&job_of(&answer)).await;
        assert_eq!(frames.last().unwrap()["payload"]["result"]["count"], 1);
        assert!(
            !frames.iter().any(|frame| frame.to_string().contains("credential_rotated")),
            "it was not negotiated"
        );
        assert!(vault.live().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_advertised_where_there_is_somebody_who_issues_them() {
    let (_, _, server) = keyed(&bounds()).await;
    let mut peer = server.connect();
    let welcome = peer.hello(ALICE, &wanting()).await;
    assert!(welcome["payload"]["capabilities"]["features"].to_string().contains("provisioned_credentials"));
    let server = arcp_tests::sessions::start(Some(lasting()), &bounds()).await;
    let welcome = server.connect().hello(ALICE, &wanting()).await;
    assert!(!welcome["payload"]["capabilities"]["features"].to_string().contains("provisioned_credentials"));
}

#[tokio::test(start_paused = true)]
async fn s41_a_runtime_says_nothing_of_its_secrets_when_it_is_printed() {
    let vault = Vault::default();
    let runtime = keyed_runtime(Some(lasting()), vault.provisioner(), &bounds()).await;
    assert!(!format!("{runtime:?}").contains(CANARY));
}
