//! Commands and their answers: they begin in the order they came, and are answered in it.

use std::task::{Context, Poll};
use std::time::Duration;

use arcp_core::transport::{Close, Transport};
use arcp_core::{Error, Feature};
use tower_service::Service;

use super::{Connection, Held};
use crate::fault::to_wire;
use crate::profile::{Refusable, Refusal, Refused};
use crate::service::{After, Request, Response};
use crate::telemetry::{self, Timer};
use crate::{BoxError, clock};

impl<T, S> Connection<'_, T, S>
where
    T: Transport,
    S: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    /// Starts commands in the order they came. Readiness is asked for only when a command waits: an
    /// idle session must not sit on a permit that others share.
    pub(super) fn poll_dispatch(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<Close>> {
        let mut progress = false;
        while !self.pending.is_empty() && self.calls.len() < self.config.max_in_flight {
            match self.service.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => {
                    // A service that failed its readiness is of no more use.
                    let error = to_wire(&*e.into());
                    return Err(Some(Close::new(Close::INTERNAL, error.message())));
                }
            }
            let Some(request) = self.pending.pop_front() else { break };
            let named = Refusable::of(&request.message);
            self.calls.push(named, self.service.call(request));
            progress = true;
        }
        Ok(progress)
    }

    /// Collects replies in the order of the requests: some clients have nothing else to match by.
    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some((request, since, outcome))) = self.urgent_calls.poll_next(cx) {
            progress = true;
            self.answer(outcome, &request, since);
        }
        while let Poll::Ready(Some((request, since, outcome))) = self.calls.poll_next(cx) {
            progress = true;
            self.answer(outcome.map_err(|e| to_wire(&*e.into())), &request, since);
        }
        progress
    }

    fn answer(&mut self, outcome: Result<Response, Error>, request: &Refusable, since: Timer) {
        telemetry::command(request.kind.as_ref(), outcome.as_ref().err(), since);
        match outcome {
            Ok(response) => self.reply(response, request),
            Err(error) => self.refuse(&error, request),
        }
    }

    fn reply(&mut self, response: Response, request: &Refusable) {
        let Response { replies, after } = response;
        let profile = self.cx.profile().clone();
        let single = replies.len() == 1;
        let mut holds_back = false;
        for reply in replies {
            holds_back |= profile.holds_back(&reply);
            self.link.reply(profile.reply(reply, request.id.as_ref().filter(|_| single)));
        }
        if holds_back && after.is_some() {
            self.hold(after);
        }
        // Otherwise `after` runs here, when it is dropped: the replies are queued.
    }

    fn hold(&mut self, effect: Option<After>) {
        let heartbeat = self.cx.features().has(Feature::Heartbeat);
        let nonce = if heartbeat { self.link.ping(self.config.clock.wall()).ok() } else { None };
        let wait = Duration::from_millis(if nonce.is_some() { 250 } else { 50 });
        self.held.push(Held { nonce, until: clock::now() + wait, _effect: effect });
    }

    pub(in crate::driver) fn refuse(&mut self, error: &Error, request: &Refusable) {
        let cx = self.cx.clone();
        let busy = cx.is_busy() || !self.calls.is_empty() || !self.pending.is_empty();
        tracing::debug!(%error, kind = request.kind.as_ref().map_or("none", |k| k.as_str()), "refused");
        match cx.profile().refuse(&Refusal::new(error, request.clone(), busy)) {
            Refused::Frames(frames) => frames.into_iter().for_each(|frame| self.link.reply(frame)),
            Refused::Stillborn => match self.urgent.stillborn(error, request) {
                Ok(response) => self.reply(response, request),
                Err(error) => {
                    // Its client would wait for it for ever.
                    tracing::warn!(%error, "a refusal could not be said");
                    self.close(Close::new(Close::INTERNAL, error.message()));
                }
            },
        }
    }
}
