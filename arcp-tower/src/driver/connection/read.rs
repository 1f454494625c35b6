//! What comes in: control frames are dealt with, requests wait for their turn.

use std::mem;
use std::task::{Context, Poll};

use arcp_core::session::{AckAhead, Inbound};
use arcp_core::transport::{Close, Received, RecvError, Transport};
use arcp_core::{Envelope, Error};
use bytestring::ByteString;
use tower_service::Service;

use super::{Connection, TURN};
use crate::driver::refuse::refusal;
use crate::profile::Refusable;
use crate::service::{Request, Response};
use crate::{BoxError, clock, telemetry};

impl<T, S> Connection<'_, T, S>
where
    T: Transport,
    S: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    /// Reads while there is room. Control frames are dealt with even while no command can run.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<Close>> {
        let mut progress = false;
        for _ in 0..TURN {
            let now = clock::now();
            if self.closing.is_some() || self.is_full() || !self.link.wants_frame(now) {
                break;
            }
            let Poll::Ready(received) = self.io.poll_recv(cx) else { break };
            progress = true;
            match received {
                Ok(Received::Frame(frame)) => {
                    self.link.heard(now);
                    self.watch.moved(now);
                    let first = !mem::replace(&mut self.heard, true);
                    if first && self.delivery.attachment.confirm_token() {
                        self.delivery.confirmed();
                    }
                    self.frame(&frame);
                }
                Ok(Received::Control) => self.link.counts(now),
                Ok(Received::Closed(Some(_))) => return Err(Some(Close::new(Close::NORMAL, ""))),
                Ok(Received::Closed(None)) | Err(RecvError::Io(_)) => return Err(None),
                Err(e) => {
                    if let Some(error) = refusal(&e, self.io.says_why()) {
                        self.refuse(&error, &Refusable::frame(None));
                    }
                    self.close(e.close().unwrap_or_else(|| Close::new(Close::PROTOCOL, "")));
                }
            }
        }
        Ok(progress)
    }

    /// Whether nothing is read because what was read waits to be done.
    pub(super) fn is_full(&self) -> bool {
        let most = self.config.max_pending;
        self.resume.is_some() || self.pending.len() >= most || self.urgent_calls.len() >= most
    }

    fn frame(&mut self, frame: &ByteString) {
        let message = match Envelope::decode(frame, self.config.json_limits()) {
            Ok(message) => message,
            Err(fault) => return self.refuse(&fault.error, &Refusable::frame(fault.id)),
        };
        let request = Refusable::of(&message);
        let outcome = self.link.handle(self.config.clock.wall(), message).and_then(|inbound| {
            match inbound {
                Inbound::Ack(seq) => {
                    let ahead = |e: AckAhead| Error::fault("payload.last_processed_seq", &e.to_string());
                    self.cx.ack(seq).map_err(ahead)?;
                    telemetry::acknowledged(|| (self.cx.lag(), self.cx.ahead()));
                    self.delivery.acked(seq);
                }
                Inbound::Pong(nonce) => self.held.retain(|held| held.nonce.as_ref() != Some(&nonce)),
                Inbound::Request(message) => {
                    self.pending.push_back(Request::new(message, self.cx.clone()));
                }
                Inbound::Urgent(message) => {
                    self.urgent_calls.push(request.clone(), self.urgent.urgent(message));
                }
                Inbound::Resume(message) => self.resume = Some(Box::new(message)),
                Inbound::Close => self.close(Close::new(Close::NORMAL, "session.closed")),
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.refuse(&error, &request);
        }
    }
}
