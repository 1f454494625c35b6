//! Writes the logs of jobs to a store, in groups.
//!
//! Agents append to memory and go on. A principal's events are gathered while the commit before
//! them is under way, and written with one more; only then are those who follow the jobs told.

use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arcp_core::job::Status;
use arcp_core::store::{Batch, Hash, Joined, Op, Store, StoreError, StoredEvent};
use arcp_core::{Json, Timestamp};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::sweep::Written;
use super::{JobStream, commit_patiently};
use crate::auth::Principal;
use crate::clock::Clock;
use crate::config::Config;
use crate::random;

/// The way to a store.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) store: Arc<dyn Store>,
    /// This process, as the store knows it.
    pub(crate) owner: u64,
    /// What all processes of the store share.
    pub(crate) secret: Hash,
    /// What the sweep goes by.
    pub(super) written: Arc<Written>,
    clock: Clock,
    handle: Handle,
    /// Everything that is being written in the background.
    pub(super) writes: TaskTracker,
    queues: Mutex<HashMap<Principal, Vec<Arc<JobStream>>>>,
}

/// Events of one commit, and bytes of them.
const EVENTS: usize = 8192;
const BYTES: usize = 4 << 20;
/// How long the end of a job that could not be written waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

impl Journal {
    pub(super) fn new(store: Arc<dyn Store>, joined: Joined, config: &Config, handle: Handle) -> Arc<Self> {
        let Joined { owner, secret } = joined;
        // A store of little room is thinned before it is full, if it is looked after by then.
        let written = Arc::new(Written::new(config.max_session_bytes / 4));
        let clock = config.clock.clone();
        let (writes, queues) = (TaskTracker::new(), Mutex::default());
        Arc::new(Self { store, owner, secret, written, clock, handle, writes, queues })
    }

    /// The time, as it is written down.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Principal, Vec<Arc<JobStream>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job's log has something new. Called once until it was written.
    pub(super) fn enqueue(self: &Arc<Self>, principal: &Principal, stream: Arc<JobStream>) {
        let mut queues = self.queues();
        if let Some(queue) = queues.get_mut(principal) {
            queue.push(stream);
            return;
        }
        queues.insert(principal.clone(), vec![stream]);
        drop(queues);
        self.spawn(self.clone().write(principal.clone()));
    }

