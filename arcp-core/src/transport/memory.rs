//! An in-process transport: two bounded channels.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_channel::mpsc;
use futures_core::Stream as _;

use super::{Close, Received, RecvError, Transport};

/// One end of an in-process connection.
#[derive(Debug)]
pub struct Memory {
    tx: mpsc::Sender<Item>,
    rx: mpsc::Receiver<Item>,
}

#[derive(Debug)]
enum Item {
    Frame(String),
    Close(Close),
}

/// A connected pair that holds about `capacity` frames each way.
pub fn memory(capacity: usize) -> (Memory, Memory) {
    let ((to_b, at_b), (to_a, at_a)) = (mpsc::channel(capacity), mpsc::channel(capacity));
    (Memory { tx: to_b, rx: at_a }, Memory { tx: to_a, rx: at_b })
}

fn gone<E>(_: E) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Transport for Memory {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        Poll::Ready(Ok(match ready!(Pin::new(&mut self.rx).poll_next(cx)) {
            Some(Item::Frame(frame)) => Received::Frame(frame.into()),
            Some(Item::Close(close)) => Received::Closed(Some(close)),
            None => Received::Closed(None),
        }))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tx.poll_ready(cx).map_err(gone)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        self.tx.start_send(Item::Frame(frame)).map_err(gone)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        if !self.tx.is_closed() {
            ready!(self.poll_ready(cx))?;
            self.tx.start_send(Item::Close(close.clone())).map_err(gone)?;
            self.tx.close_channel();
        }
        Poll::Ready(Ok(()))
    }
}
