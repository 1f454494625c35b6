//! The client's mirror of a session: gaps, acknowledgements and liveness (§6.4, §6.5, §8.3).

use std::time::{Duration, Instant};

use super::Heartbeat;

/// What a peer needs to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerConfig {
    /// The heartbeat interval of the welcome, if it was negotiated.
    pub heartbeat: Option<Duration>,
    /// Whether acks were negotiated.
    pub acks: bool,
    /// An ack is due after this many events …
    pub ack_events: u64,
    /// … or this long after the first that is not acknowledged.
    pub ack_delay: Duration,
    /// The number that the session stands at: 0 for a fresh one.
    pub last_event_seq: u64,
}

impl PeerConfig {
    /// A fresh session, with acks every 128 events or 200 ms.
    pub fn new(heartbeat: Option<Duration>, acks: bool) -> Self {
        Self { heartbeat, acks, ack_events: 128, ack_delay: Duration::from_millis(200), last_event_seq: 0 }
    }
}

/// How a numbered frame fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one.
    Next,
    /// It was here before; a replay repeats it.
    Repeat,
    /// Frames are missing: the session is broken and should be resumed (§8.3).
    Gap {
        /// The number that should have come.
        expected: u64,
    },
}

/// The client's half of a session.
#[derive(Debug)]
pub struct Peer {
    config: PeerConfig,
    heartbeat: Heartbeat,
    received: u64,
    processed: u64,
    acked: u64,
    ack_due: Option<Instant>,
    said_first: bool,
}

impl Peer {
    /// A peer that begins now.
    pub fn new(now: Instant, config: PeerConfig) -> Self {
        let heartbeat = Heartbeat::new(now, config.heartbeat);
        let at = config.last_event_seq;
        Self { heartbeat, received: at, processed: at, acked: at, ack_due: None, said_first: false, config }
    }

    /// The session goes on over a new connection (§6.3), with the heartbeat interval of its welcome.
    /// What arrived and what was processed stay as they are; the first ack says where it stands, and
    /// confirms the new token.
    pub fn resumed(&mut self, now: Instant, heartbeat: Option<Duration>) {
        self.config.heartbeat = heartbeat;
        self.heartbeat = Heartbeat::new(now, heartbeat);
        self.acked = self.processed;
        self.ack_due = None;
        self.said_first = false;
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heartbeat.heard(now);
    }

    /// A frame with a number arrived.
    pub fn arrived(&mut self, event_seq: u64) -> Arrival {
        if event_seq <= self.received {
            return Arrival::Repeat;
        }
        let expected = self.received + 1;
        if event_seq > expected {
            return Arrival::Gap { expected };
        }
        self.received = event_seq;
        Arrival::Next
    }

    /// The highest number that arrived without a gap.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Everything up to `event_seq` was processed by the application.
    pub fn processed(&mut self, now: Instant, event_seq: u64) {
        if event_seq > self.processed {
            self.processed = event_seq.min(self.received);
            self.ack_due.get_or_insert(now + self.config.ack_delay);
        }
    }

    /// The ack to send now. The first one says where the session stands, 0 if it is fresh: it tells the runtime that this client acks, so
    /// that the window holds from the beginning.
    pub fn poll_ack(&mut self, now: Instant) -> Option<u64> {
        if !self.config.acks {
            return None;
        }
        if !std::mem::replace(&mut self.said_first, true) {
            return Some(self.acked);
        }
        let many = self.processed - self.acked >= self.config.ack_events;
        if !many && self.ack_due.is_none_or(|due| now < due) {
            return None;
        }
        self.ack_due = None;
        if self.processed == self.acked {
            return None;
        }
        self.acked = self.processed;
        Some(self.acked)
    }

    /// When to call [`Peer::poll_ack`] and [`Peer::poll_heartbeat`] next.
    pub fn timeout(&self) -> Option<Instant> {
        let ack = self.ack_due.filter(|_| self.config.acks);
        match (self.heartbeat.timeout(), ack) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// `true` if a ping is due now.
    ///
    /// # Errors
    /// `HEARTBEAT_LOST` after two silent intervals.
    pub fn poll_heartbeat(&mut self, now: Instant) -> Result<bool, crate::Error> {
        self.heartbeat.poll(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t36_t37_gaps_and_repeats_are_told_apart() {
        let mut peer = Peer::new(Instant::now(), PeerConfig::new(None, true));
        assert_eq!(peer.arrived(1), Arrival::Next);
        assert_eq!(peer.arrived(1), Arrival::Repeat);
        assert_eq!(peer.arrived(3), Arrival::Gap { expected: 2 });
        assert_eq!((peer.arrived(2), peer.received()), (Arrival::Next, 2));
    }

    #[test]
    fn acks_are_coalesced_by_count_and_by_time() {
        let t0 = Instant::now();
        let ms = Duration::from_millis(1);
        let mut peer = Peer::new(t0, PeerConfig::new(None, true));
        assert_eq!((peer.poll_ack(t0), peer.poll_ack(t0)), (Some(0), None));
        for seq in 1..=300 {
            peer.arrived(seq);
        }
        peer.processed(t0, 10);
        assert_eq!((peer.poll_ack(t0), peer.timeout()), (None, Some(t0 + ms * 200)));
        assert_eq!(peer.poll_ack(t0 + ms * 200), Some(10));
        assert_eq!(peer.timeout(), None);
        peer.processed(t0 + ms * 201, 138);
        assert_eq!(peer.poll_ack(t0 + ms * 201), Some(138));
        peer.processed(t0 + ms * 202, 999);
        assert_eq!(peer.poll_ack(t0 + ms * 500), Some(300), "never more than arrived");
    }

    #[test]
    fn a_resumed_session_keeps_its_numbers_and_says_at_once_where_it_stands() {
        let t0 = Instant::now();
        let (ms, s) = (Duration::from_millis(1), Duration::from_secs(1));
        let mut peer = Peer::new(t0, PeerConfig::new(Some(s * 10), true));
        peer.poll_ack(t0);
        for seq in 1..=5 {
            peer.arrived(seq);
        }
        peer.processed(t0, 3);
        let t1 = t0 + s * 60;
        peer.resumed(t1, Some(s * 30));
        assert!(!peer.poll_heartbeat(t1 + s * 29).unwrap(), "the silence before does not count");
        assert_eq!((peer.poll_ack(t1), peer.poll_ack(t1 + ms * 500)), (Some(3), None));
        assert_eq!((peer.arrived(5), peer.arrived(6)), (Arrival::Repeat, Arrival::Next));
    }

    #[test]
    fn without_the_feature_nothing_is_acknowledged() {
        let t0 = Instant::now();
        let mut peer = Peer::new(t0, PeerConfig::new(None, false));
        peer.arrived(1);
        peer.processed(t0, 1);
        assert_eq!((peer.poll_ack(t0 + Duration::from_secs(9)), peer.timeout()), (None, None));
    }
}
