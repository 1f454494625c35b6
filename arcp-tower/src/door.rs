//! The way in: connections that have not said who they are, and whether anybody is let in at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
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
    behind: Mutex<Behind>,
}

/// The doors of runtimes that a route with one of its own led to: of nearly always one.
#[derive(Debug, Default)]
struct Behind {
    doors: Vec<Door>,
    /// More than are remembered, and some of them may be open.
    more: bool,
}

/// So many runtimes behind one route are remembered.
const MOST_BEHIND: usize = 16;

/// Those who have not said hello, in the order they came.
#[derive(Debug, Default)]
struct Strangers {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    sent_away: CancellationToken,
    /// Where it is from, if that is known.
    from: Option<IpAddr>,
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) in_all: usize,
    pub(crate) of_one_address: usize,
}

impl Strangers {
    /// The one who has waited longest is sent away, of those that `is_meant`.
    fn make_room(&mut self, is_meant: impl Fn(&Waiting) -> bool) {
        let longest = self.waiting.iter().find(|(_, waiting)| is_meant(waiting)).map(|(number, _)| *number);
        if let Some(waiting) = longest.and_then(|number| self.waiting.remove(&number)) {
            waiting.sent_away.cancel();
        }
    }
}

/// What one party has: an address, or what a network of IPv6 is given at the least.
fn party(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
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

    /// A connection that came in here was let in there.
    pub(crate) fn leads_to(&self, door: &Self) {
        if Arc::ptr_eq(&self.0, &door.0) {
            return;
        }
        let mut behind = lock(&self.0.behind);
        if behind.doors.iter().any(|known| Arc::ptr_eq(&known.0, &door.0)) {
            return;
        }
        if behind.doors.len() < MOST_BEHIND {
            behind.doors.push(door.clone());
        } else {
            behind.more = true;
        }
    }

    /// Whether nobody is let in here, or wherever this led to.
    pub(crate) fn is_shut(&self) -> bool {
        let behind = || {
            let behind = lock(&self.0.behind);
            !behind.doors.is_empty() && !behind.more && behind.doors.iter().all(Self::is_draining)
        };
        self.is_draining() || behind()
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
    pub(crate) fn stranger(&self, from: Option<SocketAddr>, most: Most) -> Stranger {
        let (sent_away, from) = (CancellationToken::new(), from.map(party));
        let mut strangers = lock(&self.0.strangers);
        let number = strangers.next;
        strangers.next += 1;
        strangers.waiting.insert(number, Waiting { sent_away: sent_away.clone(), from });
        if from.is_some() {
            let same = |waiting: &Waiting| waiting.from == from;
            if strangers.waiting.values().filter(|waiting| same(waiting)).count() > most.of_one_address.max(1)
            {
                strangers.make_room(same);
            }
        }
        if strangers.waiting.len() > most.in_all.max(1) {
            strangers.make_room(|_| true);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { in_all: 6, of_one_address: 2 };

    fn goes(stranger: &Stranger) -> bool {
        stranger.sent_away.is_cancelled()
    }

    #[test]
    fn s15_an_address_has_only_so_many_strangers_and_takes_no_place_of_anothers() {
        let door = Door::default();
        let from = |address: &str| door.stranger(Some(address.parse().unwrap()), MOST);
        let honest = from("192.0.2.1:1");
        let flood: Vec<_> = (1..=100).map(|port| from(&format!("198.51.100.7:{port}"))).collect();
        assert!(!goes(&honest));
        assert_eq!(flood.iter().filter(|one| !goes(one)).count(), MOST.of_one_address);
        assert!(!goes(&flood[99]), "the last to come is the last to go");
        // The same address, written as IPv6.
        let mapped = from("[::ffff:198.51.100.7]:1");
        assert!(goes(&flood[98]) && !goes(&flood[99]) && !goes(&mapped));
        // Of a network of IPv6, everybody has addresses without end.
        let six: Vec<_> = (1..=3).map(|host| from(&format!("[2001:db8:0:1::{host}]:1"))).collect();
        let other = from("[2001:db8:0:2::1]:1");
        assert!(goes(&six[0]) && !goes(&six[2]) && !goes(&other));
        assert_eq!(door.strangers(), 6);
        // Of all together, the longest.
        let more = door.stranger(None, MOST);
        assert!(goes(&honest) && !goes(&more));
        drop((honest, flood, mapped, six, other, more));
        assert_eq!(door.strangers(), 0);
    }

    #[test]
    fn a_route_is_shut_when_every_runtime_that_it_led_to_is() {
        let (route, one, other) = (Door::default(), Door::default(), Door::default());
        assert!(!route.is_shut());
        route.leads_to(&one);
        route.leads_to(&other);
        one.shut(clock::now());
        assert!(one.is_shut() && !route.is_shut());
        other.shut(clock::now());
        assert!(route.is_shut() && !route.is_draining());
        for _ in 0..MOST_BEHIND {
            route.leads_to(&Door::default());
        }
        assert!(!route.is_shut());
    }

    #[test]
    fn those_whose_address_is_not_known_are_not_taken_for_one() {
        let door = Door::default();
        let all: Vec<_> = (0..MOST.in_all).map(|_| door.stranger(None, MOST)).collect();
        assert!(!all.iter().any(goes));
    }
}
