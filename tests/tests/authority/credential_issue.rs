//! Provisioned credentials (§9.8) are there before their job is accepted, or the job is not.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{CredentialState, Store};
use arcp_tests::ALICE;
use arcp_tests::sessions::code;
use arcp_tests::stores::kept;
use arcp_tests::vault::{CANARY, Fault, Vault, bounds, keyed_runtime, keyed_server, lasting, wanting};
use arcp_tower::Config;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::credentials::{SECOND, accepted, job_of, keyed, states, submit, value_of};

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
