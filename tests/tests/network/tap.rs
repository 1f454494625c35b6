//! What went over a connection, frame by frame, as the proxy saw it.

use std::time::Duration;

use serde_json::Value;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// One direction of a WebSocket, from its HTTP head on.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
    /// Bytes of the HTTP head, and of the first frame once there was one.
    opening: usize,
    begun: bool,
}

impl Reader {
    /// The frames that are whole now: opcode and payload.
    fn push(&mut self, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.bytes.extend_from_slice(bytes);
        if self.opening == 0 {
            let end = b"\r\n\r\n";
            let Some(at) = self.bytes.windows(4).position(|window| window == end) else { return Vec::new() };
            self.bytes.drain(..at + 4);
            self.opening = at + 4;
        }
        std::iter::from_fn(|| self.frame()).collect()
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second, rest @ ..] = &self.bytes[..] else { return None };
        let (length, rest) = match second & 0x7F {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
            127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).unwrap(), &rest[8..]),
            short => (usize::from(short), rest),
        };
        let (mask, rest) = match second & 0x80 {
            0 => ([0; 4], rest),
            _ => (*rest.first_chunk()?, &rest[4..]),
        };
        let mut payload = rest.get(..length)?.to_vec();
        if mask != [0; 4] {
            for at in 0..length {
                payload[at] ^= mask[at % 4];
            }
        }
        let frame = (first & 0x0F, payload);
        let used = self.bytes.len() - rest.len() + length;
        self.bytes.drain(..used);
        if !std::mem::replace(&mut self.begun, true) {
            self.opening += used;
        }
        Some(frame)
    }
}

/// A frame of the runtime, and when it reached the proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub at: Duration,
    pub message: Value,
}

impl Frame {
    pub fn event_seq(&self) -> Option<u64> {
        self.message["event_seq"].as_u64()
    }

    pub fn kind(&self) -> &str {
        self.message["type"].as_str().unwrap_or_default()
    }
}

/// A connection.
#[derive(Debug, Default)]
pub struct Record {
    up: Reader,
    down: Reader,
    /// Bytes that came from the client, and from the runtime.
    pub bytes: (usize, usize),
    /// The client's frames.
    pub said: Vec<Value>,
    /// The runtime's frames.
    pub heard: Vec<Frame>,
    /// The code of the runtime's close frame.
    pub close: Option<u16>,
    /// When the last bytes passed that came from the client, and from the runtime.
    pub passed: (Duration, Duration),
    /// When its plan took it out of use without anyone being told.
    pub silent: Option<Duration>,
    /// When the runtime ended its side, or the proxy did.
    pub ended: Option<Duration>,
}

impl Record {
    /// Takes bytes of the client; `true` if it is about to close.
    pub fn sent_by_client(&mut self, bytes: &[u8]) -> bool {
        self.bytes.0 += bytes.len();
        let frames = self.up.push(bytes);
        for (_, text) in frames.iter().filter(|(opcode, _)| *opcode == TEXT) {
            self.said.push(serde_json::from_slice(text).unwrap());
        }
        frames.iter().any(|(opcode, _)| *opcode == CLOSE)
    }

    pub fn sent_by_runtime(&mut self, at: Duration, bytes: &[u8]) {
        self.bytes.1 += bytes.len();
        for (opcode, payload) in self.down.push(bytes) {
            match opcode {
                TEXT => {
                    let message = serde_json::from_slice(&payload).unwrap();
                    self.heard.push(Frame { at, message });
                }
                CLOSE => self.close = payload.first_chunk().map(|code| u16::from_be_bytes(*code)),
                _ => {}
            }
        }
    }

    /// Bytes of the HTTP head and the first frame of the client, and of the runtime.
    pub fn opening(&self) -> (usize, usize) {
        (self.up.opening, self.down.opening)
    }

    /// The session that it was welcomed to.
    pub fn session(&self) -> Option<&str> {
        let first = self.heard.first().filter(|frame| frame.kind() == "session.welcome");
        first.and_then(|frame| frame.message["session_id"].as_str())
    }

    /// The number that its client resumed from; 0 if its session is fresh.
    pub fn resumed_from(&self) -> u64 {
        let hello = self.said.first().map(|hello| &hello["payload"]["resume"]["last_event_seq"]);
        hello.and_then(Value::as_u64).unwrap_or(0)
    }

    /// What was numbered.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &Frame)> {
        self.heard.iter().filter_map(|frame| Some((frame.event_seq()?, frame)))
    }
}
