//! A WebSocket by hand: frames that no library would send.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ask::{Ask, Http, Io};

/// Opcodes with the FIN bit.
pub const TEXT: u8 = 0x81;
/// A binary frame.
pub const BINARY: u8 = 0x82;
/// A ping.
pub const PING: u8 = 0x89;

/// A WebSocket, as bytes.
#[derive(Debug)]
pub struct Wire<T = Io>(T);

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text.
    Text(String),
    /// A close, with its code.
    Close(u16),
    /// A pong, with what it repeats.
    Pong(Vec<u8>),
    /// Another frame.
    Other(u8),
    /// The end of the connection.
    End,
}

/// The first bytes of a client's frame of `length` bytes; its mask is zero, so that the rest can be
/// written as it is.
pub fn header(opcode: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => bytes.push(0x80 | short),
        (_, Ok(medium)) => {
            bytes.push(0xFE);
            bytes.extend(medium.to_be_bytes());
        }
        _ => {
            bytes.push(0xFF);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes
}

/// A whole frame of a client.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, payload.len());
    bytes.extend(payload);
    bytes
}

/// Sends an HTTP request, and reads the head of the answer.
pub async fn request(tcp: &mut TcpStream, head: &str) -> String {
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(tcp.read_u8().await.unwrap());
        }
    };
    timeout(Duration::from_secs(10), read).await.expect("an answer comes in time");
    String::from_utf8(answer).unwrap()
}

impl Wire {
    /// Upgrades a connection; `headers` are more header lines.
    pub async fn upgrade(tcp: TcpStream, path: &str, headers: &str) -> Self {
        Self(Http::One.ask(tcp, Ask { path, headers, ..Ask::default() }).await.upgraded())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire<T> {
    /// What was upgraded already.
    pub fn of(io: T) -> Self {
        Self(io)
    }

    /// The connection.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Writes bytes. A server that has closed already is no failure.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Writes bytes and reads at the same time, until the server says that it closes, or is gone.
    pub async fn write_until_closed(self, bytes: Vec<u8>) -> Vec<Frame> {
        let (mut read, mut write) = tokio::io::split(self.0);
        let writing = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        let frames = until_end(&mut read).await;
        writing.abort();
        frames
    }

    /// Writes bytes and reads at the same time, up to the first frame that is `last`.
    pub async fn write_until(self, bytes: Vec<u8>, last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let (mut read, mut write) = tokio::io::split(self.0);
        let writing = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        let mut frames = Vec::new();
        loop {
            let frame = timeout(Duration::from_secs(10), next(&mut read)).await.expect("it comes in time");
            let done = last(&frame) || frame == Frame::End;
            frames.push(frame);
            if done {
                writing.abort();
                return frames;
            }
        }
    }

    /// Writes a byte every `pause` and reads at the same time, until the server says that it closes, or is
    /// gone.
    pub async fn crawl_until_closed(self, bytes: Vec<u8>, pause: Duration) -> Vec<Frame> {
        let (mut read, mut write) = tokio::io::split(self.0);
        let writing = tokio::spawn(async move {
            for byte in bytes {
                if write.write_u8(byte).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            write
        });
        let frames = until_end(&mut read).await;
        writing.abort();
        frames
    }

    /// The next frame.
    pub async fn read(&mut self) -> Frame {
        timeout(Duration::from_secs(10), next(&mut self.0)).await.expect("a frame comes in time")
    }
}

async fn until_end<R: AsyncRead + Unpin>(io: &mut R) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        match timeout(Duration::from_secs(10), next(io)).await.expect("the connection ends in time") {
            Frame::End => return frames,
            close @ Frame::Close(_) => {
                frames.push(close);
                return frames;
            }
            frame => frames.push(frame),
        }
    }
}

async fn next<R: AsyncRead + Unpin>(io: &mut R) -> Frame {
    read(io).await.unwrap_or(Frame::End)
}

async fn read<R: AsyncRead + Unpin>(io: &mut R) -> std::io::Result<Frame> {
    let (opcode, length) = (io.read_u8().await?, io.read_u8().await?);
    let length = match length {
        126 => u64::from(io.read_u16().await?),
        127 => io.read_u64().await?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    io.read_exact(&mut payload).await?;
    Ok(match opcode {
        TEXT => Frame::Text(String::from_utf8(payload).unwrap()),
        0x8A => Frame::Pong(payload),
        0x88 => Frame::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
        other => Frame::Other(other),
    })
}
