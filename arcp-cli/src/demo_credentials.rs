//! A service for the demonstration: it issues keys that open nothing, and knows which are in force.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arcp_tower::core::id::crockford;
use arcp_tower::credential::{
    CredentialProvisioner, Handle, Issue, Issued, ProvisionError, ProvisionFuture, Revocation, Secret,
};
use arcp_tower::{AgentError, Job};
use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// Keys for jobs of the agent `credential`.
#[derive(Debug, Default)]
pub(crate) struct DemoKeys(Mutex<BTreeSet<String>>);

impl DemoKeys {
    fn live(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generate(&self, issue: &Issue) -> Result<Issued, ProvisionError> {
        let bits = getrandom::u64().map_err(ProvisionError::transient)?;
        let random: String = crockford(bits.into()).iter().skip(13).copied().map(char::from).collect();
        self.live().insert(issue.name.clone());
        let issued = Issued::bearer(Secret::new(format!("sk-demo-{random}")), "http://127.0.0.1:4000/v1");
        Ok(issued.with_constraints(issue.constraints()))
    }
}

impl CredentialProvisioner for DemoKeys {
    fn covers(&self, issue: &Issue) -> bool {
        issue.agent.starts_with("credential@")
    }

    fn issue<'a>(&'a self, issue: &'a Issue) -> ProvisionFuture<'a, Issued> {
        async { self.generate(issue) }.boxed()
    }

    fn revoke<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Revocation> {
        let there = self.live().remove(&handle.name);
        async move { Ok(if there { Revocation::Done } else { Revocation::Absent }) }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ProvisionFuture<'a, Vec<Handle>> {
        let live = self.live();
        let named = live.iter().filter(|name| name.starts_with(prefix));
        let handles: Vec<_> = named.map(|name| Handle::new(name.as_str(), None)).collect();
        async move { Ok(handles) }.boxed()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Input {
    rotate: bool,
}

/// `credential`: how many credentials its job has; the first one is rotated if that is asked for.
pub(crate) async fn credential(input: Option<Input>, job: Job) -> Result<Value, AgentError> {
    let credentials = job.credentials();
    if let (true, Some(first)) = (input.unwrap_or_default().rotate, credentials.first()) {
        job.rotate_credential(&first.id).await?;
    }
    Ok(json!({ "count": credentials.len() }))
}
