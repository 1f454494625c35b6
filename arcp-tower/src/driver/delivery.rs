//! From job logs to the socket: replay, numbering, and, where a store remembers, durability before
//! the first byte (§6.3, §8.3).

mod kept;
mod numbers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::Event;
use arcp_core::session::{FeedId, Run};
use arcp_core::store::{Batch, Op, RunRow, Store, StoreError};
use arcp_core::transport::Close;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::config::Config;
use crate::random;
use crate::runtime::commit_patiently;
use crate::service::{Attachment, Early, Next, Numbered, Staged};
use kept::{behind, close_for, keep_early, load, taken_over};
use numbers::Numbers;

/// Frames of one commit, and their bytes.
const COMMIT_FRAMES: usize = 2048;
const COMMIT_BYTES: usize = 1 << 20;

/// What a connection sends of its session's jobs.
pub(super) struct Delivery {
    pub(super) attachment: Attachment,
    store: Option<Arc<dyn Store>>,
    /// Events that are read ahead in a replay, and bytes of one read.
    replay_events: usize,
    read_bytes: usize,
    staged: Staged,
    /// Frames whose numbers are kept: they may leave.
    ready: VecDeque<Ready>,
    busy: Option<Busy>,
    /// What is to be written with the next commit.
    ack: Option<u64>,
    confirm: bool,
}

/// A frame that may leave, and the credits that this frees.
pub(super) struct Ready {
    pub(super) event_seq: u64,
    pub(super) frame: String,
    pub(super) credits: u64,
}

