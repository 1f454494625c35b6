//! The credentials of jobs that run, in memory: for their agents, and for those who submitted them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arcp_core::store::CredentialRow;
use arcp_core::wire::credential::{Credential, Rotated};
use arcp_core::wire::event::EventPayload;
use arcp_core::wire::job::Accepted;
use arcp_core::{Event, Feature, JobId, Json};
use serde::Deserialize;

use super::rotate::Asked;
use super::{Credentials, Spent};
use crate::lock::lock;
use crate::runtime::registry::JobRecord;
use crate::service::SessionCtx;

/// What a job that runs has.
pub(super) struct Held {
    pub(super) record: Arc<JobRecord>,
    pub(super) keys: Mutex<Vec<Key>>,
    /// Held while one of them is rotated.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Whether a new value was announced, which may not have been sent yet.
    pub(super) announced: AtomicBool,
    /// What its agent asked for.
    pub(super) asked: Mutex<Asked>,
    /// What was spent with those that were replaced.
    pub(super) before: Mutex<Spent>,
    /// What was spent with all of them, once that is known.
    pub(super) total: Mutex<Option<Spent>>,
}

impl Held {
    fn new(record: Arc<JobRecord>, keys: Vec<Key>, announced: bool) -> Self {
        Self {
            record,
            keys: Mutex::new(keys),
            turn: tokio::sync::Mutex::default(),
            announced: AtomicBool::new(announced),
            asked: Mutex::default(),
            before: Mutex::default(),
            total: Mutex::default(),
        }
    }
}

/// A credential that is in force.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) credential: Credential,
    pub(super) row: CredentialRow,
}

impl Credentials {
    pub(super) fn hold(&self, record: &Arc<JobRecord>, keys: Vec<Key>) {
        if keys.is_empty() {
            return;
        }
        let held = Held::new(record.clone(), keys, false);
        lock(&self.held).insert(record.id.clone(), Arc::new(held));
    }

    /// A job ends whose submitter may not have been sent the newest value yet: it is, for a while. It is
    /// of no use to anybody by then.
    pub(super) fn part(self: &Arc<Self>, held: &Held) {
        if !held.announced.load(Ordering::Acquire) {
            return;
        }
        let parting = Held::new(held.record.clone(), lock(&held.keys).clone(), true);
        let job = held.record.id.clone();
        lock(&self.parting).insert(job.clone(), Arc::new(parting));
        let credentials = self.clone();
        self.handle.spawn(async move {
            tokio::time::sleep(credentials.config.revoke_wait).await;
            lock(&credentials.parting).remove(&job);
        });
    }

    pub(super) fn held(&self, job: &JobId) -> Option<Arc<Held>> {
        lock(&self.held).get(job).cloned()
    }

    /// The credentials that a job has now.
    pub(crate) fn of_job(&self, job: &JobId) -> Vec<Credential> {
        let held = self.held(job);
        held.map(|held| lock(&held.keys).iter().map(|key| key.credential.clone()).collect())
            .unwrap_or_default()
    }

    /// Adds a job's credentials to its acceptance, which goes to `session`: the one that submitted it,
    /// or one of the same principal that repeats the submit (§7.2).
    pub(in crate::runtime) fn attach(&self, accepted: &mut Accepted, session: &SessionCtx) {
        if !self.advertised || !session.features().has(Feature::ProvisionedCredentials) {
            return;
        }
        let Some(held) = self.held(&accepted.job_id) else { return };
        if held.record.principal == *session.principal() {
            let credentials = lock(&held.keys).iter().map(|key| key.credential.clone()).collect::<Vec<_>>();
            accepted.credentials = credentials.into_iter().filter(|c| session.profile().reads(c)).collect();
        }
    }

    /// An event that announces a new value, with the value in force, if `session` is one that
    /// submitted the job or was given it (§9.8.2); `None` for everybody else.
    pub(crate) fn reveal(&self, event: &Event, session: &SessionCtx) -> Option<Event> {
        #[derive(Deserialize)]
        struct Payload {
            body: Json,
        }
        if !self.advertised || !session.features().has(Feature::ProvisionedCredentials) {
            return None;
        }
        let held = self.held(&event.job_id).or_else(|| lock(&self.parting).get(&event.job_id).cloned())?;
        let theirs =
            held.record.principal == *session.principal() && held.record.is_controlled_by(session.id());
        let mut rotated = Rotated::read(&event.payload.decode::<Payload>().ok()?.body).filter(|_| theirs)?;
        let credential =
            lock(&held.keys).iter().find(|key| key.credential.id == rotated.id)?.credential.clone();
        rotated.value = Some(credential.value);
        let ts = EventPayload::read(&event.payload).ok()?.ts?;
        let mut revealed = event.clone();
        revealed.payload = session.profile().rotated(&rotated, ts)?;
        Some(revealed)
    }
}
