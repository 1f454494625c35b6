//! Provisioned credentials (§9.8) are revoked when their job ends, whatever fails meanwhile.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::Step;
use arcp_core::store::{CredentialState, Store, StoreError};
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::code;
use arcp_tests::vault::{Fault, Vault, bounds, keyed_agents, keyed_server, lasting, wanting};
use arcp_tests::{ALICE, Memories, actor, tokens};
use arcp_tower::{AuthLayer, Runtime};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::credentials::{SECOND, accepted, job_of, keyed, ledger, states, submit};

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
