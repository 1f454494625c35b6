//! A server with a vault, and what its ledger says.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{CredentialQuery, CredentialRow, CredentialState, Store};
use arcp_core::transport::Memory;
use arcp_tests::sessions::Stack;
use arcp_tests::vault::{Vault, keyed_server, lasting};
use arcp_tests::{Memories, Peer};
use arcp_tower::Config;
use serde_json::{Value, json};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A vault, a store that outlives its processes, and a server on both.
pub(crate) async fn keyed(config: &Config) -> (Vault, Arc<dyn Store>, Memories<Stack>) {
    let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
    let server = keyed_server(Some(store.clone()), vault.provisioner(), config).await;
    (vault, store, server)
}

pub(crate) async fn accepted(peer: &mut Peer<Memory>, payload: Value) -> Value {
    let id = peer.send("job.submit", payload).await;
    peer.reply(&id).await
}

pub(crate) fn submit(input: &Value) -> Value {
    json!({ "agent": "keyed", "input": input })
}

pub(crate) fn job_of(accepted: &Value) -> String {
    assert_eq!(accepted["type"], "job.accepted", "{accepted}");
    accepted["job_id"].as_str().unwrap().to_owned()
}

pub(crate) fn value_of(accepted: &Value) -> &str {
    accepted["payload"]["credentials"][0]["value"].as_str().unwrap_or_default()
}

pub(crate) async fn ledger(store: &dyn Store) -> Vec<CredentialRow> {
    store.credentials(CredentialQuery::All { after: None, limit: 1000 }).await.unwrap().items
}

pub(crate) async fn states(store: &dyn Store) -> Vec<CredentialState> {
    ledger(store).await.into_iter().map(|row| row.state).collect()
}
