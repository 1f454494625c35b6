//! The bounds.

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// The bounds of a WebSocket, all of them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WsLimits {
    /// The first message: what a stranger may make us hold.
    pub first_message: usize,
    /// Every later message, and each frame of it.
    pub message: usize,
    /// Bytes read at once. A connection holds that much as long as it lives.
    pub read_buffer: usize,
    /// Bytes gathered before they are written. A connection that waits holds none.
    pub write_buffer: usize,
}

impl Default for WsLimits {
    fn default() -> Self {
        Self {
            first_message: 16 << 10,
            message: (2 << 20) + (64 << 10),
            read_buffer: 4 << 10,
            write_buffer: 64 << 10,
        }
    }
}

impl WsLimits {
    /// Bytes of the stream that the first message may take, with the headers of its frames and with what
    /// one read may bring beyond it.
    pub(super) fn first_bytes(self) -> usize {
        self.first_message.saturating_add(self.read_buffer).saturating_add(64)
    }

    /// The same of every later message. Fragments without end are no message of any size.
    pub(super) fn message_bytes(self) -> usize {
        self.message.saturating_add(self.read_buffer).saturating_add(HEADERS)
    }

    /// tungstenite keeps no buffer of its own beyond one frame: `Gather` does that.
    pub(super) fn config(self, role: Role) -> WebSocketConfig {
        // A server's messages do not go through it, only pongs and the close frame do.
        let unwritten = if role == Role::Server { CONTROL } else { 2 * self.message };
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer)
            .write_buffer_size(0)
            .max_write_buffer_size(unwritten)
            .max_message_size(Some(self.message))
            .max_frame_size(Some(self.message))
    }
}

/// Bytes of the headers of the fragments of one message.
const HEADERS: usize = 64 << 10;

/// Bytes of control frames that wait to be gathered. Of pongs that find no room, the newest is kept.
const CONTROL: usize = 1024;
