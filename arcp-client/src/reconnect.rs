//! Finding the way back to a session after its connection was lost (§6.3).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::Code;
use arcp_core::transport::{BoxTransport, Close};
use futures_util::future::{Either, select};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::config::ClientConfig;
use crate::connector::Connector;
use crate::error::{ConnectError, Disconnected, NotResumed, Reason};
use crate::handshake::Greeting;
use crate::point::Anchor;
use crate::random;
use crate::session::SessionInfo;
use crate::status::ConnectionStatus;

/// What a driver needs to come back.
#[derive(Debug)]
pub(crate) struct Reach {
    connector: Connector,
    greeting: Greeting,
    anchor: Arc<Anchor>,
    /// How long the runtime holds the session, by its last welcome.
    window: Duration,
    outage: Option<Outage>,
}

/// A time without a connection that lasts. It goes on over a resume that led to nothing, so that a
/// runtime that fails again at once is not asked again at once, and not for ever.
#[derive(Debug)]
struct Outage {
    since: Instant,
    attempts: u32,
    /// What had arrived when it was resumed, and when that was.
    resumed: Option<(u64, Instant)>,
    /// Attempts that were given up without an answer. The runtime may still get to see them.
    strays: u32,
}

impl Outage {
    fn lasts(&self, now: Instant, received: u64, config: &ClientConfig) -> bool {
        self.resumed.is_some_and(|(before, at)| received == before && now < at + config.backoff_most)
    }
}

impl Reach {
    pub(crate) fn new(connector: Connector, greeting: Greeting, anchor: Arc<Anchor>, window: u64) -> Self {
        Self { connector, greeting, anchor, window: seconds(window), outage: None }
    }

    /// Whether the session was lost to an attempt of this client's own, which was given up and
    /// arrived late: nobody is there, and it can be had back. That can only be until the runtime has
    /// heard of the newest token, so soon after a resume, and once for each such attempt.
    pub(crate) fn lost_to_a_stray(&mut self, reason: &Reason, config: &ClientConfig) -> bool {
        let taken = matches!(reason, Reason::ClosedByPeer(close) if close.code == Close::TAKEN_OVER);
        let Some(outage) = self.outage.as_mut().filter(|_| taken) else { return false };
        let soon = outage.resumed.is_some_and(|(_, at)| at.elapsed() < config.hello_timeout);
        let lost = soon && outage.strays > 0;
        outage.strays -= u32::from(lost);
        lost
    }

    /// Connects and resumes, until that succeeds, is refused or takes too long, or the client is
    /// closed. `received` is the last event that arrived without a gap.
    ///
    /// # Errors
    /// Why the session is over.
    pub(crate) async fn again(
        &mut self,
        lost: Reason,
        received: u64,
        close: &mut mpsc::Receiver<String>,
        status: &watch::Sender<ConnectionStatus>,
        config: &ClientConfig,
    ) -> Result<(BoxTransport, SessionInfo), Reason> {
        let begun = Instant::now();
        let most = config.resume_for.unwrap_or(self.window);
        let Some(request) = self.anchor.request(received).filter(|_| !most.is_zero()) else {
            return Err(lost);
        };
        let same = self.outage.take().filter(|outage| outage.lasts(begun, received, config));
        let mut outage = same.unwrap_or(Outage { since: begun, attempts: 0, resumed: None, strays: 0 });
        let until = outage.since + most.min(seconds(u64::MAX));
        let why = Disconnected::new(lost.clone());
        let mut last = lost.to_string();
        tracing::info!(reason = %lost, received, "the connection was lost; the session will be resumed");
        loop {
            let now = Instant::now();
            if outage.attempts > 0 && now >= until {
                let why = NotResumed::GaveUp { attempts: outage.attempts, last };
                return Err(not_resumed(lost, why));
            }
            outage.attempts = outage.attempts.saturating_add(1);
            let (attempt, since) = (outage.attempts, outage.since.into_std());
            status.send_replace(ConnectionStatus::Reconnecting { attempt, since, why: why.clone() });
            let wait = backoff(attempt, config);
            tracing::debug!(attempt, ?wait, "waits to reconnect");
            let opened = async {
                sleep_until((now + wait).min(until)).await;
                let transport = self.connector.open(config).await.map_err(|e| (e, false))?;
                let said = self.greeting.say(transport, Some(request.clone()), config).await;
                said.map_err(|e| (e, true))
            };
            let (failed, said) = match select(pin!(opened), pin!(close.recv())).await {
                Either::Right(_) => return Err(Reason::ClosedByUs),
                Either::Left((Err(e), _)) => e,
                Either::Left((Ok((transport, info)), _)) => {
                    self.anchor.rotate(info.welcome.resume_token.clone());
                    self.window = seconds(info.welcome.resume_window_sec);
                    outage.resumed = Some((received, Instant::now()));
                    self.outage = Some(outage);
                    tracing::info!(attempt, received, "the session was resumed");
                    return Ok((transport, info));
                }
            };
            tracing::debug!(attempt, error = %failed, "not reconnected");
            let unanswered =
                matches!(failed, ConnectError::TimedOut | ConnectError::Io(_) | ConnectError::Closed(None));
            outage.strays = outage.strays.saturating_add(u32::from(said && unanswered));
            match failed {
                ConnectError::OtherSession => return Err(not_resumed(lost, NotResumed::OtherSession)),
                ConnectError::Refused(error) if is_final(&error) => {
                    return Err(not_resumed(lost, NotResumed::Refused(error)));
                }
                other => last = other.to_string(),
            }
        }
    }
}

fn not_resumed(lost: Reason, why: NotResumed) -> Reason {
    tracing::warn!(%why, "the session could not be resumed");
    Reason::NotResumed { lost: Box::new(lost), why }
}

/// Whether a refusal will be the same the next time.
fn is_final(error: &arcp_core::Error) -> bool {
    let code = error.code();
    matches!(code, Code::ResumeWindowExpired | Code::PermissionDenied | Code::Unauthenticated)
        || !error.retryable()
}

/// What a runtime says must not overflow the clock.
fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(365 * 86_400))
}

/// Exponential, with full jitter: after a restart of the runtime its clients must not come at once.
fn backoff(attempt: u32, config: &ClientConfig) -> Duration {
    let factor = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let most = config.backoff_first.saturating_mul(factor).min(config.backoff_most);
    // Without random bits all of it.
    random::fraction().map_or(most, |fraction| most.mul_f64(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_are_spread_over_all_of_it() {
        let config = ClientConfig::default();
        let most = |attempt| (0..200).map(|_| backoff(attempt, &config)).max().unwrap();
        let ms = Duration::from_millis;
        for (attempt, bound) in [(1, ms(100)), (2, ms(200)), (5, ms(1600)), (8, ms(10_000)), (99, ms(10_000))]
        {
            assert!(most(attempt) <= bound && most(attempt) > bound / 2, "{attempt}");
        }
        assert!((0..200).map(|_| backoff(8, &config)).min().unwrap() < ms(1000));
    }
}
