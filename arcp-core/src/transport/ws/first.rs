//! The frames of the first message, before room is made for them.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

/// Bytes of the longest header.
const HEADER: usize = 14;

/// Reads the headers of the frames that pass by, until the first message is whole. tungstenite makes
/// room for whatever a header declares; to a stranger's word nothing is given.
#[derive(Debug)]
pub(super) struct FirstMessage {
    /// The largest frame.
    most: u64,
    header: [u8; HEADER],
    /// How much of the header there is.
    have: usize,
    /// Bytes of the payload that have yet to pass.
    payload: u64,
    /// The frame that passes is the last one of the message, or one that tungstenite refuses.
    last: bool,
}

impl FirstMessage {
    /// Of frames of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most as u64, header: [0; HEADER], have: 0, payload: 0, last: false }
    }

    /// Whether `bytes` may pass. What comes behind the first message is no concern of this.
    pub(super) fn admits(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let passed = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= passed as u64;
            bytes = &bytes[passed..];
            if self.last {
                return true;
            }
            let Some((byte, rest)) = bytes.split_first() else { return true };
            bytes = rest;
            self.header[self.have] = *byte;
            self.have += 1;
            match FrameHeader::parse(&mut Cursor::new(&self.header[..self.have])) {
                Ok(None) => {}
                Ok(Some((_, declared))) if declared > self.most => return false,
                Ok(Some((header, declared))) => {
                    // Control frames come in between, and end nothing.
                    self.last = header.is_final && matches!(header.opcode, OpCode::Data(_));
                    (self.payload, self.have) = (declared, 0);
                }
                Err(_) => self.last = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame, masked with nothing.
    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![opcode];
        if let Ok(short @ ..126) = u8::try_from(length) {
            bytes.push(0x80 | short);
        } else {
            bytes.push(0xFF);
            bytes.extend((length as u64).to_be_bytes());
        }
        bytes.resize(bytes.len() + 4 + length, 0);
        bytes
    }

    fn admitted(bytes: &[u8], piece: usize) -> bool {
        let mut first = FirstMessage::new(100);
        bytes.chunks(piece).all(|piece| first.admits(piece))
    }

    #[test]
    fn s15_a_frame_is_judged_by_its_header_in_whatever_pieces_it_comes() {
        let whole = [frame(0x01, 100), frame(0x89, 3), frame(0x00, 0), frame(0x80, 99)].concat();
        let late = [frame(0x01, 3), frame(0x00, 101)].concat();
        let ping = [frame(0x01, 3), frame(0x89, 3)].concat();
        for piece in 1..=whole.len() {
            assert!(admitted(&whole, piece), "{piece}");
            assert!(!admitted(&late, piece), "{piece}");
            assert!(admitted(&ping, piece), "{piece}");
        }
        // Its payload need not come.
        let header = &frame(0x81, 1 << 20)[..14];
        assert!(admitted(&header[..13], 1));
        assert!(!admitted(header, 1) && !admitted(header, 14));
    }

    #[test]
    fn what_follows_the_first_message_passes() {
        let bytes = [frame(0x81, 100), frame(0x81, 1 << 20)].concat();
        for piece in [1, 7, bytes.len()] {
            assert!(admitted(&bytes, piece));
        }
        // A frame that is none is refused by whoever reads it, with the code for that.
        assert!(admitted(&[0x83, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 3));
    }
}
