//! A process as a transport.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arcp_core::transport::{Close, LineLimits, Lines, Received, RecvError, Stray, Transport};
use tokio::process::{self, ChildStdin, ChildStdout};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::chatter::Chatter;
use super::stop::stop;

/// How long a process whose output has ended may take to say how it ended.
const LAST_WORD: Duration = Duration::from_millis(500);

/// A process, by its standard input and output. Dropped, it is stopped.
#[derive(Debug)]
pub(crate) struct Child {
    lines: Lines<ChildStdout, ChildStdin>,
    process: Option<process::Child>,
    /// Runs once its output has ended.
    waits: Option<Pin<Box<Sleep>>>,
    grace: Duration,
    token: Option<TaskTrackerToken>,
}

impl Child {
    pub(super) fn new(
        mut process: process::Child,
        limits: LineLimits,
        chatter: Arc<Mutex<Chatter>>,
        grace: Duration,
        token: TaskTrackerToken,
    ) -> io::Result<Self> {
        let pipes = process.stdout.take().zip(process.stdin.take());
        let (stdout, stdin) = pipes.ok_or_else(|| io::Error::other("a process without pipes"))?;
        let stray = move |stray: Stray<'_>| {
            chatter.lock().unwrap_or_else(PoisonError::into_inner).stray(stray);
        };
        let lines = Lines::new(stdout, stdin, limits).tolerant(stray);
        Ok(Self { lines, process: Some(process), waits: None, grace, token: Some(token) })
    }

    /// How it ended, if it has.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let ended = self.process.as_mut().map(|process| pin!(process.wait()).poll(cx));
        if let Some(Poll::Ready(Ok(status))) = ended {
            return Poll::Ready(io::Error::other(format!("the program has ended: {status}")));
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(LAST_WORD)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(io::Error::other("the program has closed its output"))
    }
}

impl Child {
    /// What came of writing. If there is nobody to read it, how the process ended says more.
    fn poll_written(&mut self, cx: &mut Context<'_>, written: io::Result<()>) -> Poll<io::Result<()>> {
        match written {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.poll_ended(cx).map(Err),
            written => Poll::Ready(written),
        }
    }
}

impl Transport for Child {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        match ready!(self.lines.poll_recv(cx)) {
            Ok(Received::Closed(None)) => self.poll_ended(cx).map(|e| Err(RecvError::Io(e))),
            received => Poll::Ready(received),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = ready!(self.lines.poll_ready(cx));
        self.poll_written(cx, ready)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        self.lines.send(frame)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.lines.poll_flush(cx));
        self.poll_written(cx, flushed)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        let closed = ready!(self.lines.poll_close(cx, close));
        if let Some(process) = &mut self.process {
            ready!(pin!(process.wait()).poll(cx))?;
        }
        Poll::Ready(closed)
    }

    fn says_why(&self) -> bool {
        self.lines.says_why()
    }

    fn opened(&mut self) {
        self.lines.opened();
    }

    fn rest(&mut self) {
        self.lines.rest();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Without a runtime the process is killed as it is dropped.
        if let (Some(process), Ok(runtime)) = (self.process.take(), Handle::try_current()) {
            let (grace, token) = (self.grace, self.token.take());
            runtime.spawn(async move {
                stop(process, grace).await;
                drop(token);
            });
        }
    }
}
