//! The task that owns the transport.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use arcp_core::transport::{BoxTransport, Close, Received, RecvError, Transport};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::config::ClientConfig;
use crate::engine::{Command, Engine};
use crate::error::{Disconnected, Reason};
use crate::reconnect::Reach;
use crate::status::ConnectionStatus;

/// Frames that are read before other tasks get a turn.
const FRAMES: usize = 128;

/// The task that owns the transport, and gets another when it is lost.
pub(crate) struct Driver {
    io: BoxTransport,
    line: Line,
    status: watch::Sender<ConnectionStatus>,
    reach: Option<Reach>,
    config: ClientConfig,
}

/// What the task works on, whatever the transport is.
struct Line {
    engine: Engine,
    commands: mpsc::Receiver<Command>,
    close: mpsc::Receiver<String>,
    sleep: Pin<Box<Sleep>>,
}

impl Driver {
    pub(crate) fn new(
        io: BoxTransport,
        engine: Engine,
        commands: mpsc::Receiver<Command>,
        close: mpsc::Receiver<String>,
        status: watch::Sender<ConnectionStatus>,
        reach: Option<Reach>,
        config: &ClientConfig,
    ) -> Self {
        let line = Line { engine, commands, close, sleep: Box::pin(sleep_until(Instant::now())) };
        Self { io, line, status, reach, config: config.clone() }
    }

    /// Runs until the session ends, and then says why to everyone who waits.
    pub(crate) async fn run(self) {
        let Self { mut io, mut line, status, mut reach, config } = self;
        loop {
            let reason = poll_fn(|cx| line.poll(cx, &mut io)).await;
            // Who closes does not want another connection first, whatever became of this one.
            let reason = line.ended(reason);
            tracing::debug!(%reason, "the connection ends");
            let close = reason.close();
            let stray = |reach: &mut Reach| reach.lost_to_a_stray(&reason, &config);
            let passes = reason.may_pass() || reach.as_mut().is_some_and(stray);
            let Some(reach) = reach.as_mut().filter(|_| passes) else {
                // Who closes waits until that is done; everyone else is told at once.
                if reason == Reason::ClosedByUs {
                    shut(io, close, config.close_wait).await;
                    return line.publish(&status, reason);
                }
                line.publish(&status, reason);
                return shut(io, close, config.close_wait).await;
            };
            // A peer that is gone does not answer a close, and that must not hold us up.
            tokio::spawn(shut(io, close, config.close_wait));
            line.engine.lost(&Disconnected::new(reason.clone()));
            let received = line.engine.peer.received();
            match reach.again(reason, received, &mut line.close, &status, &config).await {
                Ok((transport, info)) => {
                    io = transport;
                    line.engine.resumed(Instant::now().into_std(), &info);
                    status.send_replace(ConnectionStatus::Connected);
                }
                Err(reason) => return line.publish(&status, reason),
            }
        }
    }
}

async fn shut(mut io: BoxTransport, close: Close, wait: Duration) {
    let _ = timeout(wait, poll_fn(|cx| io.poll_close(cx, &close))).await;
}

impl Line {
    fn publish(&mut self, status: &watch::Sender<ConnectionStatus>, reason: Reason) {
        let why = Disconnected::new(reason);
        // First the reason, then the ends of the queues: who finds one looks for the other.
        status.send_replace(ConnectionStatus::Closed(why.clone()));
        self.commands.close();
        self.engine.over(&why);
    }

    fn poll(&mut self, cx: &mut Context<'_>, io: &mut BoxTransport) -> Poll<Reason> {
        self.engine.ledger.register(cx.waker());
        match self.turn(cx, io) {
            Ok(()) => Poll::Pending,
            Err(reason) => Poll::Ready(reason),
        }
    }

    /// Does everything that can be done now.
    fn turn(&mut self, cx: &mut Context<'_>, io: &mut BoxTransport) -> Result<(), Reason> {
        let mut frames = 0;
        loop {
            let now = Instant::now().into_std();
            let before = frames;
            while frames < FRAMES {
                match io.poll_recv(cx) {
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
            worked |= self.write(cx, io)?;
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
    fn write(&mut self, cx: &mut Context<'_>, io: &mut BoxTransport) -> Result<bool, Reason> {
        let mut sent = false;
        while !self.engine.out.is_empty() {
            match io.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => return Err(self.broken(cx, io, &e)),
                Poll::Ready(Ok(())) => {}
            }
            sent = true;
            if let Some(frame) = self.engine.out.next()?
                && let Err(e) = io.send(frame)
            {
                return Err(self.broken(cx, io, &e));
            }
        }
        match io.poll_flush(cx) {
            Poll::Ready(Err(e)) => Err(self.broken(cx, io, &e)),
            _ => Ok(sent),
        }
    }

    /// Nothing can be sent any more. What the peer said before it went may say why.
    fn broken(&mut self, cx: &mut Context<'_>, io: &mut BoxTransport, e: &std::io::Error) -> Reason {
        for _ in 0..32 * FRAMES {
            let Poll::Ready(received) = io.poll_recv(cx) else { break };
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
            Ok(Received::Control) => Ok(()),
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
