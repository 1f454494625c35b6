//! How far a session's jobs may be ahead of it (§6.5), and how its connection is woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use arcp_core::Envelope;
use arcp_core::session::FeedId;
use futures_util::task::AtomicWaker;
use tokio::sync::Semaphore;

use crate::lock::lock;

/// Credits, room, and news.
pub(super) struct Window {
    size: usize,
    credits: Arc<Semaphore>,
    /// Bytes that own jobs are ahead of what was sent.
    backlog: AtomicUsize,
    backlog_cap: usize,
    room: Mutex<Vec<Waker>>,
    /// Feeds with something new. A lock of its own: agents push here, and must not wait for a
    /// connection that is numbering.
    fresh: Mutex<VecDeque<FeedId>>,
    /// Frames that answer no command.
    notices: Mutex<VecDeque<Envelope>>,
    has_notices: AtomicBool,
    waker: AtomicWaker,
    attached: AtomicBool,
}

impl Window {
    /// 0 is no window: nothing waits for an ack.
    pub(super) fn new(size: usize, backlog_cap: usize) -> Self {
        // Permits that somebody holds come back beside those that are given back: there is room for both.
        const NONE: usize = Semaphore::MAX_PERMITS / 2;
        let size = if size == 0 { NONE } else { size.min(NONE) };
        Self {
            size,
            credits: Arc::new(Semaphore::new(size)),
            backlog: AtomicUsize::new(0),
            backlog_cap,
            room: Mutex::default(),
            fresh: Mutex::default(),
            notices: Mutex::default(),
            has_notices: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            attached: AtomicBool::new(false),
        }
    }

    pub(super) fn credits(&self) -> Arc<Semaphore> {
        self.credits.clone()
    }

    pub(super) fn free(&self) -> usize {
        self.credits.available_permits()
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Gives credits back, never more than there are in all.
    pub(super) fn credit(&self, credits: u64) {
        let missing = self.size.saturating_sub(self.credits.available_permits());
        let credits = usize::try_from(credits).unwrap_or(usize::MAX).min(missing);
        if credits > 0 {
            self.credits.add_permits(credits);
        }
    }

    /// Whether own jobs may add to what waits to be sent; if not, `cx` is woken when they may.
    pub(super) fn has_room(&self, cx: &Context<'_>) -> bool {
        let room = || self.backlog.load(Ordering::Acquire) < self.backlog_cap;
        if room() {
            return true;
        }
        lock(&self.room).push(cx.waker().clone());
        // Looked at again: room may have come before the waker was there.
        room()
    }

    /// An own job appended `bytes`. Nobody waits for a session that has no connection (§6.4): `false`, and
    /// its credit is back.
    pub(super) fn spent(&self, bytes: usize) -> bool {
        let attached = self.is_attached();
        if attached {
            self.backlog.fetch_add(bytes, Ordering::AcqRel);
        } else {
            self.credit(1);
        }
        attached
    }

    /// `bytes` of an own job are on their way.
    pub(super) fn sent(&self, bytes: usize) {
        let less = |backlog: usize| Some(backlog.saturating_sub(bytes));
        let before = self.backlog.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).unwrap_or(0);
        if before >= self.backlog_cap {
            self.wake_room();
        }
    }

    fn wake_room(&self) {
        let waiting = std::mem::take(&mut *lock(&self.room));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// There is something new in a feed.
    pub(super) fn tell(&self, feed: FeedId) {
        lock(&self.fresh).push_back(feed);
        self.waker.wake();
    }

    /// The connection is to look at everything once more.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Whether there is nothing new in any feed.
    pub(super) fn is_stale(&self) -> bool {
        lock(&self.fresh).is_empty()
    }

    /// A frame that answers no command. Nobody keeps it for a session without a connection, and of
    /// more than `most` that wait the oldest goes.
    pub(super) fn notify(&self, notice: Envelope, most: usize) {
        if !self.is_attached() {
            return;
        }
        let mut notices = lock(&self.notices);
        notices.push_back(notice);
        if notices.len() > most {
            notices.pop_front();
        }
        self.has_notices.store(true, Ordering::Release);
        drop(notices);
        self.waker.wake();
    }

    /// What is to be said beside replies and events.
    pub(super) fn has_notices(&self) -> bool {
        self.has_notices.load(Ordering::Acquire)
    }

    pub(super) fn notices(&self) -> VecDeque<Envelope> {
        if !self.has_notices.swap(false, Ordering::AcqRel) {
            return VecDeque::new();
        }
        std::mem::take(&mut *lock(&self.notices))
    }

    /// The next feed with something new.
    pub(super) fn next_fresh(&self) -> Option<FeedId> {
        lock(&self.fresh).pop_front()
    }

    /// A feed has more; the others come first.
    pub(super) fn again(&self, feed: FeedId) {
        lock(&self.fresh).push_back(feed);
    }

    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// A connection begins; what was told to the one before is told again. That one may still be
    /// there: nobody waits any more for what it was to send, or to hear acknowledged.
    pub(super) fn attach(&self) {
        lock(&self.fresh).clear();
        lock(&self.notices).clear();
        self.backlog.store(0, Ordering::Release);
        self.attached.store(true, Ordering::Release);
        self.credit(u64::MAX);
        self.wake_room();
        self.waker.wake();
    }

    /// The connection is gone: jobs go on without waiting for one.
    pub(super) fn detach(&self) {
        self.attached.store(false, Ordering::Release);
        self.backlog.store(0, Ordering::Release);
        self.credit(u64::MAX);
        self.wake_room();
    }
}
