//! The segments between two `**`, looked for with all their states at once.

use super::work;

/// A run of segments as a machine whose states are bits: bit `i` says that the first `i` bytes of
/// the run, stars aside, were seen. One byte of text is one step, whatever the pattern.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// For a byte, the states that it takes on to the next; in order.
    steps: Box<[(u8, u128)]>,
    /// The states that a star holds until the segment ends.
    held: u128,
    /// The state of a run that was seen.
    seen: u128,
    separator: u8,
}

impl Run {
    /// The most bytes of a run, stars aside: one state is for none of them.
    #[cfg(test)]
    pub(super) const MAX: usize = 127;

    /// The machine, if the run is short enough.
    pub(super) fn new(text: &str, separator: char) -> Option<Self> {
        let (mut steps, mut held, mut state) = (std::collections::BTreeMap::new(), 0, 1_u128);
        for byte in text.bytes() {
            if byte == b'*' {
                held |= state;
            } else {
                *steps.entry(byte).or_insert(0) |= state;
                state = state.checked_mul(2)?;
            }
        }
        Some(Self { steps: steps.into_iter().collect(), held, seen: state, separator: separator as u8 })
    }

    /// Finds the run that ends first, from the beginning of any segment of `text` on, and gives the
    /// segments after it.
    #[allow(clippy::option_option, reason = "found or not, and then what is left or nothing")]
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<Option<&'a str>> {
        let mut states = 1_u128;
        for (at, byte) in text.bytes().enumerate() {
            work::done(1);
            let ends = byte == self.separator;
            if ends && states & self.seen != 0 {
                return Some(text.get(at + 1..));
            }
            let known = self.steps.binary_search_by_key(&byte, |(byte, _)| *byte);
            let moved = known.map_or(0, |at| (states & self.steps[at].1) << 1);
            states = moved | if ends { 1 } else { states & self.held };
        }
        (states & self.seen != 0).then_some(None)
    }
}
