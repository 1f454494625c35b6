//! A service that issues credentials, as it looks to itself: it keeps what is in force, and fails when
//! it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arcp_core::money::{Amount, Currency};
use arcp_core::store::Store;
use arcp_core::store::flaky::FlakyStore;
use arcp_core::store::{Durability, MemoryStore};
use arcp_tower::credential::{
    CredentialProvisioner, Handle, Issue, Issued, ProvisionError, ProvisionFuture, Revocation, Secret,
};
use arcp_tower::{AgentError, AuthLayer, Builder, Config, Job, Runtime, agent_fn};
use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::sessions::{FEATURES, Stack};
use crate::{Memories, agents, timed, tokens};

/// What every secret of a vault begins with.
pub const CANARY: &str = "sk-canary-";

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing is done.
    Transient,
    /// The same, and will always.
    Permanent,
    /// There is no money left.
    Budget,
    /// It never answers, and nothing is done.
    Hang,
    /// It is done, after a while.
    Slow(Duration),
    /// It is done, and fails.
    LostReply,
    /// It is done after a while, and who asked need not be there any more.
    Late(Duration),
}

/// The service.
#[derive(Debug, Clone, Default)]
pub struct Vault(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    live: BTreeMap<String, String>,
    issued: Vec<Issue>,
    revoked: Vec<(Instant, String)>,
    asked_to_revoke: usize,
    issue: VecDeque<Fault>,
    issue_always: Option<Fault>,
    revoke: VecDeque<Fault>,
    revoke_always: Option<Fault>,
    spent: BTreeMap<String, Amount>,
    spent_always: Option<Fault>,
}

impl Vault {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What is in force, by name.
    pub fn live(&self) -> BTreeMap<String, String> {
        self.state().live.clone()
    }

    /// What was issued, from the beginning.
    pub fn issued(&self) -> Vec<Issue> {
        self.state().issued.clone()
    }

    /// What was revoked, and when.
    pub fn revoked(&self) -> Vec<(Instant, String)> {
        self.state().revoked.clone()
    }

    /// How often it was asked to revoke something.
    pub fn asked_to_revoke(&self) -> usize {
        self.state().asked_to_revoke
    }

    /// What becomes of the next call to issue that has no plan yet.
    pub fn plan_issue(&self, fault: Fault) {
        self.state().issue.push_back(fault);
    }

    /// What becomes of every call to issue that has no plan.
    pub fn issue_always(&self, fault: Option<Fault>) {
        self.state().issue_always = fault;
    }

    /// What becomes of the next call to revoke that has no plan yet.
    pub fn plan_revoke(&self, fault: Fault) {
        self.state().revoke.push_back(fault);
    }

    /// What becomes of every call to revoke.
    pub fn revoke_always(&self, fault: Option<Fault>) {
        self.state().revoke_always = fault;
    }

    /// Dollars are spent with each credential that is in force, for everybody's agents.
    pub fn spend(&self, dollars: &str) {
        let mut state = self.state();
        let live: Vec<_> = state.live.keys().cloned().collect();
        for name in live {
            let spent = state.spent.entry(name).or_default();
            *spent = spent.checked_add(dollars.parse().unwrap()).unwrap();
        }
    }

    /// What becomes of every question after what was spent.
    pub fn ask_spent_always(&self, fault: Option<Fault>) {
        self.state().spent_always = fault;
    }

    /// Somebody puts a credential there, or one comes to light.
    pub fn put(&self, name: &str) {
        self.state().live.insert(name.to_owned(), String::new());
    }

    /// Somebody revokes everything by hand.
    pub fn clear(&self) {
        self.state().live.clear();
    }

    /// A provisioner of a process, which asks for nothing more once it is killed.
    pub fn of_process(&self, killed: CancellationToken) -> Provisioner {
        Provisioner { vault: self.clone(), killed }
    }

    /// A provisioner.
    pub fn provisioner(&self) -> Provisioner {
        self.of_process(CancellationToken::new())
    }

    fn create(&self, issue: &Issue) -> Issued {
        let mut state = self.state();
        state.issued.push(issue.clone());
        let value = format!("{CANARY}{}", state.issued.len());
        state.live.insert(issue.name.clone(), value.clone());
        Issued::bearer(Secret::new(value), "https://vault.example/v1").with_constraints(issue.constraints())
    }

    fn delete(&self, name: &str) -> Revocation {
        let mut state = self.state();
        if state.live.remove(name).is_none() {
            return Revocation::Absent;
        }
        state.revoked.push((Instant::now(), name.to_owned()));
        Revocation::Done
    }

    /// Plays a fault around `work`.
    async fn play<T: Send + 'static>(
        fault: Option<Fault>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProvisionError> {
        match fault {
            None => Ok(work()),
            Some(Fault::Transient) => Err(ProvisionError::transient("500 Internal Server Error")),
            Some(Fault::Permanent) => Err(ProvisionError::permanent("403 Forbidden")),
            Some(Fault::Budget) => Err(ProvisionError::budget_exhausted("budget_exceeded")),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Slow(wait)) => {
                sleep(wait).await;
                Ok(work())
            }
            Some(Fault::LostReply) => {
                drop(work());
                Err(ProvisionError::transient("the connection was lost"))
            }
            Some(Fault::Late(wait)) => {
                tokio::spawn(async move {
                    sleep(wait).await;
                    drop(work());
                });
                std::future::pending().await
            }
        }
    }
}

