//! The store: queues before the threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use arcp_core::store::{
    Batch, Caps, Committed, CredentialQuery, CredentialRow, Durability, FeedRow, Hash, IdempotencyRow,
    JobQuery, JobRow, Joined, Lapse, Page, RunRow, SessionRow, Store, StoreError, StoreFuture, StoredEvent,
    Trim,
};
use arcp_core::{JobId, SessionId, Timestamp};
use futures_channel::oneshot;
use rusqlite::Connection;

use crate::checkpoint::Checkpointer;
use crate::error::RETRY;
use crate::lent::Lent;
use crate::read::Fault;
use crate::readers::Readers;
use crate::stats::Counters;
use crate::writer::{Command, Commit, Writer};
use crate::{OpenError, SqliteConfig, Stats, open, read};

/// Sessions and jobs in one SQLite file.
///
/// Dropping it writes what is queued, copies the log into the file and ends the threads; it blocks
/// for as long. A future that is dropped takes nothing back.
#[derive(Debug)]
pub struct SqliteStore {
    commands: Option<SyncSender<Command>>,
    queued: Arc<AtomicUsize>,
    readers: Option<Readers>,
    checkpointer: Option<Checkpointer>,
    writer: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    caps: Caps,
    queue_bytes: usize,
    #[cfg(test)]
    pub(crate) fault: Arc<std::sync::Mutex<Option<crate::writer::Fault>>>,
}

impl SqliteStore {
    /// Opens the file at `path`, or makes it; its folder has to be there. A second file beside it,
    /// whose name ends in `.lock`, says that it is in use; behind a link, that is beside the file itself.
    ///
    /// # Errors
    /// See [`OpenError`]. A file that is refused is not changed.
    pub fn open(path: impl AsRef<Path>, config: SqliteConfig) -> Result<Self, OpenError> {
        let (held, conn) = open::open(path.as_ref(), &config)?;
        let path = &held.path;
        let counters = Arc::new(Counters::default());
        let lent = Lent::checkpointer(path, &config)?;
        let checkpointer = Checkpointer::start(Arc::clone(&lent), &config, Arc::clone(&counters))?;
        let mut beside: Vec<_> =
            (0..config.readers.clamp(1, 8)).map(|_| Lent::reader(path)).collect::<Result<_, _>>()?;
        let readers = Readers::start(&beside)?;
        beside.push(lent);
        let (commands, receiver) = sync_channel(config.queue.max(1));
        let (queued, queue_bytes) = (Arc::new(AtomicUsize::new(0)), config.queue_bytes);
        let signals = (Arc::clone(&counters), checkpointer.signal());
        let writer = Writer::new((held, conn), config, signals, beside, (receiver, Arc::clone(&queued)))?;
        #[cfg(test)]
        let fault = Arc::clone(&writer.fault);
        let thread = Builder::new().name("arcp-store-write".into()).spawn(move || writer.run())?;
        Ok(Self {
            commands: Some(commands),
            queued,
            readers: Some(readers),
            checkpointer: Some(checkpointer),
            writer: Some(thread),
            counters,
            caps: Caps::new(Durability::Power),
            queue_bytes,
            #[cfg(test)]
            fault,
        })
    }

    /// Writes what is queued, copies the log into the file and ends the threads. It blocks until
    /// that is done; dropping the store does the same.
    pub fn close(self) {}

    /// What it did since it was opened.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    fn send(&self, command: Command) -> Result<(), StoreError> {
        let Some(commands) = &self.commands else { return Err(RETRY) };
        commands.try_send(command).map_err(|e| match e {
            // Nothing was changed, whether the queue is full or the thread is gone.
            TrySendError::Full(_) | TrySendError::Disconnected(_) => RETRY,
        })
    }

    fn enqueue(&self, batch: Batch) -> Result<oneshot::Receiver<Result<Committed, StoreError>>, StoreError> {
        let bytes = batch.check(&self.caps)?;
        let before = self.queued.fetch_add(bytes, Ordering::Relaxed);
        let (answer, rx) = oneshot::channel();
        let sent = if before > self.queue_bytes {
            Err(RETRY)
        } else {
            self.send(Command::Commit(Commit { batch, bytes, answer }))
        };
        match sent {
            Ok(()) => Ok(rx),
            Err(e) => {
                self.queued.fetch_sub(bytes, Ordering::Relaxed);
                Err(e)
            }
        }
    }

    fn read<'a, T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        let answer = self.readers.as_ref().map(|readers| readers.read(read));
        Box::pin(async move {
            match answer {
                Some(answer) => answer.await.unwrap_or(Err(RETRY)),
                None => Err(RETRY),
            }
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer copies the log at its end, and wants to be alone for that.
        self.readers = None;
        self.checkpointer = None;
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            // It ended either way.
            let _ = writer.join();
        }
    }
}

