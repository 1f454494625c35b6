//! One connection of a session at the runtime: control traffic and what comes in (§6.4, §6.5).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{FrameRate, Heartbeat};
use crate::wire::session::{Ack, Close, Ping, Pong};
use crate::{Envelope, Error, Feature, Features, MessageType, SessionId, Timestamp};

/// What a link needs to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The heartbeat interval; `None` if heartbeats were not negotiated.
    pub heartbeat: Option<Duration>,
    /// What was negotiated.
    pub features: Features,
    /// Frames a second that the peer may send, and how many at once.
    pub frame_rate: (u32, u32),
    /// Control frames and replies that may wait to be sent before reading stops.
    pub control_queue: usize,
    /// Random bits that make the nonces of pings.
    pub nonce: u128,
}

impl LinkConfig {
    /// A link without heartbeats, with generous bounds.
    pub fn new(features: Features) -> Self {
        Self { heartbeat: None, features, frame_rate: (50_000, 50_000), control_queue: 64, nonce: 1 }
    }
}

/// The longest text of a peer's own that is sent back to it, in bytes.
pub const MAX_TEXT: usize = 4096;

/// What the driver has to do with a frame.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Inbound {
    /// Nothing: it was control traffic and has been dealt with.
    Handled,
    /// The peer processed events up to this number.
    Ack(u64),
    /// A pong, with its nonce.
    Pong(String),
    /// A request for the stack of services.
    Request(Envelope),
    /// A request that no layer may delay: `job.cancel`.
    Urgent(Envelope),
    /// The peer wants this connection to go on with another session (§6.3).
    Resume(Envelope),
    /// The peer ends the connection in an orderly way.
    Close,
}

/// The half of a session that lives as long as a connection.
#[derive(Debug)]
pub struct Link {
    session_id: SessionId,
    features: Features,
    heartbeat: Heartbeat,
    rate: FrameRate,
    control: VecDeque<Envelope>,
    capacity: usize,
    nonce: u128,
}

impl Link {
    /// A link of `session_id` that begins now.
    pub fn new(now: Instant, session_id: SessionId, config: &LinkConfig) -> Self {
        let (per_second, burst) = config.frame_rate;
        Self {
            session_id,
            features: config.features,
            heartbeat: Heartbeat::new(now, config.heartbeat),
            rate: FrameRate::new(now, per_second, burst),
            control: VecDeque::new(),
            capacity: config.control_queue,
            nonce: config.nonce,
        }
    }

    /// Whether a frame may be read now. Reading stops while replies wait to be sent and while the
    /// peer is above its frame rate; [`Link::poll_timeout`] says when to look again.
    pub fn wants_frame(&self, now: Instant) -> bool {
        self.control.len() < self.capacity && self.rate.blocked_until(now).is_none()
    }

    /// A message arrived, whatever it was.
    pub fn heard(&mut self, now: Instant) {
        self.heartbeat.heard(now);
        self.counts(now);
    }

    /// It is not the peer that is silent: what it says is not read for now.
    pub fn excuse(&mut self, now: Instant) {
        self.heartbeat.heard(now);
    }

    /// A frame arrived that is none of ours, such as a WebSocket's ping. It counts like others, and
    /// says nothing of the session: a proxy may have sent it.
    pub fn counts(&mut self, now: Instant) {
        self.rate.spend(now);
    }

    /// Takes a message. `wall` is written into pongs.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the message has no place here.
    pub fn handle(&mut self, wall: Timestamp, message: Envelope) -> Result<Inbound, Error> {
        if message.kind == MessageType::Resume {
            // It names the session that it wants, not the one that it has.
            return Ok(Inbound::Resume(message));
        }
        if message.session_id.as_ref().is_some_and(|id| *id != self.session_id) {
            return Err(Error::fault("session_id", "must be the session of this connection"));
        }
        match message.kind {
            MessageType::Ping => {
                let Ping { nonce, .. } = message.payload.decode()?;
                // It comes back in the pong, which must fit into a frame.
                if nonce.len() > MAX_TEXT {
                    return Err(Error::fault("payload.nonce", "must have at most 4096 bytes"));
                }
                let pong = Pong { ping_nonce: nonce, received_at: Some(wall.to_string()) };
                self.control.push_back(Envelope::new(MessageType::Pong, &pong)?);
                Ok(Inbound::Handled)
            }
            MessageType::Pong => Ok(Inbound::Pong(message.payload.decode::<Pong>()?.ping_nonce)),
            MessageType::Ack => {
                self.features.require(Feature::Ack)?;
                Ok(Inbound::Ack(message.payload.decode::<Ack>()?.last_processed_seq))
            }
            MessageType::Close | MessageType::Bye => {
                let Close { reason } = message.payload.decode()?;
                let reason = reason.filter(|reason| reason.len() <= MAX_TEXT);
                let closed = Envelope::new(MessageType::Closed, &Close { reason })?;
                self.control.push_back(closed.with_id(None));
                Ok(Inbound::Close)
            }
            MessageType::Hello => Err(Error::fault("type", "the session of this connection is open already")),
            MessageType::Cancel => Ok(Inbound::Urgent(message)),
            // A type that we do not know is a matter of the stack: a layer of the user's may.
            MessageType::Submit
            | MessageType::Subscribe
            | MessageType::Unsubscribe
            | MessageType::ListJobs
            | MessageType::Other(_) => Ok(Inbound::Request(message)),
            _ => Err(Error::fault("type", "is a message of the runtime")),
        }
    }