/// What a runtime asks a [`Vault`] with.
#[derive(Debug, Clone)]
pub struct Provisioner {
    vault: Vault,
    killed: CancellationToken,
}

impl Provisioner {
    async fn alive<T>(&self, work: impl Future<Output = T>) -> T {
        match self.killed.run_until_cancelled(work).await {
            Some(done) if !self.killed.is_cancelled() => done,
            _ => std::future::pending().await,
        }
    }
}

impl CredentialProvisioner for Provisioner {
    fn covers(&self, issue: &Issue) -> bool {
        issue.agent.starts_with("keyed")
    }

    fn issue<'a>(&'a self, issue: &'a Issue) -> ProvisionFuture<'a, Issued> {
        let (vault, issue) = (self.vault.clone(), issue.clone());
        self.alive(async move {
            let fault = {
                let mut state = vault.state();
                state.issue.pop_front().or(state.issue_always)
            };
            Vault::play(fault, move || vault.create(&issue)).await
        })
        .boxed()
    }

    fn revoke<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Revocation> {
        let (vault, name) = (self.vault.clone(), handle.name.clone());
        self.alive(async move {
            let fault = {
                let mut state = vault.state();
                state.asked_to_revoke += 1;
                state.revoke.pop_front().or(state.revoke_always)
            };
            Vault::play(fault, move || vault.delete(&name)).await
        })
        .boxed()
    }

    fn spent<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Option<BTreeMap<Currency, Amount>>> {
        let (vault, name) = (self.vault.clone(), handle.name.clone());
        self.alive(async move {
            let fault = vault.state().spent_always;
            Vault::play(fault, move || {
                let spent = vault.state().spent.get(&name).copied();
                spent.map(|spent| [("USD".parse().unwrap(), spent)].into())
            })
            .await
        })
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ProvisionFuture<'a, Vec<Handle>> {
        let live = self.vault.live();
        let named = live.into_keys().filter(move |name| name.starts_with(prefix));
        let handles = named.map(|name| Handle::new(name, None)).collect();
        self.alive(async move { Ok(handles) }).boxed()
    }
}

#[derive(Deserialize)]
struct Keyed {
    #[serde(default)]
    rotate: u32,
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    end: Option<String>,
}

/// Rotates its credential so many times, a second apart, runs for so long, and ends as it is told. Its
/// result says how many credentials it had, and how many at the end were the ones that it began with.
async fn keyed(input: Keyed, job: Job) -> Result<Value, AgentError> {
    let first = job.credentials();
    for _ in 0..input.rotate {
        sleep(Duration::from_secs(1)).await;
        job.rotate_credential(&first[0].id).await?;
    }
    tokio::select! {
        () = sleep(Duration::from_secs(input.seconds)) => {}
        () = job.cancelled() => {}
    }
    match input.end.as_deref() {
        Some("panic") => panic!("as it was told"),
        Some("error") => return Err("as it was told".into()),
        Some("forge") => job.status("credential_rotated").await?,
        _ => {}
    }
    let same = job.credentials().iter().filter(|now| first.contains(now)).count();
    Ok(json!({ "count": first.len(), "same": same }))
}

/// All agents, and `keyed`, whose jobs get a credential.
pub fn keyed_agents(builder: Builder) -> Builder {
    agents::all(builder).agent("keyed", agent_fn(keyed))
}

/// What a session negotiates that wants credentials.
pub fn wanting() -> Vec<&'static str> {
    FEATURES.into_iter().chain(["provisioned_credentials"]).collect()
}

/// Bounds with a clock that goes as virtual time does, and a transport that is private.
pub fn bounds() -> Config {
    timed(|config| config.private_transport = true)
}

/// A store in memory that outlives the processes on it.
pub fn lasting() -> Arc<FlakyStore<MemoryStore>> {
    Arc::new(FlakyStore::new(MemoryStore::default()).surviving(Durability::Process))
}

/// A runtime on `store` whose credentials come from `provisioner`.
pub async fn keyed_runtime(
    store: Option<Arc<dyn Store>>,
    provisioner: Provisioner,
    config: &Config,
) -> Runtime {
    let builder = keyed_agents(Runtime::builder()).config(config.clone()).credentials("openai", provisioner);
    match store {
        Some(store) => builder.store(store).open().await.unwrap(),
        None => builder.build().unwrap(),
    }
}

/// The same, with [`ALICE`](crate::ALICE) and [`BOB`](crate::BOB) let in.
pub async fn keyed_server(
    store: Option<Arc<dyn Store>>,
    provisioner: Provisioner,
    config: &Config,
) -> Memories<Stack> {
    let runtime = keyed_runtime(store, provisioner, config).await;
    Memories::of(runtime.layer(AuthLayer::new(tokens())), config)
}
