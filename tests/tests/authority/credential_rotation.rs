//! Rotated credentials (§9.8.2): a new value under the same id, for the submitter only, and the old
//! one revoked promptly.

use std::sync::Arc;
use std::time::Duration;

use arcp_client::{Client, JobHandle};
use arcp_core::store::flaky::Step;
use arcp_core::store::{CredentialQuery, CredentialState, Store, StoreError};
use arcp_core::transport::Memory;
use arcp_tests::sessions::resume;
use arcp_tests::vault::{CANARY, Fault, Vault, bounds, keyed_server, lasting, wanting};
use arcp_tests::{ALICE, Peer};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

async fn accepted(peer: &mut Peer<Memory>, input: Value) -> (String, Value) {
    let payload = json!({ "agent": "keyed", "input": input, "idempotency_key": "once" });
    let id = peer.send("job.submit", payload).await;
    let accepted = peer.reply(&id).await;
    (accepted["job_id"].as_str().unwrap().to_owned(), accepted["payload"]["credentials"][0].clone())
}

fn rotations(frames: &[Value]) -> Vec<&Value> {
    let bodies = frames.iter().map(|frame| &frame["payload"]["body"]);
    bodies.filter(|body| body["phase"] == "credential_rotated").collect()
}

#[tokio::test(start_paused = true)]
async fn t105_the_submitter_is_told_the_new_value_and_the_old_one_is_revoked_promptly() {
    let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
    let server = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, first) = accepted(&mut peer, json!({ "rotate": 2, "seconds": 5 })).await;
    sleep(4 * SECOND).await;
    assert_eq!(vault.live().into_values().collect::<Vec<_>>(), [format!("{CANARY}3")]);
    assert_eq!(vault.revoked().len(), 2);
    let frames = peer.job(&job).await;
    let rotations = rotations(&frames);
    assert_eq!(rotations.len(), 2);
    for rotation in &rotations {
        assert_eq!(rotation["id"], first["id"], "the id stays");
        // The draft's form, and beside it what other clients read.
        assert_eq!(rotation["details"], json!({ "id": first["id"], "value": rotation["value"] }));
        assert_eq!(
            (&rotation["credential_id"], &rotation["credential_value"]),
            (&first["id"], &rotation["value"])
        );
    }
    assert_eq!(rotations[0]["value"], format!("{CANARY}2"));
    assert_eq!(rotations[1]["value"], format!("{CANARY}3"));
    assert_eq!(frames.last().unwrap()["payload"]["result"], json!({ "count": 1, "same": 0 }));
    assert!(vault.live().is_empty());
    // One took the place of the other, at the service too.
    let issued = vault.issued();
    assert_eq!(issued[1].replaces.as_ref().unwrap().name, issued[0].name);
    assert!(issued[1].name != issued[0].name && issued[1].credential == issued[0].credential);
}

