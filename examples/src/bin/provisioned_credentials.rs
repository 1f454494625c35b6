//! A key for one job (§9.8): issued before the job is accepted, worth no more than its lease, and revoked
//! when the job ends. The gateway here is made up; `arcp_tower::provision` has one for keys of a gateway.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arcp_client::Client;
use arcp_examples::{Done, serve_with};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::credential::{Handle, Issue, Issued, ProvisionFuture, Revocation, Secret};
use arcp_tower::{Config, CredentialProvisioner, Job, Runtime, agent_fn};

/// Which keys are in force.
#[derive(Debug, Clone, Default)]
struct Gateway(Arc<Mutex<BTreeSet<String>>>);

impl Gateway {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl CredentialProvisioner for Gateway {
    fn covers(&self, _: &Issue) -> bool {
        true
    }

    fn issue<'a>(&'a self, issue: &'a Issue) -> ProvisionFuture<'a, Issued> {
        self.with(|keys| keys.insert(issue.name.clone()));
        let key = Issued::bearer(Secret::new("sk-of-this-job"), "https://gateway.example/v1");
        let key = key.with_constraints(issue.constraints());
        Box::pin(async move { Ok(key) })
    }

    fn revoke<'a>(&'a self, key: &'a Handle) -> ProvisionFuture<'a, Revocation> {
        let there = self.with(|keys| keys.remove(&key.name));
        Box::pin(async move { Ok(if there { Revocation::Done } else { Revocation::Absent }) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ProvisionFuture<'a, Vec<Handle>> {
        let named = |name: &&String| name.starts_with(prefix);
        let keys = self.with(|keys| keys.iter().filter(named).map(|name| Handle::new(name, None)).collect());
        Box::pin(async move { Ok(keys) })
    }
}

#[tokio::main]
async fn main() -> Done {
    let gateway = Gateway::default();
    let agent = agent_fn(|(): (), job: Job| async move {
        let keys = job.credentials();
        let key = keys.first().ok_or("no key")?;
        // `Debug` does not show it.
        println!("the agent has {:?} for {}", key.value, key.endpoint);
        Ok(key.value.expose().len())
    });
    let dir = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default())?);
    let runtime = Runtime::builder().agent("agent", agent).credentials("openai", gateway.clone());
    // Over TLS that need not be said; here nothing leaves the machine.
    let config = Config::default().with(|config| config.private_transport = true);
    let url = serve_with(runtime.store(store), config).await?;

    // A client that has no use for secrets is not sent any.
    let client = Client::builder(&url).token("secret").credentials().connect().await?;
    let submission = client.submit("agent").lease("model.use", ["tier-fast/*"]);
    let mut job = submission.budget("USD", "1.00").send().await?;
    let key = job.credentials().first().ok_or("no key")?;
    println!("the submitter has {:?} for {}", key.value, key.endpoint);
    println!("length: {}", job.result().await?.decode::<usize>()?);
    println!("keys in force: {}", gateway.with(|keys| keys.len()));
    client.close().await;
    Ok(())
}
