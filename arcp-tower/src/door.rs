//! The way in: connections that have not said who they are, and whether anybody is let in at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use arcp_core::transport::Close;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::lock::lock;

/// The door of a runtime. Clones are one door: all connections that are served with clones of one
/// [`Config`](crate::Config) come through the same.
#[derive(Debug, Clone, Default)]
pub struct Door(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stage: AtomicU8,
    /// When the last connection is to be closed.
    until: OnceLock<Instant>,
    strangers: Mutex<Strangers>,
}

/// Those who have not said hello, in the order they came.
#[derive(Debug, Default)]
struct Strangers {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

const OPEN: u8 = 0;
const DRAINING: u8 = 1;
const SETTLED: u8 = 2;

impl Door {
    /// Whether nobody is let in any more, because the runtime is about to end. A readiness probe
    /// should fail then.
    pub fn is_draining(&self) -> bool {
        self.0.stage.load(Ordering::Acquire) != OPEN
    }

    /// Connections that have not said hello.
    pub fn strangers(&self) -> usize {
        lock(&self.0.strangers).waiting.len()
    }

    /// Nobody is let in from now on, and everybody is to be out by `until`.
    pub(crate) fn shut(&self, until: Instant) {
        let _ = self.0.until.set(until);
        self.0.stage.fetch_max(DRAINING, Ordering::AcqRel);
    }

    /// Jobs add nothing from now on: who was sent what is there was sent everything.
    pub(crate) fn settle(&self) {
        self.0.stage.fetch_max(SETTLED, Ordering::AcqRel);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.0.stage.load(Ordering::Acquire) == SETTLED
    }

    /// How long closing a connection may take: `most`, but not beyond the end.
    pub(crate) fn closing(&self, most: Duration) -> Duration {
        let left = self.0.until.get().map(|until| until.saturating_duration_since(clock::now()));
        left.map_or(most, |left| most.min(left))
    }

    /// Somebody came and has not said hello. Of more than `most` of them, the one who has waited
    /// longest is sent away: who means it says hello at once.
    pub(crate) fn stranger(&self, most: usize) -> Stranger {
        let sent_away = CancellationToken::new();
        let mut strangers = lock(&self.0.strangers);
        let number = strangers.next;
        strangers.next += 1;
        strangers.waiting.insert(number, sent_away.clone());
        while strangers.waiting.len() > most.max(1) {
            let Some((_, longest)) = strangers.waiting.pop_first() else { break };
            longest.cancel();
        }
        drop(strangers);
        Stranger { door: self.clone(), number, sent_away }
    }
}

/// The place of a connection that has not said hello.
#[derive(Debug)]
pub(crate) struct Stranger {
    door: Door,
    number: u64,
    sent_away: CancellationToken,
}

impl Stranger {
    /// Resolves when it has to go for others.
    pub(crate) async fn sent_away(&self) -> Close {
        self.sent_away.cancelled().await;
        Close::new(Close::TRY_LATER, "too many connections have not said hello")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        lock(&self.door.0.strangers).waiting.remove(&self.number);
    }
}
