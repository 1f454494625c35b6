//! Idempotency keys, where no store has them (§7.2).

use std::collections::{HashMap, VecDeque};

use arcp_core::Timestamp;
use arcp_core::store::IdempotencyRow;

use crate::auth::Principal;

/// How much is held for all together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) keys: usize,
    pub(super) bytes: usize,
}

/// The keys of all principals.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_principal: HashMap<Principal, Own>,
    sum: Sum,
}

/// The keys of one.
#[derive(Debug, Default)]
struct Own {
    held: HashMap<String, IdempotencyRow>,
    /// Each key, and when that is over: it may have been used again since.
    in_order: VecDeque<(String, Timestamp)>,
    sum: Sum,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    keys: usize,
    bytes: usize,
}

fn size(row: &IdempotencyRow) -> usize {
    2 * row.key.len() + row.accepted.as_str().len()
}

impl Own {
    /// The oldest goes.
    fn pop(&mut self) {
        let Some((key, expires_at)) = self.in_order.pop_front() else { return };
        self.sum.keys -= 1;
        if self.held.get(&key).is_some_and(|held| held.expires_at == expires_at)
            && let Some(row) = self.held.remove(&key)
        {
            self.sum.bytes -= size(&row);
        }
    }

    fn pop_while(&mut self, mut goes: impl FnMut(&Self) -> bool) -> Sum {
        let before = self.sum;
        while !self.in_order.is_empty() && goes(self) {
            self.pop();
        }
        Sum { keys: before.keys - self.sum.keys, bytes: before.bytes - self.sum.bytes }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.in_order.front().is_some_and(|(_, until)| *until <= now)
    }
}

impl Keys {
    /// Who has a key now.
    pub(super) fn holder(&self, principal: &Principal, key: &str, now: Timestamp) -> Option<&IdempotencyRow> {
        let held = self.by_principal.get(principal)?.held.get(key);
        held.filter(|held| held.expires_at > now)
    }

    /// A key is taken. Of more than `most`, the oldest go of the principal that has most: nobody's keys are
    /// forgotten for what somebody else does.
    pub(super) fn insert(&mut self, principal: &Principal, row: &IdempotencyRow, now: Timestamp, most: Most) {
        let own = self.by_principal.entry(principal.clone()).or_default();
        let before = own.held.insert(row.key.clone(), row.clone()).map_or(0, |row| size(&row));
        own.in_order.push_back((row.key.clone(), row.expires_at));
        own.sum = Sum { keys: own.sum.keys + 1, bytes: own.sum.bytes + size(row) - before };
        self.sum = Sum { keys: self.sum.keys + 1, bytes: self.sum.bytes + size(row) - before };
        self.expire(principal, now);
        while self.sum.keys > most.keys || self.sum.bytes > most.bytes {
            let in_bytes = self.sum.bytes > most.bytes;
            let weight = |own: &Own| if in_bytes { own.sum.bytes } else { own.sum.keys };
            let all = if in_bytes { self.sum.bytes } else { self.sum.keys };
            // Whoever has more than an equal share is likely the one who asks, and need not be looked for.
            let own = self.by_principal.get(principal).map_or(0, weight);
            let heaviest = if own.saturating_mul(self.by_principal.len()) > all {
                Some(principal.clone())
            } else {
                self.by_principal.iter().max_by_key(|(_, own)| weight(own)).map(|(who, _)| who.clone())
            };
            let Some(heaviest) = heaviest else { break };
            let mut one = true;
            self.pop_while(&heaviest, |_| std::mem::take(&mut one));
        }
    }

    fn pop_while(&mut self, principal: &Principal, goes: impl FnMut(&Own) -> bool) {
        let Some(own) = self.by_principal.get_mut(principal) else { return };
        let gone = own.pop_while(goes);
        if own.in_order.is_empty() {
            self.by_principal.remove(principal);
        }
        self.sum = Sum { keys: self.sum.keys - gone.keys, bytes: self.sum.bytes - gone.bytes };
    }

    fn expire(&mut self, principal: &Principal, now: Timestamp) {
        self.pop_while(principal, |own| own.is_over(now));
    }

    /// Those of everybody whose time is over go.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let over = self.by_principal.iter().filter(|(_, own)| own.is_over(now));
        for principal in over.map(|(principal, _)| principal.clone()).collect::<Vec<_>>() {
            self.expire(&principal, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use arcp_core::{JobId, Json};

    use super::*;

    fn row(key: &str, bytes: usize, until: i64) -> IdempotencyRow {
        IdempotencyRow {
            key: key.to_owned(),
            fingerprint: [0; 32],
            job: JobId::from_bits(1),
            accepted: Json::of(&"x".repeat(bytes)).unwrap(),
            expires_at: Timestamp::from_millis(until),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }

    #[test]
    fn who_has_most_loses_the_oldest_by_number_and_by_bytes_and_nobody_else_does() {
        for (most, bytes) in
            [(Most { keys: 10, bytes: 1 << 20 }, 10), (Most { keys: 1000, bytes: 4000 }, 400)]
        {
            let (alice, mallory) = (Principal::new("alice"), Principal::new("mallory"));
            let mut keys = Keys::default();
            keys.insert(&alice, &row("first", 10, 100), now(), most);
            for n in 0..100 {
                keys.insert(&mallory, &row(&format!("{n:02}"), bytes, 100), now(), most);
            }
            assert!(keys.sum.keys <= most.keys && keys.sum.bytes <= most.bytes, "{:?}", keys.sum);
            assert!(keys.holder(&alice, "first", now()).is_some());
            assert!(
                keys.holder(&mallory, "99", now()).is_some() && keys.holder(&mallory, "00", now()).is_none()
            );
            // Somebody new gets a place, and not at Alice's expense.
            keys.insert(&Principal::new("bob"), &row("b", 10, 100), now(), most);
            assert!(keys.holder(&alice, "first", now()).is_some());
            keys.sweep(Timestamp::from_millis(100));
            assert_eq!((keys.sum.keys, keys.sum.bytes, keys.by_principal.len()), (0, 0, 0));
        }
    }

    #[test]
    fn a_key_that_is_taken_anew_is_counted_once_and_held_for_its_new_time() {
        let (alice, most) = (Principal::new("alice"), Most { keys: 10, bytes: 1 << 20 });
        let mut keys = Keys::default();
        keys.insert(&alice, &row("k", 500, 10), now(), most);
        keys.insert(&alice, &row("k", 5, 30), Timestamp::from_millis(10), most);
        assert_eq!((keys.sum.keys, keys.sum.bytes), (1, size(&row("k", 5, 30))));
        assert!(keys.holder(&alice, "k", Timestamp::from_millis(20)).is_some());
        assert!(keys.holder(&alice, "k", Timestamp::from_millis(30)).is_none());
    }
}
