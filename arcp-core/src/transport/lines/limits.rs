//! The bounds.

/// The bounds of a line transport, all of them; an end of a line is not counted.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LineLimits {
    /// The first message: what a stranger may make us hold.
    pub first_message: usize,
    /// Every later message.
    pub message: usize,
    /// Bytes read at once, at least.
    pub read_buffer: usize,
    /// Bytes gathered before they are written. A connection that waits holds none.
    pub write_buffer: usize,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self {
            first_message: 16 << 10,
            message: (2 << 20) + (64 << 10),
            read_buffer: 4 << 10,
            write_buffer: 64 << 10,
        }
    }
}
