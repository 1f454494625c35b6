//! Counting one session's events.

use anyhow::{Result, bail};

use crate::frame::{Kind, event_seq};
use crate::session::Session;

/// Events that came, and whether one was missing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) gaps: u64,
    pub(super) last: u64,
    ack_every: u64,
}

impl Tally {
    /// Counts, and acknowledges every `ack_every` events; 0: never.
    pub(super) fn new(ack_every: u64) -> Self {
        Self { ack_every, ..Self::default() }
    }

    /// Takes the next frame; what it was.
    pub(super) async fn next(&mut self, session: &mut Session) -> Result<Kind> {
        let text = session.text().await?;
        self.bytes += text.len() as u64;
        let kind = Kind::of(&text);
        match kind {
            Kind::Event => self.events += 1,
            Kind::Error => bail!("{text}"),
            Kind::Result | Kind::Other => {}
        }
        if let Some(seq) = event_seq(&text).filter(|_| kind != Kind::Other) {
            self.gaps += u64::from(self.last != 0 && seq != self.last + 1);
            self.last = seq;
            if self.ack_every > 0 && seq % self.ack_every == 0 {
                session.ack(seq).await?;
            }
        }
        Ok(kind)
    }

    /// Reads until `jobs` have ended.
    pub(super) async fn results(&mut self, session: &mut Session, jobs: u64) -> Result<()> {
        let mut ended = 0;
        while ended < jobs {
            ended += u64::from(self.next(session).await? == Kind::Result);
        }
        Ok(())
    }
}
