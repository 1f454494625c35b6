//! What a frame of the runtime means for the session.

use std::time::Instant;

use arcp_core::session::Arrival;
use arcp_core::transport::Close;
use arcp_core::wire::event::EventPayload;
use arcp_core::wire::job::{Accepted, JobError as ErrorPayload};
use arcp_core::wire::session::{Close as CloseReason, Ping, Pong, SessionError};
use arcp_core::{Code, Envelope, Error, JobId, MessageType};
use bytestring::ByteString;

use crate::engine::{Engine, Slot};
use crate::error::{Reason, RequestError};
use crate::jobs::{JobEvent, Standing};
use crate::ledger::Mark;
use crate::outcome::Terminal;
use crate::pending::{Clues, Kind, Verdict};

impl Engine {
    /// Takes a frame. What cannot be understood is ignored: a newer runtime must not break us.
    ///
    /// # Errors
    /// If the frame ends the connection.
    pub(crate) fn frame(&mut self, now: Instant, frame: &ByteString) -> Result<(), Reason> {
        self.peer.heard(now);
        let message = match Envelope::decode(frame, self.limits) {
            Ok(message) => message,
            Err(fault) => {
                tracing::warn!(fault = fault.error.message(), "ignored a frame that is no envelope");
                return Ok(());
            }
        };
        let mark = match message.event_seq {
            None => None,
            Some(seq) => match self.peer.arrived(seq) {
                Arrival::Next => Some(self.ledger.mark(seq)),
                Arrival::Repeat => return Ok(()),
                Arrival::Gap { expected } => return Err(Reason::Gap { expected, arrived: seq }),
            },
        };
        match message.kind {
            MessageType::Event => self.event(now, &message, mark)?,
            MessageType::Result => self.result(now, &message, mark)?,
            MessageType::JobError => self.job_error(now, &message, mark)?,
            MessageType::Accepted => self.accepted(&message),
            MessageType::Subscribed => self.subscribed(now, &message),
            MessageType::Jobs => self.listed(&message),
            MessageType::JobCancelled => self.cancelled(&message),
            MessageType::SessionError => self.session_error(&message)?,
            MessageType::Ping => match message.payload.decode::<Ping>() {
                Ok(ping) => self.out.pong(ping.nonce),
                Err(error) => tracing::warn!(fault = error.message(), "ignored a ping"),
            },
            MessageType::Pong => self.pong(now, &message),
            MessageType::Closed | MessageType::Close | MessageType::Bye => return Err(self.closed(&message)),
            ref other => tracing::debug!(kind = other.as_str(), "ignored a message"),
        }
        Ok(())
    }

    fn event(&mut self, now: Instant, message: &Envelope, mark: Option<Mark>) -> Result<(), Reason> {
        let Some(job) = message.job_id.clone().or_else(|| Clues::of(message).job) else {
            tracing::debug!("ignored an event of no job");
            return Ok(());
        };
        if self.jobs.is_muted(&job, now) {
            return Ok(());
        }
        if self.jobs.is_unwatched(&job) && !self.pending.subscribes(&job) {
            // The runtime does not know; who watches the job next would go without what comes until then.
            self.unsubscribe(now, &job);
            return Ok(());
        }
        let event = match EventPayload::read(&message.payload) {
            Ok(EventPayload { ts, body, .. }) => {
                JobEvent { event_seq: message.event_seq, ts, body, payload: message.payload.clone() }
            }
            Err(error) => {
                tracing::warn!(%job, fault = error.message(), "ignored an event");
                return Ok(());
            }
        };
        let size = message.payload.as_str().len();
        self.keep(&job, mark.as_ref())?;
        self.jobs.event(&job, event, size, mark).map_err(|_| Reason::Overrun { job_id: job })
    }

    /// Keeps what comes of a job that nobody can know of yet. Only what is numbered: the rest could
    /// not be said again either.
    fn keep(&mut self, job: &JobId, mark: Option<&Mark>) -> Result<(), Reason> {
        let kept = if mark.is_some() { self.jobs.keep(job) } else { Ok(()) };
        kept.map_err(|_| {
            if let Some(mark) = mark {
                mark.lose();
            }
            Reason::Overrun { job_id: job.clone() }
        })
    }

    fn result(&mut self, now: Instant, message: &Envelope, mark: Option<Mark>) -> Result<(), Reason> {
        let Some(job) = message.job_id.clone().or_else(|| Clues::of(message).job) else {
            tracing::warn!("ignored a result of no job");
            return Ok(());
        };
        self.keep(&job, mark.as_ref())?;
        self.end(now, &job, &Terminal::of_result(&message.payload), mark);
        Ok(())
    }

    fn end(&mut self, now: Instant, job: &JobId, terminal: &Terminal, mark: Option<Mark>) {
        // Who watches the job again is told its end again.
        if !self.jobs.is_muted(job, now) {
            self.jobs.end(job, terminal, mark);
        }
        // Not every runtime says `job.cancelled`; the job's end says as much.
        while let Some(request) = self.pending.on_job(Kind::Cancel, job) {
            if let Slot::Cancel(reply) = request.slot {
                let _ = reply.send(Ok(()));
            }
        }
    }

