//! A store that fails when it is told to.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;

use super::{
    Batch, Caps, Committed, CredentialQuery, CredentialRow, Durability, FeedRow, Hash, IdempotencyRow,
    JobQuery, JobRow, Joined, Lapse, Page, RunRow, SessionRow, Store, StoreError, StoreFuture, StoredEvent,
    Trim,
};
use crate::{JobId, SessionId, Timestamp};

/// Wraps a store, and lets a test say what becomes of the next calls. Without a plan it is the store.
///
/// ```
/// # use arcp_core::store::{flaky::*, kit::block_on, Batch, MemoryStore, Store, StoreError};
/// let store = FlakyStore::new(MemoryStore::default());
/// store.plan_commit(Step::before(StoreError::Full));
/// let batch = Batch { id: 1, principal: "ada".into(), ops: vec![] };
/// assert_eq!(block_on(store.commit(batch.clone())), Err(StoreError::Full));
/// assert!(block_on(store.commit(batch)).is_ok());
/// assert_eq!(store.calls().commits, 2);
/// ```
#[derive(Debug)]
pub struct FlakyStore<S> {
    inner: S,
    caps: Option<Caps>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    commits: VecDeque<Step>,
    reads: VecDeque<Step>,
    calls: Calls,
}

/// How often a store was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// [`Store::commit`].
    pub commits: u64,
    /// Reads of any kind.
    pub reads: u64,
    /// [`Store::join`].
    pub joins: u64,
    /// [`Store::trim`].
    pub trims: u64,
}

/// What becomes of one call.
#[derive(Debug, Default)]
pub struct Step {
    hold: Option<oneshot::Receiver<()>>,
    before: Option<StoreError>,
    hold_answer: Option<oneshot::Receiver<()>>,
    after: Option<StoreError>,
}

/// Holds a call up until it is released or dropped.
#[derive(Debug)]
pub struct Hold(oneshot::Sender<()>);

impl Hold {
    /// Lets the call go on.
    pub fn release(self) {
        // The call may be gone, and then nobody waits.
        let _ = self.0.send(());
    }
}

impl Step {
    /// The call goes through.
    pub fn pass() -> Self {
        Self::default()
    }

    /// The call fails, and nothing is done: [`StoreError::Unavailable`], [`StoreError::Full`], and
    /// [`StoreError::Unknown`] although it was not done.
    pub fn before(error: StoreError) -> Self {
        Self { before: Some(error), ..Self::default() }
    }

    /// The call is done, and fails all the same: [`StoreError::Unknown`] although it was done.
    pub fn after(error: StoreError) -> Self {
        Self { after: Some(error), ..Self::default() }
    }

    /// Holds the call up before anything is done.
    pub fn held(mut self) -> (Self, Hold) {
        let (tx, rx) = oneshot::channel();
        self.hold = Some(rx);
        (self, Hold(tx))
    }

    /// Holds the answer up when everything is done.
    pub fn answer_held(mut self) -> (Self, Hold) {
        let (tx, rx) = oneshot::channel();
        self.hold_answer = Some(rx);
        (self, Hold(tx))
    }

    async fn run<T>(self, call: StoreFuture<'_, T>) -> Result<T, StoreError> {
        wait(self.hold).await;
        if let Some(error) = self.before {
            return Err(error);
        }
        let answer = call.await;
        wait(self.hold_answer).await;
        match self.after {
            Some(error) => Err(error),
            None => answer,
        }
    }
}

/// A hold that was dropped is released too.
async fn wait(hold: Option<oneshot::Receiver<()>>) {
    if let Some(hold) = hold {
        let _ = hold.await;
    }
}

impl<S> FlakyStore<S> {
    /// `inner`, without a plan.
    pub fn new(inner: S) -> Self {
        Self { inner, caps: None, state: Mutex::default() }
    }

    /// Says of itself that what it keeps survives so much. Whether that is true is up to the test,
    /// which may keep it while what uses it comes and goes.
    pub fn surviving(mut self, durability: Durability) -> Self {
        self.caps = Some(Caps::new(durability));
        self
    }

    /// What becomes of the next commit that has no plan yet.
    pub fn plan_commit(&self, step: Step) {
        self.lock().commits.push_back(step);
    }

    /// The next `n` commits without a plan fail before anything is done.
    pub fn fail_commits(&self, n: usize, error: &StoreError) {
        let steps = std::iter::repeat_with(|| Step::before(error.clone())).take(n);
        self.lock().commits.extend(steps);
    }

    /// What becomes of the next read that has no plan yet, whichever it is.
    pub fn plan_read(&self, step: Step) {
        self.lock().reads.push_back(step);
    }