enum Busy {
    Committing(BoxFuture<'static, Result<(), StoreError>>, VecDeque<Ready>),
    /// Numbers of events that are on their way to the store themselves; and what else is in the batch.
    Early(BoxFuture<'static, Result<bool, Close>>, Early, Beside),
    Loading(BoxFuture<'static, Result<Vec<Event>, Close>>, For),
}

/// What is written beside numbers.
#[derive(Clone, Copy)]
struct Beside {
    ack: Option<u64>,
    confirm: bool,
}

enum For {
    Replay,
    Feed(FeedId),
}

impl Delivery {
    pub(super) fn new(attachment: Attachment, store: Option<Arc<dyn Store>>, config: &Config) -> Self {
        let (replay_events, read_bytes) = (config.replay_events.max(1), config.read_bytes);
        let (staged, ready) = (Staged::default(), VecDeque::new());
        let (busy, ack, confirm) = (None, None, false);
        Self { attachment, store, replay_events, read_bytes, staged, ready, busy, ack, confirm }
    }

    /// The client acknowledged; a store should know.
    pub(super) fn acked(&mut self, seq: u64) {
        if self.store.is_some() {
            self.ack = self.ack.max(Some(seq));
        }
    }

    /// The client has the newest token; a store should know.
    pub(super) fn confirmed(&mut self) {
        self.confirm = self.store.is_some();
    }

    /// Whether everything there is was sent, and what was acknowledged is on its way to the store.
    pub(super) fn is_caught_up(&self) -> bool {
        let known = self.ack.is_none() && !self.confirm && self.busy.is_none();
        known && self.ready.is_empty() && self.staged.events.is_empty() && self.attachment.is_caught_up()
    }

    /// Nothing is to be sent for now: queues that have grown are given back.
    pub(super) fn rest(&mut self) {
        const SMALL: usize = 8;
        if self.ready.is_empty() && self.ready.capacity() > SMALL {
            self.ready = VecDeque::new();
        }
        if self.staged.events.is_empty() && self.staged.events.capacity() > SMALL {
            self.staged.events = VecDeque::new();
        }
    }

    /// The next frame; `None` if there is nothing to send now.
    ///
    /// # Errors
    /// How to close: it cannot go on.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Ready>, Close>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                self.attachment.handed(ready.event_seq);
                return Poll::Ready(Ok(Some(ready)));
            }
            match self.busy.take() {
                None => {}
                Some(Busy::Committing(mut future, frames)) => match future.poll_unpin(cx) {
                    Poll::Pending => {
                        self.busy = Some(Busy::Committing(future, frames));
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) => {
                        self.ready = frames;
                        continue;
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(close_for(&e))),
                },
                Some(Busy::Early(mut future, early, beside)) => match future.poll_unpin(cx) {
                    Poll::Pending => {
                        self.busy = Some(Busy::Early(future, early, beside));
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(close)) => return Poll::Ready(Err(close)),
                    Poll::Ready(Ok(true)) => {
                        let numbered = self.attachment.settle(&early).ok_or_else(taken_over)?;
                        let ready =
                            |Numbered { event_seq, frame, credits, .. }| Ready { event_seq, frame, credits };
                        self.ready.extend(numbered.into_iter().map(ready));
                        continue;
                    }
                    // Nothing was numbered, and what was beside it is still to be written.
                    Poll::Ready(Ok(false)) => {
                        self.ack = self.ack.max(beside.ack);
                        self.confirm |= beside.confirm;
                        continue;
                    }
                },
                Some(Busy::Loading(mut future, what)) => match future.poll_unpin(cx) {
                    Poll::Pending => {
                        self.busy = Some(Busy::Loading(future, what));
                        return Poll::Pending;
                    }
                    // A store that fails closes the connection; it never makes a replay shorter.
                    Poll::Ready(Err(close)) => return Poll::Ready(Err(close)),
                    Poll::Ready(Ok(events)) => {
                        self.loaded(events, &what);
                        // What is ready now goes before anything new is numbered.
                        continue;
                    }
                },
            }
            if let Some(run) = self.attachment.replay.front().cloned() {
                self.replay(&run)?;
                continue;
            }
            if !self.advance()? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Re-sends part of what was numbered before, under the same numbers.
    fn replay(&mut self, run: &Run) -> Result<(), Close> {
        let gone = || Close::new(Close::INTERNAL, "what was sent is no longer kept");
        let log = self.attachment.logs.get(&run.job_id).cloned().ok_or_else(gone)?;
        let most = usize::try_from(run.len).unwrap_or(usize::MAX).min(self.replay_events);
        if let Ok(events) = log.peek(run.from, most) {
            self.replayed(events);
            return Ok(());
        }
        let Some(store) = self.store.clone() else { return Err(gone()) };
        self.busy = Some(Busy::Loading(load(store, log, run.from, self.read_bytes), For::Replay));
        Ok(())
    }

    fn replayed(&mut self, events: impl IntoIterator<Item = Arc<Event>>) {
        for event in events {
            let Some(run) = self.attachment.replay.front_mut() else { return };
            let event_seq = run.first;
            (run.first, run.from, run.len) = (run.first + 1, run.from + 1, run.len - 1);
            let done = run.len == 0;
            let frame = self.attachment.encode(&event, event_seq);
            self.ready.push_back(Ready { event_seq, frame, credits: 0 });
            if done {
                // The next run is of another job.
                self.attachment.replay.pop_front();
                return;
            }
        }
    }

    fn loaded(&mut self, events: Vec<Event>, what: &For) {
        match what {
            For::Replay => {
                self.replayed(events.into_iter().map(Arc::new));
            }
            For::Feed(feed) => {
                self.staged.feed = Some(*feed);
                self.staged.events.extend(events.into_iter().map(Arc::new));
                self.attachment.again(*feed);
            }
        }
    }

    /// Numbers what is new. `false` if there is nothing.
    fn advance(&mut self) -> Result<bool, Close> {
        let durable = self.store.is_some();
        let mut batch = Numbers::default();
        loop {
            match self.attachment.number(&mut self.staged) {
                Next::Frame(numbered) if !durable => {
                    let Numbered { event_seq, frame, credits, .. } = numbered;
                    self.ready.push_back(Ready { event_seq, frame, credits });
                    return Ok(true);
                }
                Next::Frame(numbered) => batch.frame(numbered),
                Next::Skipped(..) if !durable => {}
                Next::Skipped(job, job_seq) => batch.moved(job, job_seq + 1),
                Next::Nothing => break,
                Next::Behind(log, feed, next) => match self.store.clone() {
                    Some(store) => {
                        if batch.is_empty() {
                            self.busy =
                                Some(Busy::Loading(load(store, log, next, self.read_bytes), For::Feed(feed)));
                            return Ok(true);
                        }
                        self.attachment.again(feed);
                        break;
                    }
                    None => {
                        return Err(behind());
                    }
                },
                Next::Early(early) => match self.store.clone() {
                    Some(store) if batch.is_empty() => {
                        self.early(store, early);
                        return Ok(true);
                    }
                    // Numbers are given in order: this one is first.
                    _ => {
                        self.attachment.again(early.feed);
                        break;
                    }
                },
            }
            if batch.frames.len() >= COMMIT_FRAMES || batch.bytes >= COMMIT_BYTES {
                break;
            }
        }
        let Some(store) = self.store.clone() else { return Ok(false) };
        if batch.is_empty() && self.ack.is_none() && !self.confirm {
            return Ok(false);
        }
        let (mut ops, _) = self.beside();
        let (cx, epoch) = (&self.attachment.cx, self.attachment.stored_epoch);
        let frames = batch.finish(cx, epoch, &mut ops);
        let future = commit_patiently(store, self.batch(ops)).map(|done| done.map(drop)).boxed();
        self.busy = Some(Busy::Committing(future, frames));
        Ok(true)
    }

    fn batch(&self, ops: Vec<Op>) -> Batch {
        Batch { id: random::bits(), principal: self.attachment.cx.principal().name().to_owned(), ops }
    }

    /// What else is to be written.
    fn beside(&mut self) -> (Vec<Op>, Beside) {
        let (cx, epoch) = (&self.attachment.cx, self.attachment.stored_epoch);
        let beside = Beside { ack: self.ack.take(), confirm: std::mem::take(&mut self.confirm) };
        let confirm = beside.confirm.then(|| Op::PutSession { row: cx.row(epoch, None), expect: epoch });
        let ack = beside.ack.map(|seq| Op::Ack { session: cx.id().clone(), epoch, seq });
        (confirm.into_iter().chain(ack).collect(), beside)
    }

    /// Writes the numbers of events behind the events themselves, which are under way: one sync is
    /// waited for, and not one after the other.
    fn early(&mut self, store: Arc<dyn Store>, early: Early) {
        let (mut ops, beside) = self.beside();
        let (session, epoch) = (self.attachment.cx.id().clone(), self.attachment.stored_epoch);
        let Run { first, len, job_id: job, from, .. } = early.run.clone();
        let runs = vec![RunRow { first, len, job: job.clone(), from }];
        let feeds = vec![(job.clone(), from + len)];
        ops.push(Op::Number { session: session.clone(), epoch, after: first - 1, runs, feeds });
        if early.events.back().is_some_and(|last| last.is_terminal()) {
            ops.push(Op::DropFeed { session, epoch, job });
        }
        let future = keep_early(store, self.batch(ops), early.log.clone(), from + len - 1).boxed();
        self.busy = Some(Busy::Early(future, early, beside));
    }
}
