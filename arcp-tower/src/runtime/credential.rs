//! The credentials of jobs (§9.8): issued before a job is accepted, known to its agent and its
//! submitter, and revoked when it ends, whatever dies in between.
//!
//! The ledger is written first. A row says *intent* before a service is asked for anything, *live*
//! together with the job, *revoking* before the job's end can be seen, and *revoked* when the service
//! said so. Whatever is left in between is found by [`keeper`] and brought to its end.

mod held;
mod issue;
mod keeper;
mod ledger;
mod recover;
mod revoke;
mod rotate;
mod seal;
mod spent;

pub(in crate::runtime) use issue::Minted;
pub(in crate::runtime) use spent::Spent;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use arcp_core::JobId;
use arcp_core::store::{CredentialRow, Durability, Hash, MemoryStore, Store};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::Journal;
use crate::config::Config;
use crate::credential::CredentialProvisioner;
use held::Held;
use ledger::Ledger;
use seal::{Names, Seal};

/// Who issues credentials, by the profile that they are announced under.
pub(super) type Provisioners = BTreeMap<String, Arc<dyn CredentialProvisioner>>;

/// All credentials of a runtime.
pub(crate) struct Credentials {
    provisioners: Provisioners,
    ledger: Ledger,
    seal: Seal,
    names: Names,
    /// Whether sessions may be given any: what is on the wire has to be revocable for certain, and
    /// read by nobody (§14).
    advertised: bool,
    config: Arc<Config>,
    handle: Handle,
    held: Mutex<HashMap<JobId, Arc<Held>>>,
    /// Those of jobs that end, whose last words may not have been sent yet.
    parting: Mutex<HashMap<JobId, Arc<Held>>>,
    /// Rows that have to be revoked, and could not be written down as such.
    loose: Mutex<Vec<CredentialRow>>,
    wake: Arc<Notify>,
}

impl Credentials {
    pub(super) fn new(
        provisioners: Provisioners,
        operator: Option<&Hash>,
        journal: Option<&Arc<Journal>>,
        config: &Arc<Config>,
        handle: Handle,
    ) -> Arc<Self> {
        let (store, owner, secret): (Arc<dyn Store>, _, _) = match journal {
            Some(journal) => (journal.store.clone(), journal.owner, journal.secret),
            // What is only in this process ends with it; what it leaves, the services' own limits end.
            None => (Arc::new(MemoryStore::default()), 1, crate::random::secret()),
        };
        let durable = store.caps().durability >= Durability::Process;
        let advertised = !provisioners.is_empty() && durable && config.private_transport;
        if !provisioners.is_empty() && !advertised {
            tracing::warn!(
                durable,
                private = config.private_transport,
                "provisioned credentials are for agents only: clients are given them where the store \
                 outlives the process and the transport is private"
            );
        }
        Arc::new(Self {
            provisioners,
            ledger: Ledger::new(store, owner, config.clock.clone()),
            seal: Seal::new(&secret, operator),
            names: Names::new(&secret),
            advertised,
            config: config.clone(),
            handle,
            held: Mutex::default(),
            parting: Mutex::default(),
            loose: Mutex::default(),
            wake: Arc::default(),
        })
    }

    /// Whether sessions may negotiate them.
    pub(super) fn advertised(&self) -> bool {
        self.advertised
    }

    /// Does what is due from now on.
    pub(super) fn look_after(self: &Arc<Self>) {
        if !self.is_idle() {
            self.handle.spawn(keeper::keep(Arc::downgrade(self)));
        }
    }

    /// Whether no job is ever given any.
    pub(super) fn is_idle(&self) -> bool {
        self.provisioners.is_empty()
    }

    /// Where they are written down.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.ledger.store()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("profiles", &self.provisioners.keys()).finish_non_exhaustive()
    }
}