    fn job_error(&mut self, now: Instant, message: &Envelope, mark: Option<Mark>) -> Result<(), Reason> {
        let clues = Clues::of(message);
        if let (Some(job), None) = (&clues.job, &clues.request_id) {
            self.keep(job, mark.as_ref())?;
        }
        let error = message.payload.decode::<ErrorPayload>().map(|payload| payload.error());
        let code = error.as_ref().map_or(Code::InternalError, Error::code);
        let standing = clues.job.as_ref().map_or(Standing::Unknown, |job| self.jobs.standing(job));
        match self.pending.job_error(&clues, code, message.event_seq.is_some(), standing) {
            Verdict::Refusal(request) => {
                self.fail(request, error.map_or_else(RequestError::Unreadable, RequestError::Refused));
            }
            Verdict::Terminal => {
                let Some(job) = clues.job else { return Ok(()) };
                let terminal = Terminal::of_error(&message.payload, self.jobs.is_cancelled(&job));
                self.end(now, &job, &terminal, mark);
            }
            Verdict::Nothing => tracing::debug!(%code, "ignored an error that nobody waits for"),
        }
        Ok(())
    }

    fn accepted(&mut self, message: &Envelope) {
        let clues = Clues::of(message);
        let Some(request) = self.pending.answered(Kind::Submit, &clues) else {
            // Its submit was given up; its events are not for anyone.
            tracing::warn!(job = ?clues.job, "a job was accepted that nobody waits for");
            if let Some(job) = clues.job
                && self.jobs.standing(&job) == Standing::Unknown
            {
                self.jobs.remember(job);
            }
            return;
        };
        match (message.payload.decode::<Accepted>(), request.slot) {
            (Ok(accepted), Slot::Submit(reply)) => {
                let feed = self.jobs.submitted(&accepted.job_id);
                let _ = reply.send(Ok((accepted, feed)));
            }
            (Err(error), slot) => slot.fail(RequestError::Unreadable(error)),
            (Ok(_), _) => {}
        }
    }

    fn subscribed(&mut self, now: Instant, message: &Envelope) {
        let Some(request) = self.pending.answered(Kind::Subscribe, &Clues::of(message)) else {
            tracing::debug!("ignored a subscription that nobody waits for");
            return;
        };
        match message.payload.decode() {
            Err(error) => self.give_up(now, request, RequestError::Unreadable(error)),
            Ok(subscribed) => {
                let Slot::Subscribe { feed: Some(feed), reply } = request.slot else { return };
                if let Some(job) = &request.job {
                    self.jobs.unmute(job);
                }
                // Nobody may wait any more, and then nobody watches.
                if let (Err(Ok((_, feed))), Some(job)) = (reply.send(Ok((subscribed, feed))), request.job) {
                    self.unwatch(now, &job, feed.id);
                }
            }
        }
    }

    fn listed(&mut self, message: &Envelope) {
        let request = self.pending.answered(Kind::List, &Clues::of(message));
        match (request.map(|request| request.slot), message.payload.decode()) {
            (Some(Slot::List(reply)), Ok(page)) => _ = reply.send(Ok(page)),
            (Some(slot), Err(error)) => slot.fail(RequestError::Unreadable(error)),
            _ => tracing::debug!("ignored a listing that nobody waits for"),
        }
    }

    fn cancelled(&mut self, message: &Envelope) {
        let clues = Clues::of(message);
        let request = self.pending.answered(Kind::Cancel, &clues);
        let job = request.as_ref().and_then(|r| r.job.clone()).or(clues.job);
        if let Some(job) = job {
            self.jobs.cancelled(&job);
        }
        if let Some(Slot::Cancel(reply)) = request.map(|r| r.slot) {
            let _ = reply.send(Ok(()));
        }
    }

    fn session_error(&mut self, message: &Envelope) -> Result<(), Reason> {
        let clues = Clues::of(message);
        let error = match message.payload.decode::<SessionError>() {
            Ok(payload) => payload.error(),
            Err(error) => {
                tracing::warn!(fault = error.message(), "ignored a session.error");
                return Ok(());
            }
        };
        let code = error.code();
        // No request is lost for want of a heartbeat; the connection is (§6.4).
        if code == Code::HeartbeatLost && clues.request_id.is_none() {
            return Err(Reason::HeartbeatLost);
        }
        if let Some(request) = self.pending.refused(&clues) {
            self.fail(request, RequestError::Refused(error));
            return Ok(());
        }
        if code == Code::Unauthenticated && clues.request_id.is_none() {
            return Err(Reason::Ended(error));
        }
        // It concerns no request that is pending, and no job: those are never failed by it.
        tracing::warn!(%code, text = error.message(), "the runtime reports an error");
        Ok(())
    }

    fn pong(&mut self, now: Instant, message: &Envelope) {
        let nonce = message.payload.decode::<Pong>().ok().and_then(|pong| pong.ping_nonce.parse().ok());
        let clues = Clues { request_id: nonce, ..Clues::default() };
        if clues.request_id.is_none() {
            return;
        }
        if let Some(Slot::Ping { sent, reply }) = self.pending.answered(Kind::Ping, &clues).map(|r| r.slot) {
            let _ = reply.send(Ok(now.saturating_duration_since(sent)));
        }
    }

    /// The runtime ends the session, or agrees that we do.
    fn closed(&self, message: &Envelope) -> Reason {
        if self.closing.is_some() {
            return Reason::ClosedByUs;
        }
        let reason = message.payload.decode::<CloseReason>().ok().and_then(|close| close.reason);
        Reason::ClosedByPeer(Close::new(Close::NORMAL, reason.unwrap_or_default()))
    }
}