#[tokio::test(start_paused = true)]
async fn our_own_client_is_told_in_the_drafts_form() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.connect();
    let mut hello = arcp_tests::features(ALICE, &wanting());
    hello["capabilities"]["x-vendor.arcp.profile"] = json!("draft");
    let welcome = peer.say_hello(hello).await;
    peer.welcomed(welcome);
    let (job, first) = accepted(&mut peer, json!({ "rotate": 1 })).await;
    let frames = peer.job(&job).await;
    let body = rotations(&frames)[0];
    assert_eq!(
        *body,
        json!({ "phase": "credential_rotated", "id": first["id"], "value": format!("{CANARY}2") })
    );
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_that_there_is_a_new_value_and_not_which() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, first) = accepted(&mut peer, json!({ "rotate": 2, "seconds": 5 })).await;
    let mut watcher = server.open(ALICE, &wanting()).await;
    watcher.subscribe(&job, true).await;
    sleep(2 * SECOND).await;
    let mut late = server.open(ALICE, &wanting()).await;
    late.subscribe(&job, true).await;
    for peer in [&mut watcher, &mut late] {
        let frames = peer.job(&job).await;
        let rotations = rotations(&frames);
        assert_eq!(rotations.len(), 2);
        for body in rotations {
            assert_eq!(*body, json!({ "phase": "credential_rotated", "id": first["id"] }));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_repeats_the_submit_is_given_the_value_in_force_and_told_the_next() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, first) = accepted(&mut peer, json!({ "rotate": 3, "seconds": 5 })).await;
    sleep(Duration::from_millis(1500)).await;
    let mut other = server.open(ALICE, &wanting()).await;
    let (_, second) = accepted(&mut other, json!({ "rotate": 3, "seconds": 5 })).await;
    assert_eq!(
        (&second["id"], second["value"].as_str()),
        (&first["id"], Some(format!("{CANARY}2").as_str()))
    );
    let frames = other.job(&job).await;
    let values: Vec<_> =
        rotations(&frames).iter().map(|body| body["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(values, [format!("{CANARY}3"), format!("{CANARY}4")]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_shows_the_value_in_force_while_the_job_runs_and_none_afterwards() {
    let vault = Vault::default();
    let store: Arc<dyn Store> = lasting();
    let server = keyed_server(Some(store), vault.provisioner(), &bounds()).await;
    let mut peer = server.connect();
    let mut welcome = peer.hello(ALICE, &wanting()).await;
    let (job, first) = accepted(&mut peer, json!({ "rotate": 2, "seconds": 20 })).await;
    sleep(4 * SECOND).await;
    for (wait, value) in [(Duration::ZERO, json!(format!("{CANARY}3"))), (30 * SECOND, Value::Null)] {
        drop(peer);
        sleep(wait).await;
        let mut hello = resume(ALICE, &welcome, 0);
        hello["capabilities"]["features"] = json!(wanting());
        peer = server.connect();
        welcome = peer.say_hello(hello).await;
        peer.welcomed(welcome.clone());
        let frames = peer.during(SECOND).await;
        let rotations = rotations(&frames);
        assert_eq!(rotations.len(), 2, "{frames:?}");
        for body in rotations {
            assert_eq!((&body["id"], &body["value"]), (&first["id"], &value));
        }
    }
    assert!(!job.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_fails_leaves_the_old_value_in_force() {
    for fault in [Fault::Transient, Fault::Hang, Fault::LostReply, Fault::Budget] {
        let vault = Vault::default();
        let store: Arc<dyn Store> = lasting();
        let server = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
        let mut peer = server.open(ALICE, &wanting()).await;
        let (job, _) = accepted(&mut peer, json!({ "rotate": 1, "seconds": 60 })).await;
        vault.plan_issue(fault);
        // The agent gives up with the rotation.
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["type"], "job.error", "{fault:?}");
        assert!(rotations(std::slice::from_ref(&end)).is_empty());
        sleep(60 * SECOND).await;
        assert!(vault.live().is_empty(), "{fault:?}");
        sleep(10 * SECOND).await;
        let rows = store.credentials(CredentialQuery::All { after: None, limit: 10 }).await.unwrap().items;
        assert!(rows.iter().all(|row| row.state == CredentialState::Revoked), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_while_its_credential_is_rotated_leaves_none_in_force() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, _) = accepted(&mut peer, json!({ "rotate": 1, "seconds": 60 })).await;
    vault.plan_issue(Fault::Slow(4 * SECOND));
    sleep(2 * SECOND).await;
    peer.cancel(&job).await;
    peer.job(&job).await;
    sleep(10 * SECOND).await;
    assert_eq!(vault.issued().len(), 2);
    assert!(vault.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_rotate_its_credential_so_often_and_no_oftener() {
    let in_all = bounds().with(|config| config.max_rotations = 2);
    let a_minute = bounds().with(|config| config.rotation_rate = 2);
    for config in [in_all, a_minute] {
        let vault = Vault::default();
        let server = keyed_server(Some(lasting()), vault.provisioner(), &config).await;
        let mut peer = server.open(ALICE, &wanting()).await;
        let (job, _) = accepted(&mut peer, json!({ "rotate": 3 })).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["payload"]["code"], "INTERNAL_ERROR", "{end}");
        assert_eq!(end["payload"]["details"]["reason"], "limit", "{end}");
        assert_eq!(vault.issued().len(), 3, "the first one, and two more");
        sleep(10 * SECOND).await;
        assert!(vault.live().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_rotates_by_itself_counts_for_no_agent() {
    let vault = Vault::default();
    let config = bounds().with(|config| config.max_rotations = 0);
    let server = keyed_server(Some(lasting()), vault.provisioner(), &config).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, _) = accepted(&mut peer, json!({ "seconds": 3 * 3600 })).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["type"], "job.result");
    assert!(vault.issued().len() > 2, "{}", vault.issued().len());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_outlives_its_credential_is_given_another_one_in_time() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, _) = accepted(&mut peer, json!({ "seconds": 3 * 3600 })).await;
    // One that cannot be issued is tried again before the old one ends.
    vault.plan_issue(Fault::Transient);
    let frames = peer.job(&job).await;
    let ends: Vec<_> = vault.issued().iter().map(|issue| (issue.expires_at, issue.ttl)).collect();
    assert!((3..=5).contains(&ends.len()), "{}", ends.len());
    assert!(ends.iter().all(|(_, ttl)| *ttl <= 3600 * SECOND));
    assert_eq!(rotations(&frames).len(), ends.len() - 1);
    assert!(vault.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn bad_input_45_an_agent_cannot_announce_a_rotation_itself() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, _) = accepted(&mut peer, json!({ "end": "forge" })).await;
    let frames = peer.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["code"], "INVALID_REQUEST");
    assert!(rotations(&frames).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_at_once_after_a_rotation_has_still_told_its_submitter() {
    let vault = Vault::default();
    let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
    let mut peer = server.open(ALICE, &wanting()).await;
    let (job, first) = accepted(&mut peer, json!({ "rotate": 1 })).await;
    let frames = peer.job(&job).await;
    let told = rotations(&frames);
    assert_eq!((&told[0]["id"], &told[0]["value"]), (&first["id"], &json!(format!("{CANARY}2"))));
    assert!(vault.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_which_the_store_did_not_say_whether_it_was_kept_is_what_the_store_says_later() {
    for applied in [true, false] {
        let (vault, store) = (Vault::default(), lasting());
        let server = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
        let mut peer = server.open(ALICE, &wanting()).await;
        let (job, _) = accepted(&mut peer, json!({ "rotate": 1, "seconds": 60 })).await;
        sleep(SECOND / 2).await;
        // The intent, and then the rotation itself, which is tried eight times.
        store.plan_commit(Step::pass());
        let step = if applied { Step::after } else { Step::before };
        store.plan_commit(step(StoreError::Unknown));
        store.fail_commits(7, &StoreError::Unavailable { retry_after: SECOND });
        store.fail_reads(3, &StoreError::Unavailable { retry_after: SECOND });
        sleep(30 * SECOND).await;
        let live: Vec<_> = vault.live().into_values().collect();
        let frames = peer.job(&job).await;
        assert_eq!(rotations(&frames).len(), usize::from(applied));
        if applied {
            assert_eq!(live, [format!("{CANARY}2")]);
            assert_eq!(frames.last().unwrap()["payload"]["result"], json!({ "count": 1, "same": 0 }));
        } else {
            // The agent was told that it failed, and gave up.
            assert_eq!(frames.last().unwrap()["payload"]["details"]["reason"], "store");
        }
        assert!(vault.live().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_client_has_the_value_in_force_if_it_asked_for_credentials_and_none_otherwise() {
    for asks in [true, false] {
        let vault = Vault::default();
        let server = keyed_server(Some(lasting()), vault.provisioner(), &bounds()).await;
        let builder = Client::over(server.transport(64).0).token(ALICE);
        let builder = if asks { builder.credentials() } else { builder };
        let client = builder.connect().await.unwrap();
        let submit = client.submit("keyed").input(&json!({ "rotate": 2, "seconds": 1 }));
        let mut job = submit.send().await.unwrap();
        let value = |job: &JobHandle| job.credentials().first().map(|key| key.value.expose().to_owned());
        assert_eq!(value(&job), asks.then(|| format!("{CANARY}1")));
        let mut said = Vec::new();
        while let Some(event) = job.next().await {
            let event = event.unwrap();
            assert!(!format!("{event:?} {job:?}").contains(CANARY), "no log has it");
            said.extend(event.rotated().map(|_| value(&job)));
        }
        let values = asks.then(|| [2, 3].map(|n| Some(format!("{CANARY}{n}"))).to_vec());
        assert_eq!(said, values.unwrap_or_default());
        job.result().await.unwrap();
    }
}