    /// Queues a reply ahead of every event.
    pub fn reply(&mut self, message: Envelope) {
        self.control.push_back(message);
    }

    /// The next control frame or reply to send.
    pub fn next_reply(&mut self) -> Option<Envelope> {
        self.control.pop_front()
    }

    /// Whether replies wait to be sent.
    pub fn has_replies(&self) -> bool {
        !self.control.is_empty()
    }

    /// Nothing is to be done for now: what was held for replies is given back.
    pub fn rest(&mut self) {
        if self.control.is_empty() {
            self.control = VecDeque::new();
        }
    }

    /// Queues a ping of its own nonce, and says which.
    ///
    /// # Errors
    /// Never in practice: a ping has a JSON form.
    pub fn ping(&mut self, wall: Timestamp) -> Result<String, Error> {
        self.nonce = self.nonce.wrapping_add(1);
        let nonce: String = "p_".chars().chain(crate::id::crockford(self.nonce).map(char::from)).collect();
        let ping = Ping { nonce: nonce.clone(), sent_at: Some(wall.to_string()) };
        self.control.push_back(Envelope::new(MessageType::Ping, &ping)?);
        Ok(nonce)
    }

    /// When to call [`Link::handle_timeout`], or to read again.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match (self.heartbeat.timeout(), self.rate.blocked_until(now)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Advances the clock.
    ///
    /// # Errors
    /// `HEARTBEAT_LOST` after two silent intervals.
    pub fn handle_timeout(&mut self, now: Instant, wall: Timestamp) -> Result<(), Error> {
        // A peer that does not read gets no second ping behind the first.
        if self.heartbeat.poll(now)? && self.control.len() < self.capacity {
            self.ping(wall)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(features: &[Feature]) -> (Instant, Link) {
        let now = Instant::now();
        let config = LinkConfig {
            heartbeat: Some(Duration::from_secs(10)),
            ..LinkConfig::new(Features::of(features))
        };
        (now, Link::new(now, SessionId::from_bits(1), &config))
    }

    fn message(kind: &str, payload: &str) -> Envelope {
        Envelope::of_json(kind.into(), crate::Json::parse(payload.to_owned()).unwrap())
    }

    const WALL: fn() -> Timestamp = || Timestamp::from_millis(0);

    #[test]
    fn a_ping_is_answered_and_a_request_passes() {
        let (_, mut link) = link(&[]);
        assert_eq!(link.handle(WALL(), message("session.ping", r#"{"nonce":"n\"1"}"#)), Ok(Inbound::Handled));
        let pong = link.next_reply().unwrap();
        assert_eq!(
            pong.payload.as_str(),
            r#"{"ping_nonce":"n\"1","received_at":"1970-01-01T00:00:00.000Z"}"#
        );
        assert!(matches!(link.handle(WALL(), message("job.submit", "{}")), Ok(Inbound::Request(_))));
        assert!(matches!(link.handle(WALL(), message("job.cancel", "{}")), Ok(Inbound::Urgent(_))));
    }

    #[test]
    fn what_was_not_negotiated_or_has_no_place_is_refused() {
        let (_, mut link) = link(&[]);
        let refused = |link: &mut Link, m| link.handle(WALL(), m).unwrap_err().message().to_owned();
        assert!(
            refused(&mut link, message("session.ack", r#"{"last_processed_seq":1}"#))
                .contains("not negotiated")
        );
        assert!(refused(&mut link, message("session.hello", "{}")).contains("open already"));
        assert!(refused(&mut link, message("session.welcome", "{}")).contains("of the runtime"));
        let mut foreign = message("session.ping", r#"{"nonce":"x"}"#);
        foreign.session_id = Some(SessionId::from_bits(2));
        assert!(refused(&mut link, foreign).contains("this connection"));
        let (_, mut acking) = self::link(&[Feature::Ack]);
        for bad in ["-1", "1.0", "\"5\"", "null", "1e2"] {
            let m = message("session.ack", &format!(r#"{{"last_processed_seq":{bad}}}"#));
            assert!(refused(&mut acking, m).starts_with("payload.last_processed_seq: must be"), "{bad}");
        }
    }

    #[test]
    fn reading_stops_while_replies_wait() {
        let (now, mut link) = link(&[]);
        for _ in 0..64 {
            assert!(link.wants_frame(now));
            link.handle(WALL(), message("session.ping", r#"{"nonce":"x"}"#)).unwrap();
        }
        assert!(!link.wants_frame(now));
        link.next_reply();
        assert!(link.wants_frame(now));
    }

    #[test]
    fn a_frame_that_is_no_message_counts_and_is_no_sign_of_life() {
        let (now, mut link) = link(&[]);
        for _ in 0..50_000 {
            assert!(link.wants_frame(now));
            link.counts(now);
        }
        assert!(!link.wants_frame(now));
        link.handle_timeout(now + Duration::from_secs(10), WALL()).unwrap();
        link.counts(now + Duration::from_secs(19));
        assert!(link.handle_timeout(now + Duration::from_secs(20), WALL()).is_err());
    }

    #[test]
    fn the_heartbeat_runs_on_the_time_it_is_given() {
        let (now, mut link) = link(&[Feature::Heartbeat]);
        let s = Duration::from_secs(1);
        link.handle_timeout(now + s * 10, WALL()).unwrap();
        assert_eq!(link.next_reply().unwrap().kind, MessageType::Ping);
        assert!(link.handle_timeout(now + s * 20, WALL()).is_err());
    }
}
