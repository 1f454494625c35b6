//! The threads that read.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use arcp_core::store::StoreError;
use futures_channel::oneshot;
use rusqlite::Connection;

use crate::error::RETRY;
use crate::lent::Lent;
use crate::read::Fault;

/// Reads that may wait.
const QUEUE: usize = 4096;

/// A read; without a connection it fails.
type Task = Box<dyn FnOnce(Option<&Connection>) + Send>;

/// Some connections, each on a thread, and a queue before them.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().tasks.len()).finish()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Readers {
    pub(crate) fn start(lent: &[Arc<Lent>]) -> Result<Self, crate::OpenError> {
        let mut readers = Self { queue: Arc::default(), threads: Vec::new() };
        for lent in lent {
            let (lent, queue) = (Arc::clone(lent), Arc::clone(&readers.queue));
            let work = move || {
                while let Some(task) = queue.next() {
                    let mut task = Some(task);
                    let mut run = |conn: Option<&Connection>| {
                        if let Some(task) = task.take() {
                            task(conn);
                        }
                    };
                    if let Err(e) = lent.with(|conn| run(Some(conn))) {
                        tracing::warn!(error = %e, "the file cannot be read");
                        run(None);
                    }
                }
            };
            readers.threads.push(Builder::new().name("arcp-store-read".into()).spawn(work)?);
        }
        Ok(readers)
    }

    /// Reads on one of the threads. The answer is an error if too many wait.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (tx, rx) = oneshot::channel();
        let mut state = self.queue.lock();
        if state.closed || state.tasks.len() >= QUEUE {
            // Nobody waits if this fails.
            let _ = tx.send(Err(RETRY));
            return rx;
        }
        state.tasks.push_back(Box::new(move |conn| {
            if !tx.is_canceled() {
                let read = conn.ok_or(RETRY).and_then(|conn| read(conn).map_err(StoreError::from));
                let _ = tx.send(read);
            }
        }));
        drop(state);
        self.queue.changed.notify_one();
        rx
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // It ended either way.
            let _ = thread.join();
        }
    }
}