impl Store for SqliteStore {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined> {
        let (answer, rx) = oneshot::channel();
        let sent = self.send(Command::Join(lapse, secret, answer));
        Box::pin(async move {
            sent?;
            rx.await.unwrap_or(Err(RETRY))
        })
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed> {
        // Queued when it is called, so that batches are applied in the order of the calls.
        let answer = self.enqueue(batch);
        Box::pin(async move { answer?.await.unwrap_or(Err(StoreError::Unknown)) })
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>> {
        let id = id.clone();
        self.read(move |conn| read::session(conn, &id))
    }

    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>> {
        self.read(move |conn| read::session_by_token(conn, token))
    }

    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>> {
        let session = session.clone();
        self.read(move |conn| read::feeds(conn, &session))
    }

    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>> {
        let session = session.clone();
        self.read(move |conn| read::runs(conn, &session, after, limit))
    }

    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>> {
        let (principal, id) = (principal.to_owned(), id.clone());
        self.read(move |conn| read::job(conn, &principal, &id))
    }

    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>> {
        let job = job.clone();
        self.read(move |conn| read::job_events(conn, &job, after, max_bytes))
    }

    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>> {
        let principal = principal.to_owned();
        self.read(move |conn| read::list_jobs(conn, &principal, &query))
    }

    fn idempotency<'a>(
        &'a self,
        principal: &'a str,
        key: &'a str,
    ) -> StoreFuture<'a, Option<IdempotencyRow>> {
        let (principal, key) = (principal.to_owned(), key.to_owned());
        self.read(move |conn| read::idempotency(conn, &principal, &key))
    }

    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>> {
        self.read(move |conn| read::orphans(conn, owner, limit))
    }

    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>> {
        self.read(move |conn| read::credentials(conn, &query))
    }

    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64> {
        let (answer, rx) = oneshot::channel();
        let sent = self.send(Command::Trim(now, trim, answer));
        Box::pin(async move {
            sent?;
            // Trimming again is always right.
            rx.await.unwrap_or(Err(RETRY))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::Fault;
    use arcp_core::Json;
    use arcp_core::store::Op;
    use arcp_core::store::kit::block_on;

    fn audit(id: u128) -> Batch {
        let op = Op::Audit { at: Timestamp::from_millis(1), record: Json::null() };
        Batch { id, principal: "ada".into(), ops: vec![op] }
    }

    fn records(path: &Path) -> i64 {
        let conn = Connection::open(path).unwrap();
        conn.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn p16_bad_input_56_a_commit_that_failed_and_was_not_done_is_refused_for_now_and_its_repeat_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = SqliteStore::open(&path, SqliteConfig::default()).unwrap();
        block_on(store.commit(audit(1))).unwrap();
        *store.fault.lock().unwrap() = Some(Fault::Undone);
        assert_eq!(block_on(store.commit(audit(2))), Err(RETRY));
        assert_eq!(records(&path), 1);
        for id in [2, 2, 1] {
            block_on(store.commit(audit(id))).unwrap();
        }
        assert_eq!((records(&path), store.stats().reopened), (2, 1));
    }

    #[test]
    fn a_batch_is_known_though_the_file_was_healed_and_remembers_only_later_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = SqliteStore::open(&path, SqliteConfig::default()).unwrap();
        for id in 1..=100 {
            block_on(store.commit(audit(id))).unwrap();
        }
        *store.fault.lock().unwrap() = Some(Fault::Undone);
        assert_eq!(block_on(store.commit(audit(101))), Err(RETRY));
        for id in 1..=101 {
            block_on(store.commit(audit(id))).unwrap();
        }
        assert_eq!((records(&path), store.stats().reopened), (101, 1));
        let kept = Connection::open(&path).unwrap();
        let kept: i64 = kept.query_row("SELECT count(*) FROM batch_ids", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, crate::ids::IN_FILE);
    }

    #[test]
    fn p16_bad_input_56_a_commit_that_failed_and_was_done_all_the_same_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = SqliteStore::open(&path, SqliteConfig::default()).unwrap();
        *store.fault.lock().unwrap() = Some(Fault::Done);
        block_on(store.commit(audit(1))).unwrap();
        block_on(store.commit(audit(1))).unwrap();
        assert_eq!((records(&path), store.stats().reopened), (1, 1));
    }
}