    /// Writes something in the background. Whoever ends the runtime waits for it.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.writes.spawn_on(work, &self.handle);
    }

    /// Writes until there is nothing new.
    async fn write(self: Arc<Self>, principal: Principal) {
        loop {
            let streams = {
                let mut queues = self.queues();
                let queue = queues.get_mut(&principal).map(std::mem::take).unwrap_or_default();
                if queue.is_empty() {
                    queues.remove(&principal);
                    return;
                }
                queue
            };
            let again = self.write_group(&principal, streams).await;
            if let Some(queue) = self.queues().get_mut(&principal) {
                queue.extend(again);
            }
        }
    }

    /// One commit for all of them; returns those that have more.
    async fn write_group(&self, principal: &Principal, streams: Vec<Arc<JobStream>>) -> Vec<Arc<JobStream>> {
        let (mut events, mut bytes) = (EVENTS, BYTES);
        let mut portions = Vec::with_capacity(streams.len());
        for stream in streams {
            let portion = stream.unwritten(events.max(1), bytes.max(1));
            events = events.saturating_sub(portion.events.len());
            bytes = bytes.saturating_sub(portion.events.iter().map(|e| e.payload.as_str().len()).sum());
            portions.push((stream, portion));
        }
        self.written.add(BYTES.saturating_sub(bytes));
        match self.offer(principal, &portions).await {
            Ok(()) => {
                let done =
                    |(stream, portion): (Arc<JobStream>, Portion)| stream.written(&portion).then_some(stream);
                portions.into_iter().filter_map(done).collect()
            }
            Err(_) if portions.len() > 1 => {
                // One of them may have spoilt it for the others.
                let mut again = Vec::new();
                for alone in portions {
                    let done = self.commit(principal, std::slice::from_ref(&alone)).await;
                    let (stream, portion) = alone;
                    again.extend(settle(stream, &portion, done).await);
                }
                again
            }
            Err(e) => {
                let mut again = Vec::new();
                for (stream, portion) in portions {
                    again.extend(settle(stream, &portion, Err(e.clone())).await);
                }
                again
            }
        }
    }

    /// One commit. While it is under way, connections may have numbers written behind it: a store that
    /// does what it is given in order has both with one sync.
    async fn offer(
        &self,
        principal: &Principal,
        portions: &[(Arc<JobStream>, Portion)],
    ) -> Result<(), StoreError> {
        let mut commit = pin!(self.commit(principal, portions));
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(commit.as_mut().poll(cx))).await {
            return done;
        }
        portions.iter().for_each(|(stream, portion)| stream.offer(portion));
        commit.await
    }

    /// The note goes with the events: who sees a cost after a crash finds it charged (§9.6).
    fn append(&self, stream: &JobStream, portion: &Portion) -> impl Iterator<Item = Op> {
        let note = portion.note.clone().map(|(_, note)| Op::NoteJob {
            job: stream.job_id().clone(),
            owner: self.owner,
            note,
        });
        let append = (!portion.events.is_empty()).then(|| Op::Append {
            job: stream.job_id().clone(),
            owner: self.owner,
            after: portion.after,
            events: portion.events.clone(),
            at: self.now(),
            ended: portion.ended,
        });
        note.into_iter().chain(append)
    }

    /// One commit. When nobody knows whether it happened, the store is read until it says so: what
    /// is there must not be taken back.
    async fn commit(
        &self,
        principal: &Principal,
        portions: &[(Arc<JobStream>, Portion)],
    ) -> Result<(), StoreError> {
        let ops = portions.iter().flat_map(|(stream, portion)| self.append(stream, portion)).collect();
        let batch = Batch { id: random::bits(), principal: principal.name().to_owned(), ops };
        let Err(failure) = commit_patiently(self.store.clone(), batch).await else { return Ok(()) };
        let written = portions.iter().find(|(_, portion)| !portion.events.is_empty());
        let (StoreError::Unknown, Some((stream, portion))) = (&failure, written) else { return Err(failure) };
        loop {
            match self.store.job(principal.name(), stream.job_id()).await {
                Ok(Some(row)) if row.head > portion.after => return Ok(()),
                Ok(_) => return Err(failure),
                Err(error) => {
                    tracing::warn!(%error, "whether events were kept is not known yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// What is to be written of one job.
#[derive(Debug, Clone)]
pub(super) struct Portion {
    pub(super) after: u64,
    pub(super) events: Vec<StoredEvent>,
    /// With the terminal: how the job ended.
    pub(super) ended: Option<Status>,
    /// What a process that takes the job over has to know, and how new it is.
    pub(super) note: Option<(u64, Json)>,
}

/// What follows from one job's commit; the stream, if there is more to be written.
async fn settle(
    stream: Arc<JobStream>,
    portion: &Portion,
    done: Result<(), StoreError>,
) -> Option<Arc<JobStream>> {
    let Err(e) = done else { return stream.written(portion).then_some(stream) };
    let job_id = stream.job_id();
    if matches!(e, StoreError::Fenced { .. } | StoreError::Conflict { .. }) {
        tracing::error!(%job_id, error = %e, "the job is somebody else's now");
        stream.break_off();
        return None;
    }
    tracing::error!(%job_id, error = %e, "events could not be kept; the job ends");
    // Nothing of it was sent. Only the end of the job is still to be written, however long it takes.
    let again = stream.break_off();
    tokio::time::sleep(RETRY).await;
    again.then_some(stream)
}
