//! The task that owns the transport.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::transport::{Received, RecvError, Transport};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::config::ClientConfig;
use crate::engine::{Command, Engine};
use crate::error::{Disconnected, Reason};

/// Frames that are read before other tasks get a turn.
const FRAMES: usize = 128;

/// The task that owns the transport.
pub(crate) struct Driver<T> {
    transport: T,
    engine: Engine,
    commands: mpsc::Receiver<Command>,
    close: mpsc::Receiver<String>,
    closed: watch::Sender<Option<Disconnected>>,
    sleep: Pin<Box<Sleep>>,
    close_wait: std::time::Duration,
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(
        transport: T,
        engine: Engine,
        commands: mpsc::Receiver<Command>,
        close: mpsc::Receiver<String>,
        closed: watch::Sender<Option<Disconnected>>,
        config: &ClientConfig,
    ) -> Self {
        let sleep = Box::pin(sleep_until(Instant::now()));
        let close_wait = config.close_wait;
        Self { transport, engine, commands, close, closed, sleep, close_wait }
    }

    /// Runs until the connection ends, and then says why to everyone who waits.
    pub(crate) async fn run(mut self) {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        tracing::debug!(%reason, "the connection ends");
        let (ours, close) = (reason == Reason::ClosedByUs, reason.close());
        let why = Disconnected::new(reason);
        // Who closes waits until that is done; everyone else is told at once.
        if !ours {
            self.publish(&why);
        }
        let done = poll_fn(|cx| self.transport.poll_close(cx, &close));
        let _ = timeout(self.close_wait, done).await;
        if ours {
            self.publish(&why);
        }
    }

    fn publish(&mut self, why: &Disconnected) {
        // First the reason, then the ends of the queues: who finds one looks for the other.
        self.closed.send_replace(Some(why.clone()));
        self.commands.close();
        self.engine.fail_all(why);
        self.engine.jobs.clear();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.engine.ledger.register(cx.waker());
        match self.turn(cx) {
            Ok(()) => Poll::Pending,
            Err(reason) => Poll::Ready(reason),
        }
    }

    /// Does everything that can be done now.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let mut frames = 0;
        loop {
            let now = Instant::now().into_std();
            let before = frames;
            while frames < FRAMES {
                match self.transport.poll_recv(cx) {
                    Poll::Pending => break,
                    Poll::Ready(received) => self.received(received)?,
                }
                frames += 1;
            }
            let mut worked = frames > before;
            while self.engine.has_room()
                && let Poll::Ready(Some(command)) = self.commands.poll_recv(cx)
            {
                self.engine.command(now, command);
                worked = true;
            }
            // Whatever waits to be sent, the end of the session waits no longer than it may.
            if self.engine.closing.is_none()
                && let Poll::Ready(reason) = self.close.poll_recv(cx)
            {
                self.engine.close(now, reason.as_deref().unwrap_or("the client is gone"))?;
                worked = true;
            }
            // Last, so that a peer is not silent whose words were not read yet.
            self.engine.tick(now)?;
            worked |= self.write(cx)?;
            if frames >= FRAMES {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            if worked {
                continue;
            }
            let Some(at) = self.engine.timeout() else { return Ok(()) };
            let at = Instant::from_std(at);
            if self.sleep.deadline() != at {
                self.sleep.as_mut().reset(at);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
    }

    /// Sends what waits, as far as there is room; `true` if that was anything.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let mut sent = false;
        while !self.engine.out.is_empty() {
            match self.transport.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => return Err(self.broken(cx, &e)),
                Poll::Ready(Ok(())) => {}
            }
            sent = true;
            if let Some(frame) = self.engine.out.next()?
                && let Err(e) = self.transport.send(frame)
            {
                return Err(self.broken(cx, &e));
            }
        }
        match self.transport.poll_flush(cx) {
            Poll::Ready(Err(e)) => Err(self.broken(cx, &e)),
            _ => Ok(sent),
        }
    }

    /// Nothing can be sent any more. What the peer said before it went may say why.
    fn broken(&mut self, cx: &mut Context<'_>, e: &std::io::Error) -> Reason {
        for _ in 0..32 * FRAMES {
            let Poll::Ready(received) = self.transport.poll_recv(cx) else { break };
            if let Err(reason) = self.received(received) {
                return match reason {
                    Reason::Lost(_) => Reason::Lost(e.to_string()),
                    said => said,
                };
            }
        }
        self.ended(Reason::Lost(e.to_string()))
    }

    fn received(&mut self, received: Result<Received, RecvError>) -> Result<(), Reason> {
        match received {
            Ok(Received::Frame(frame)) => self.engine.frame(Instant::now().into_std(), &frame),
            Ok(Received::Closed(Some(close))) => Err(self.ended(Reason::ClosedByPeer(close))),
            Ok(Received::Closed(None)) => Err(self.ended(Reason::Lost("the connection ended".to_owned()))),
            Err(RecvError::Io(e)) => Err(self.ended(Reason::Lost(e.to_string()))),
            Err(e) => Err(Reason::Protocol(e.to_string())),
        }
    }

    /// However the connection ends once we close it, we did.
    fn ended(&self, reason: Reason) -> Reason {
        if self.engine.closing.is_some() { Reason::ClosedByUs } else { reason }
    }
}
