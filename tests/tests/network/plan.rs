//! How a connection fares.

use std::time::Duration;

/// What happens once as many bytes passed as may.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// Both peers see an orderly end of the stream, behind what passed.
    Fin,
    /// Both connections are dropped at once: what is under way may be lost.
    Reset,
    /// The receiver sees the end of its stream; the other direction goes on.
    HalfClosed,
    /// Nothing more passes in either direction, not even an end, and nobody is told.
    HalfOpen,
    /// Nothing more passes in this direction, and nobody is told.
    Mute,
    /// Nothing more is even read in this direction, for as long as the plan's end is late; and then
    /// it is read in vain.
    Stuck,
}

/// How one direction fares. Bytes are counted from the first, that of the HTTP head.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub pass: usize,
    pub end: End,
    /// After so many bytes, no more of them than that in a second.
    pub rate: Option<(usize, usize)>,
    /// After so many bytes the others wait for so long.
    pub pause: (usize, Duration),
}

/// How a connection fares.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub up: Way,
    pub down: Way,
    /// How long the runtime is not told that the client closes, or was cut off.
    pub late: Duration,
}

impl Way {
    pub const FREE: Self =
        Self { pass: usize::MAX, end: End::Fin, rate: None, pause: (usize::MAX, Duration::ZERO) };

    pub fn until(pass: usize, end: End) -> Self {
        Self { pass, end, ..Self::FREE }
    }

    pub fn slow(after: usize, rate: usize) -> Self {
        Self { rate: Some((after, rate)), ..Self::FREE }
    }

    pub fn pausing(after: usize, wait: Duration) -> Self {
        Self { pause: (after, wait), ..Self::FREE }
    }
}

impl Plan {
    pub const FREE: Self = Self { up: Way::FREE, down: Way::FREE, late: Duration::ZERO };

    pub fn up(up: Way) -> Self {
        Self { up, ..Self::FREE }
    }

    pub fn down(down: Way) -> Self {
        Self { down, ..Self::FREE }
    }
}