    /// The next `n` reads without a plan fail.
    pub fn fail_reads(&self, n: usize, error: &StoreError) {
        let steps = std::iter::repeat_with(|| Step::before(error.clone())).take(n);
        self.lock().reads.extend(steps);
    }

    /// Forgets the plan: from now on calls go through.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.commits.clear();
        state.reads.clear();
    }

    /// How often it was called.
    pub fn calls(&self) -> Calls {
        self.lock().calls
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan is asked when the call is made, not when it is polled: tests plan in that order.
    fn read<'a, T: Send + 'a>(
        &self,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let mut state = self.lock();
        state.calls.reads += 1;
        let step = state.reads.pop_front().unwrap_or_default();
        Box::pin(step.run(Box::pin(async move { call().await })))
    }
}

impl<S: Store> Store for FlakyStore<S> {
    fn caps(&self) -> &Caps {
        self.caps.as_ref().unwrap_or_else(|| self.inner.caps())
    }

    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined> {
        self.lock().calls.joins += 1;
        self.inner.join(lapse, secret)
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed> {
        let mut state = self.lock();
        state.calls.commits += 1;
        let step = state.commits.pop_front().unwrap_or_default();
        drop(state);
        Box::pin(step.run(Box::pin(async move { self.inner.commit(batch).await })))
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>> {
        self.read(move || self.inner.session(id))
    }

    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>> {
        self.read(move || self.inner.session_by_token(token))
    }

    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>> {
        self.read(move || self.inner.feeds(session))
    }

    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>> {
        self.read(move || self.inner.runs(session, after, limit))
    }

    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>> {
        self.read(move || self.inner.job(principal, id))
    }

    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>> {
        self.read(move || self.inner.job_events(job, after, max_bytes))
    }

    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>> {
        self.read(move || self.inner.list_jobs(principal, query))
    }

    fn idempotency<'a>(
        &'a self,
        principal: &'a str,
        key: &'a str,
    ) -> StoreFuture<'a, Option<IdempotencyRow>> {
        self.read(move || self.inner.idempotency(principal, key))
    }

    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>> {
        self.read(move || self.inner.orphans(owner, limit))
    }

    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>> {
        self.read(move || self.inner.credentials(query))
    }

    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64> {
        self.lock().calls.trims += 1;
        self.inner.trim(now, trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Json;
    use crate::store::kit::block_on;
    use crate::store::{MemoryStore, Op};
    use std::task::{Context, Poll, Waker};

    fn batch(id: u128) -> Batch {
        let op = Op::Audit { at: Timestamp::from_millis(1), record: Json::null() };
        Batch { id, principal: "ada".into(), ops: vec![op] }
    }

    #[test]
    fn unknown_may_mean_either() {
        let store = FlakyStore::new(MemoryStore::default());
        store.plan_commit(Step::before(StoreError::Unknown));
        store.plan_commit(Step::after(StoreError::Unknown));
        assert_eq!(block_on(store.commit(batch(1))), Err(StoreError::Unknown));
        assert_eq!(store.inner().audit().len(), 0);
        assert_eq!(block_on(store.commit(batch(1))), Err(StoreError::Unknown));
        assert_eq!(store.inner().audit().len(), 1);
        assert!(block_on(store.commit(batch(1))).is_ok());
        assert_eq!(store.inner().audit().len(), 1);
    }

    #[test]
    fn a_held_commit_is_done_when_it_is_released_and_one_whose_answer_is_held_before() {
        let store = FlakyStore::new(MemoryStore::default());
        let (step, hold) = Step::pass().held();
        store.plan_commit(step);
        let (step, hold_answer) = Step::pass().answer_held();
        store.plan_commit(step);
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut first, mut second) = (store.commit(batch(1)), store.commit(batch(2)));
        assert_eq!(first.as_mut().poll(cx), Poll::Pending);
        assert_eq!(store.inner().audit().len(), 0);
        assert_eq!(second.as_mut().poll(cx), Poll::Pending);
        assert_eq!(store.inner().audit().len(), 1);
        hold.release();
        drop(hold_answer);
        assert!(block_on(first).is_ok() && block_on(second).is_ok());
        assert_eq!(store.inner().audit().len(), 2);
    }

    #[test]
    fn a_read_that_fails_is_not_an_empty_page() {
        let store = FlakyStore::new(MemoryStore::default());
        store.fail_reads(1, &StoreError::Unknown);
        let job = JobId::from_bits(1);
        assert_eq!(block_on(store.job_events(&job, 0, 1)), Err(StoreError::Unknown));
        assert!(block_on(store.job_events(&job, 0, 1)).is_ok());
        assert_eq!(store.calls().reads, 2);
    }
}
