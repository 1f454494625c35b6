//! Frames that wait to be sent: control frames first, and never many of them.

use std::collections::VecDeque;

use arcp_core::wire::job::Unsubscribe;
use arcp_core::wire::session::{Ack, Close, Ping, Pong};
use arcp_core::{Envelope, Error, JobId, MessageId, MessageType, SessionId, Timestamp};
use serde::Serialize;

use crate::random;

/// Pongs that wait: a peer that does not read us gets no more.
const PONGS: usize = 16;
/// Requests that wait before the next command is taken.
const FRAMES: usize = 32;

/// Frames that wait to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    session_id: SessionId,
    pongs: VecDeque<Pong>,
    ping: bool,
    ack: Option<u64>,
    frames: VecDeque<Frame>,
}

/// A frame that waits, and the request that it makes if there is an answer to wait for.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) request: Option<MessageId>,
    pub(crate) text: String,
}

impl Outgoing {
    pub(crate) fn new(session_id: SessionId) -> Self {
        Self { session_id, pongs: VecDeque::new(), ping: false, ack: None, frames: VecDeque::new() }
    }

    /// Whether another request may be queued.
    pub(crate) fn has_room(&self) -> bool {
        self.frames.len() < FRAMES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pongs.is_empty() && !self.ping && self.ack.is_none() && self.frames.is_empty()
    }

    /// Queues a request, rendered already.
    pub(crate) fn request(&mut self, request: Option<MessageId>, text: String) {
        self.frames.push_back(Frame { request, text });
    }

    /// The connection is lost: what concerned only that is dropped, and the requests that were not
    /// sent are handed back.
    pub(crate) fn unsent(&mut self) -> VecDeque<Frame> {
        self.pongs.clear();
        (self.ping, self.ack) = (false, None);
        std::mem::take(&mut self.frames)
    }

    pub(crate) fn pong(&mut self, ping_nonce: String) {
        if self.pongs.len() < PONGS {
            self.pongs.push_back(Pong { ping_nonce, received_at: Some(wall()) });
        }
    }

    /// Queues one ping of the heartbeat; a second behind one that waits would say nothing more.
    pub(crate) fn heartbeat(&mut self) {
        self.ping = true;
    }

    /// Queues an ack in place of one that still waits: they are cumulative.
    pub(crate) fn ack(&mut self, last_processed_seq: u64) {
        self.ack = Some(last_processed_seq);
    }

    /// Queues that a job is watched no longer (§7.6).
    pub(crate) fn unsubscribe(&mut self, job: &JobId) -> Result<(), Error> {
        let mut payload = Unsubscribe::default();
        payload.job_id = Some(job.clone());
        let message = Envelope::new(MessageType::Unsubscribe, &payload)?.with_job(job.clone());
        let frame = message.encode(Some(&self.session_id), &random::message_id()?);
        self.request(None, frame);
        Ok(())
    }

    /// Queues the end of the session, behind the requests that wait.
    pub(crate) fn close(&mut self, reason: &str) -> Result<(), Error> {
        let close = Close { reason: Some(reason.to_owned()) };
        let frame = self.render(MessageType::Close, &close)?;
        self.request(None, frame);
        Ok(())
    }

    /// The next frame to send.
    pub(crate) fn next(&mut self) -> Result<Option<String>, Error> {
        if let Some(pong) = self.pongs.pop_front() {
            return self.render(MessageType::Pong, &pong).map(Some);
        }
        if std::mem::take(&mut self.ping) {
            let nonce = random::message_id()?.to_string();
            return self.render(MessageType::Ping, &Ping { nonce, sent_at: Some(wall()) }).map(Some);
        }
        if let Some(last_processed_seq) = self.ack.take() {
            return self.render(MessageType::Ack, &Ack { last_processed_seq }).map(Some);
        }
        Ok(self.frames.pop_front().map(|frame| frame.text))
    }

    fn render<T: Serialize>(&self, kind: MessageType, payload: &T) -> Result<String, Error> {
        Ok(Envelope::new(kind, payload)?.encode(Some(&self.session_id), &random::message_id()?))
    }
}

/// The wall clock, as it is written into pings and pongs.
pub(crate) fn wall() -> String {
    Timestamp::from(std::time::SystemTime::now()).to_string()
}
