//! What goes out: control frames and replies first, then events.

use std::io;
use std::mem;
use std::task::{Context, Poll};

use arcp_core::MessageId;
use arcp_core::transport::Transport;
use tower_service::Service;

use super::{Connection, TURN};
use crate::driver::delivery::Ready;
use crate::service::{Request, Response};
use crate::{BoxError, clock, random};

impl<T, S> Connection<'_, T, S>
where
    T: Transport,
    S: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let (mut progress, mut stuck) = (false, false);
        for _ in 0..TURN {
            let Poll::Ready(ready) = self.io.poll_ready(cx) else {
                stuck = true;
                break;
            };
            ready?;
            let Some(frame) = self.next_frame(cx) else { break };
            self.io.send(frame)?;
            progress = true;
        }
        self.cx.credit(mem::take(&mut self.credits));
        if !progress {
            // While there is more to send, it is gathered; what is left goes when there is no more.
            match self.io.poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => stuck = true,
            }
        }
        if progress {
            self.watch.moved(clock::now());
        }
        if stuck {
            self.watch.stuck(clock::now(), self.io.taken(), progress);
        } else {
            self.watch.flows();
        }
        Ok(progress)
    }

    fn take_notices(&mut self) {
        for notice in self.delivery.attachment.notices() {
            self.link.reply(notice);
        }
    }

    fn next_reply(&mut self) -> Option<String> {
        let reply = self.link.next_reply()?;
        Some(reply.encode(Some(self.cx.id()), &MessageId::from_bits(random::bits())))
    }

    /// Control frames and replies first, then events.
    fn next_frame(&mut self, cx: &mut Context<'_>) -> Option<String> {
        self.take_notices();
        if let Some(reply) = self.next_reply() {
            return Some(reply);
        }
        if let Some(frame) = self.stashed.take() {
            return Some(frame);
        }
        if self.closing.is_some() {
            return None;
        }
        match self.delivery.poll_frame(cx) {
            Poll::Ready(Ok(Some(Ready { frame, credits, .. }))) => {
                self.credits += credits;
                // A job that was delegated is announced before its first event, which may be this.
                self.take_notices();
                let Some(reply) = self.next_reply() else { return Some(frame) };
                self.stashed = Some(frame);
                Some(reply)
            }
            Poll::Ready(Ok(None)) | Poll::Pending => None,
            Poll::Ready(Err(close)) => {
                self.close(close);
                None
            }
        }
    }
}
