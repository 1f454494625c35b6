//! Events, packed: the rows of the log.
//!
//! An event is its kind, the feature that it needs, the length of its payload (4 bytes, little
//! endian) and the payload. Kind and feature are a byte each, or, if they have none, 255, a length
//! (2 bytes) and the name.

use arcp_core::store::StoredEvent;
use arcp_core::{Feature, JobId, Json, MessageType};

/// Events of one row.
pub(crate) const EVENTS: usize = 2048;
/// Bytes of one row, roughly. Pages of a log are read by rows, so a row must not be large.
const BYTES: usize = 256 << 10;

const INLINE: u8 = 255;
/// Never reorder or remove: the places are in the files.
const KINDS: &[&str] = &["job.event", "job.result", "job.error"];
/// Likewise; the first one stands for none.
const NEEDS: &[&str] = &[
    "",
    "heartbeat",
    "ack",
    "list_jobs",
    "subscribe",
    "lease_expires_at",
    "cost.budget",
    "model.use",
    "provisioned_credentials",
    "progress",
    "result_chunk",
    "agent_versions",
];

/// Packs a prefix of `events`; returns how many it took, at least one if there is one.
pub(crate) fn pack(events: &[StoredEvent], into: &mut Vec<u8>) -> usize {
    into.clear();
    for (n, event) in events.iter().enumerate() {
        let payload = event.payload.as_str().as_bytes();
        if n > 0 && (n == EVENTS || into.len() + payload.len() > BYTES) {
            return n;
        }
        put_name(into, KINDS, event.kind.as_str());
        put_name(into, NEEDS, event.needs.map_or("", Feature::as_str));
        into.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        into.extend(payload);
    }
    events.len()
}

/// What a row must come to when it is read: its place and its events.
pub(crate) fn sum(job: &JobId, first: u64, packed: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(job.as_str().as_bytes());
    sum.update(&first.to_le_bytes());
    sum.update(packed);
    sum.finalize()
}

/// What `events` take, packed.
pub(crate) fn bytes(events: &[StoredEvent]) -> usize {
    let needs = |event: &StoredEvent| event.needs.map_or("", Feature::as_str);
    let names =
        |event: &StoredEvent| name_bytes(KINDS, event.kind.as_str()) + name_bytes(NEEDS, needs(event));
    events.iter().map(|event| names(event) + 4 + event.payload.as_str().len()).sum()
}

fn name_bytes(known: &[&str], name: &str) -> usize {
    if known.contains(&name) { 1 } else { 3 + name.len() }
}

fn put_name(into: &mut Vec<u8>, known: &[&str], name: &str) {
    if let Some(Ok(code)) = known.iter().position(|k| *k == name).map(u8::try_from) {
        into.push(code);
    } else {
        into.push(INLINE);
        into.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        into.extend(name.as_bytes());
    }
}

/// Reads a row's events, oldest first. After the first `None` there is none; ask
/// [`Unpack::is_whole`] whether that is the end or damage.
pub(crate) struct Unpack<'a> {
    rest: &'a [u8],
}

/// An event that is not copied yet.
pub(crate) struct Packed<'a> {
    kind: &'a str,
    needs: &'a str,
    payload: &'a str,
}

impl<'a> Unpack<'a> {
    pub(crate) fn new(row: &'a [u8]) -> Self {
        Self { rest: row }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn next(&mut self) -> Option<Packed<'a>> {
        // `rest` stays behind what was read in whole, so that damage does not look like the end.
        let mut at = self.rest;
        let (kind, needs) = (name(&mut at, KINDS)?, name(&mut at, NEEDS)?);
        let length = u32::from_le_bytes(take(&mut at, 4)?.try_into().ok()?);
        let payload = take(&mut at, usize::try_from(length).ok()?)?;
        let payload = std::str::from_utf8(payload).ok()?;
        self.rest = at;
        Some(Packed { kind, needs, payload })
    }
}

impl Packed<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }

    pub(crate) fn event(&self) -> Option<StoredEvent> {
        let needs = match self.needs {
            "" => None,
            name => Some(*Feature::ALL.iter().find(|feature| feature.as_str() == name)?),
        };
        let payload = Json::parse(self.payload.to_owned()).ok()?;
        Some(StoredEvent { kind: MessageType::from(self.kind), needs, payload })
    }
}

fn take<'a>(from: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(taken)
}

fn name<'a>(from: &mut &'a [u8], known: &[&'static str]) -> Option<&'a str> {
    match take(from, 1)? {
        [INLINE] => {
            let length = u16::from_le_bytes(take(from, 2)?.try_into().ok()?);
            std::str::from_utf8(take(from, length.into())?).ok()
        }
        [code] => known.get(usize::from(*code)).copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = StoredEvent> {
        let kind = prop::sample::select(vec!["job.event", "job.result", "job.error", "x.y", "é"]);
        let needs = prop::option::of(prop::sample::select(Feature::ALL));
        (kind, needs, ".{0,40}").prop_map(|(kind, needs, text)| StoredEvent {
            kind: kind.into(),
            needs,
            payload: Json::of(&text).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(events in prop::collection::vec(event(), 0..20)) {
            let mut row = Vec::new();
            prop_assert_eq!(pack(&events, &mut row), events.len());
            prop_assert_eq!(bytes(&events), row.len());
            let mut unpack = Unpack::new(&row);
            let read: Vec<_> = std::iter::from_fn(|| unpack.next()).map(|e| e.event().unwrap()).collect();
            prop_assert!(unpack.is_whole());
            prop_assert_eq!(read, events);
        }

        #[test]
        fn a_row_that_was_cut_is_found_out(events in prop::collection::vec(event(), 1..5), cut in 1usize..200) {
            let mut row = Vec::new();
            pack(&events, &mut row);
            row.truncate(row.len() - cut.min(row.len() - 1));
            let mut unpack = Unpack::new(&row);
            let read = std::iter::from_fn(|| unpack.next()).count();
            prop_assert!(read < events.len() || unpack.is_whole());
            prop_assert!(read > 0 || !unpack.is_whole());
        }

        #[test]
        fn damage_does_no_harm(row in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut unpack = Unpack::new(&row);
            std::iter::from_fn(|| unpack.next()).for_each(|e| _ = e.event());
        }
    }

    #[test]
    fn a_long_append_is_several_rows() {
        let event = StoredEvent { kind: MessageType::Event, needs: None, payload: Json::null() };
        let mut row = Vec::new();
        assert_eq!(pack(&vec![event.clone(); EVENTS + 1], &mut row), EVENTS);
        let large = StoredEvent { payload: Json::of(&"x".repeat(BYTES)).unwrap(), ..event.clone() };
        assert_eq!(pack(&[large.clone(), event.clone()], &mut row), 1);
        assert_eq!(pack(&[event, large], &mut row), 1);
    }

    #[test]
    fn every_feature_has_a_place() {
        for feature in Feature::ALL {
            assert!(NEEDS.contains(&feature.as_str()), "add it at the end");
        }
    }
}
