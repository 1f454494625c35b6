//! Credentials and processes that are killed (§14): after a restart nothing is in force that no job
//! has.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::Step;
use arcp_core::store::{CredentialQuery, CredentialState, Store};
use arcp_tests::sessions::resume;
use arcp_tests::vault::{CANARY, Fault, Vault, bounds, keyed_agents, keyed_server, lasting, wanting};
use arcp_tests::{ALICE, Memories, Process, tokens};
use arcp_tower::{AuthLayer, Job, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

async fn states(store: &dyn Store) -> Vec<CredentialState> {
    let rows = store.credentials(CredentialQuery::All { after: None, limit: 1000 }).await.unwrap().items;
    rows.into_iter().map(|row| row.state).collect()
}

/// Submits a job that rotates its credential and ends, as far as that comes in eight seconds; and
/// whether its end was seen.
async fn live(server: &Memories<arcp_tests::sessions::Stack>) -> bool {
    let mut peer = server.connect();
    peer.send("session.hello", arcp_tests::features(ALICE, &wanting())).await;
    let welcomed = peer.during(SECOND).await;
    if welcomed.is_empty() {
        return false;
    }
    let input = json!({ "rotate": 1, "seconds": 1 });
    peer.send("job.submit", json!({ "agent": "keyed", "input": input })).await;
    peer.during(8 * SECOND).await.iter().any(arcp_tests::peer::is_terminal)
}

#[tokio::test(start_paused = true)]
async fn p11_a_kill_at_any_commit_leaves_nothing_in_force_a_minute_after_the_restart() {
    let undisturbed = lasting();
    let server = keyed_server(Some(undisturbed.clone()), Vault::default().provisioner(), &bounds()).await;
    assert!(live(&server).await);
    let commits = usize::try_from(undisturbed.calls().commits).unwrap();
    drop(server);
    assert!(commits > 10, "{commits} commits");
    // Before the commit is done, and when it is done and nobody has heard of it.
    for (at, done) in (0..commits).flat_map(|at| [(at, false), (at, true)]) {
        let (vault, flaky) = (Vault::default(), lasting());
        let store: Arc<dyn Store> = flaky.clone();
        let (process, killed) = (Arc::new(Process::of(store.clone())), CancellationToken::new());
        let before = keyed_server(Some(process.clone()), vault.of_process(killed.clone()), &bounds()).await;
        (0..at).for_each(|_| flaky.plan_commit(Step::pass()));
        let (step, _hold) = if done { Step::pass().answer_held() } else { Step::pass().held() };
        flaky.plan_commit(step);
        live(&before).await;
        process.kill();
        killed.cancel();
        drop(before);
        flaky.heal();

        let _after = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
        sleep(60 * SECOND).await;
        assert!(vault.live().is_empty(), "commit {at}, {done}: {:?}", vault.live());
        sleep(10 * SECOND).await;
        let states = states(&*store).await;
        let over = states.iter().all(|state| *state == CredentialState::Revoked);
        assert!(over, "commit {at}, {done}: {states:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_60_a_kill_while_the_service_is_asked_leaves_nothing_in_force() {
    // Between issue and record: it is done and nobody heard of it, or is done later still.
    for fault in [Fault::Slow(2 * SECOND), Fault::Late(2 * SECOND), Fault::Late(20 * SECOND), Fault::Hang] {
        let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
        let (process, killed) = (Arc::new(Process::of(store.clone())), CancellationToken::new());
        let before = keyed_server(Some(process.clone()), vault.of_process(killed.clone()), &bounds()).await;
        let mut peer = before.open(ALICE, &wanting()).await;
        vault.plan_issue(fault);
        peer.send("job.submit", json!({ "agent": "keyed", "input": {} })).await;
        sleep(SECOND).await;
        process.kill();
        killed.cancel();
        drop((peer, before));
        let _after = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
        sleep(61 * SECOND).await;
        assert!(vault.live().is_empty(), "{fault:?}");
        assert_eq!(states(&*store).await, [CredentialState::Revoked], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p12_t106_a_kill_between_the_end_of_a_job_and_its_revocation_leaves_nothing_in_force() {
    let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
    let (process, killed) = (Arc::new(Process::of(store.clone())), CancellationToken::new());
    let before = keyed_server(Some(process.clone()), vault.of_process(killed.clone()), &bounds()).await;
    let mut peer = before.open(ALICE, &wanting()).await;
    vault.revoke_always(Some(Fault::Transient));
    let job = peer.submit("keyed", json!({})).await;
    assert_eq!(peer.job(&job).await.last().unwrap()["type"], "job.result");
    process.kill();
    killed.cancel();
    drop((peer, before));
    assert_eq!(vault.live().len(), 1);
    // It is a while until the service is back, and a restart later.
    let middle = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
    sleep(600 * SECOND).await;
    assert_eq!((vault.live().len(), states(&*store).await), (1, vec![CredentialState::Revoking]));
    drop(middle);
    vault.revoke_always(None);
    let _after = keyed_server(Some(store.clone()), vault.provisioner(), &bounds()).await;
    sleep(SECOND).await;
    assert!(vault.live().is_empty());
    assert_eq!(states(&*store).await, [CredentialState::Revoked]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_again_goes_on_with_the_credential_that_its_submitter_was_given() {
    let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
    let again = |store: Arc<dyn Store>, provisioner| async move {
        let keys = |seconds: u64, job: Job| async move {
            sleep(Duration::from_secs(seconds)).await;
            let values: Vec<_> = job.credentials().iter().map(|c| c.value.expose().len()).collect();
            Ok(values)
        };
        let builder = keyed_agents(Runtime::builder()).restartable_agent("keyed.again", agent_fn(keys));
        let builder = builder.config(bounds()).credentials("openai", provisioner).store(store);
        let runtime = builder.credential_key("the operator's").open().await.unwrap();
        Memories::of(runtime.layer(AuthLayer::new(tokens())), &bounds())
    };
    let (process, killed) = (Arc::new(Process::of(store.clone())), CancellationToken::new());
    let before = again(process.clone(), vault.of_process(killed.clone())).await;
    let mut peer = before.connect();
    let welcome = peer.hello(ALICE, &wanting()).await;
    let payload = json!({ "agent": "keyed.again", "input": 100, "idempotency_key": "once" });
    let id = peer.send("job.submit", payload.clone()).await;
    let first = peer.reply(&id).await;
    sleep(SECOND).await;
    process.kill();
    killed.cancel();
    drop((peer, before));

    let after = again(store.clone(), vault.provisioner()).await;
    sleep(30 * SECOND).await;
    assert_eq!((vault.live().len(), vault.issued().len()), (1, 1));
    let mut peer = after.connect();
    let mut hello: Value = resume(ALICE, &welcome, 0);
    hello["capabilities"]["features"] = json!(wanting());
    let welcome = peer.say_hello(hello).await;
    peer.welcomed(welcome);
    let id = peer.send("job.submit", payload).await;
    let second = peer.reply(&id).await;
    assert_eq!(second["payload"]["credentials"], first["payload"]["credentials"]);
    assert_eq!(second["payload"]["credentials"][0]["value"], format!("{CANARY}1"));
    let job = first["job_id"].as_str().unwrap();
    assert_eq!(peer.job(job).await.last().unwrap()["payload"]["result"], json!([CANARY.len() + 1]));
    assert!(vault.live().is_empty());
}
