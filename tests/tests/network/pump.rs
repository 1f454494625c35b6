//! One direction of a connection, on its way through the proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::plan::{End, Way};
use crate::proxy::Line;
use crate::sim::now;

/// Notes what one direction of a connection does.
pub struct Note {
    pub line: Line,
    pub at: usize,
    pub up: bool,
}

impl Note {
    /// Bytes came; `true` if the client says that it closes.
    fn read(&self, bytes: &[u8]) -> bool {
        self.line.record(self.at, |record| {
            if self.up {
                return record.sent_by_client(bytes);
            }
            record.sent_by_runtime(now(), bytes);
            false
        })
    }

    fn passed(&self) {
        self.line.record(self.at, |record| {
            *(if self.up { &mut record.passed.0 } else { &mut record.passed.1 }) = now();
        });
    }

    fn silent(&self) {
        self.line.record(self.at, |record| _ = record.silent.get_or_insert(now()));
    }
}

pub enum Stop {
    /// The sender has closed, or is gone.
    Closed,
    Planned(End),
}

/// One direction.
pub struct Pump {
    pub from: OwnedReadHalf,
    pub to: OwnedWriteHalf,
    way: Way,
    late: Duration,
    note: Note,
    /// What came, and has not passed yet.
    taken: Vec<u8>,
    passed: usize,
    stuck: Option<Instant>,
    /// Nothing passes in this direction.
    mute: bool,
    /// Nothing passes in any.
    dead: Arc<AtomicBool>,
}

impl Pump {
    pub fn new(
        (from, to): (OwnedReadHalf, OwnedWriteHalf),
        way: Way,
        late: Duration,
        note: Note,
        dead: Arc<AtomicBool>,
    ) -> Self {
        Self { from, to, way, late, note, taken: Vec::new(), passed: 0, stuck: None, mute: false, dead }
    }

    /// Runs until something happens that concerns the other direction, too. It may be dropped, and
    /// run again.
    pub async fn run(&mut self) -> Stop {
        loop {
            if let Some(until) = self.stuck {
                sleep_until(until).await;
                (self.stuck, self.mute) = (None, true);
            }
            if self.taken.is_empty() && !self.take().await {
                return Stop::Closed;
            }
            if self.mute || self.dead.load(Ordering::Relaxed) {
                self.taken.clear();
                continue;
            }
            self.pass().await;
            if self.passed < self.way.pass {
                continue;
            }
            self.taken.clear();
            if matches!(self.way.end, End::Mute | End::HalfOpen | End::Stuck) {
                self.note.silent();
            }
            match self.way.end {
                End::Mute => self.mute = true,
                End::HalfOpen => self.dead.store(true, Ordering::Relaxed),
                End::Stuck => self.stuck = Some(Instant::now() + self.late),
                end => return Stop::Planned(end),
            }
        }
    }

    fn rate(&self) -> Option<usize> {
        self.way.rate.filter(|(after, _)| self.passed >= *after).map(|(_, rate)| rate)
    }

    /// Takes bytes in, a slow direction as slowly as it lets them out; `false` if none come any more.
    async fn take(&mut self) -> bool {
        let mut bytes = [0; 2048];
        let most = self.rate().map_or(bytes.len(), |rate| (rate / 20).clamp(1, bytes.len()));
        let Ok(read @ 1..) = self.from.read(&mut bytes[..most]).await else { return false };
        let closes = self.note.read(&bytes[..read]);
        self.mute |= closes && !self.late.is_zero();
        self.taken.extend_from_slice(&bytes[..read]);
        true
    }

    /// Lets some of them out, when it is time.
    async fn pass(&mut self) {
        let (after, wait) = self.way.pause;
        if self.passed >= after && !wait.is_zero() {
            self.way.pause.1 = Duration::ZERO;
            sleep(wait).await;
        }
        let until = if self.passed < after { after.min(self.way.pass) } else { self.way.pass };
        let fits = self.taken.len().min(until - self.passed);
        if let Some(rate) = self.rate() {
            sleep(Duration::from_secs(fits as u64) / u32::try_from(rate).unwrap()).await;
        }
        match self.to.write(&self.taken[..fits]).await {
            Ok(written) => {
                self.taken.drain(..written);
                self.passed += written;
                self.note.passed();
            }
            // A receiver that is gone will be noticed at its own side.
            Err(_) => self.mute = true,
        }
    }
}
