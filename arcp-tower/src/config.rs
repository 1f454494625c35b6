//! Every bound of the runtime, in one place.

use std::time::Duration;

use arcp_core::transport::WsLimits;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::door::{Door, Most};
use crate::profile::Choice;
use crate::upgrade::{Host, Origin};

/// The bounds of the runtime and of its connections: every queue, buffer, map and wait that a peer, an
/// agent or an operator can reach has one here. How much is read or written in one go, and how long a store
/// or a service that failed is left alone, bounds nobody, and is a constant where it is done.
///
/// ```
/// use arcp_tower::Config;
/// use std::time::Duration;
/// let config = Config::default().with(|c| c.heartbeat = Duration::from_secs(10));
/// assert_eq!(config.window, 4096);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// How long the first message may take, and then the answer to it. 5 s.
    pub handshake_timeout: Duration,
    /// Connections that have not said hello. 1,024; of more, the one that has waited longest is closed
    /// with 1013.
    pub max_handshakes: usize,
    /// Those from one address, or from one network of IPv6 (/64), where the host knows it. 256; the same
    /// goes. Behind a proxy that all come from, tell the host whom it speaks for, or set it to
    /// `max_handshakes`.
    pub max_handshakes_per_address: usize,
    /// The first message, in bytes. 16 KiB.
    pub first_frame: usize,
    /// Every later message, in bytes. 2 MiB and 64 KiB.
    pub max_frame: usize,
    /// How deep JSON may nest. 128.
    pub json_depth: usize,
    /// Bytes that a connection reads at once, and holds as long as it lives. 4 KiB.
    pub read_buffer: usize,
    /// Bytes that a connection gathers before it writes them. 64 KiB.
    pub write_buffer: usize,
    /// The heartbeat interval (§6.4), rounded up to whole seconds. 30 s.
    pub heartbeat: Duration,
    /// How long a connection may take to close. 1 s.
    pub close_timeout: Duration,
    /// How long a peer may take nothing of what there is to send it, before its connection is closed
    /// with 4408. 2 minutes.
    pub stall_timeout: Duration,
    /// How long nothing may be said, either way, on a connection without heartbeats that waits for no
    /// job, before it is closed with 1001. 1 hour.
    pub idle_timeout: Duration,
    /// Frames a second that a connection may send, whatever they are. 50,000.
    pub frame_rate: u32,
    /// Frames that it may send at once. 50,000.
    pub frame_burst: u32,
    /// Replies that may wait to be sent before reading stops. 64.
    pub control_queue: usize,
    /// Commands of one session that run at once. 16.
    pub max_in_flight: usize,
    /// Commands that are read ahead while the stack is not ready. 64.
    pub max_pending: usize,
    /// Jobs that one session may follow at once, its own and others. 1,024.
    pub max_feeds: usize,
    /// Events that a session's jobs may be ahead of its acks before they wait (§6.5). 4,096; with 0 they never do.
    pub window: usize,
    /// Bytes of payload that a session's jobs may be ahead of what was sent to it. 4 MiB.
    pub backlog_bytes: usize,
    /// Events of a job that are kept for those who watch it. 16,384; at least twice the window. A watcher
    /// that falls behind them is closed with 4408 where no store has them; where one does, it never is.
    ///
    /// It is not told before (§6.5 leaves that open): the `status` that says `back_pressure` is an event
    /// of the job's log, which all who follow the job share, and a number of a session always stands for
    /// an event of such a log. One for a slow watcher alone would be seen by everybody, or have a number
    /// that no log can explain. The submitter, whose agent is slowed, is told.
    ///
    /// What a slow watcher costs is bounded all the same, whether it acknowledges or not: a place in the
    /// log, and what is on its way to it. Nobody waits for it, and one that takes nothing at all for
    /// `stall_timeout` is closed with 4408.
    pub log_events: usize,
    /// Bytes of payload of a job that are kept. 8 MiB; at least the backlog and one event.
    pub log_bytes: usize,
    /// Runs of numbers that a session remembers. 65,536.
    pub max_runs: usize,
    /// Bytes of events that a store keeps of the jobs of one session, whoever still needs them (§6.5).
    /// 256 MiB, at least twice the backlog; the oldest go first, and a resume that would need them is
    /// refused.
    pub max_session_bytes: u64,
    /// The same of the jobs of one principal, and with it what its ended jobs were accepted with: inputs,
    /// leases, and acceptances under idempotency keys. 1 GiB. An ended job goes as a whole with the last of its
    /// events, with its keys, which may be used anew then; one that runs never does.
    pub max_principal_bytes: u64,
    /// The same in all. 8 GiB. A store looks when `sweep` is over, and whenever as much was written as
    /// one session may keep.
    pub max_kept_bytes: u64,
    /// Events that a connection reads ahead of what it sends again. 64.
    pub replay_events: usize,
    /// Bytes of events of one read from a store. 256 KiB; a single event may be larger.
    pub read_bytes: usize,
    /// Runs of one read from a store. 4,096.
    pub read_runs: usize,
    /// Logs that a session keeps for a replay where no store does. 1,024.
    pub max_session_logs: usize,
    /// How long a session can be resumed after its connection was lost (§6.3). 10 minutes.
    pub resume_window: Duration,
    /// Sessions of one principal. 16,384; beyond that those without a connection go first.
    pub max_sessions: usize,
    /// Records a second of the resumes of one principal, for auditors. 10; the others are counted.
    pub audit_rate: u32,
    /// How often what is over is forgotten, here and in a store. 1 minute.
    pub sweep: Duration,
    /// How long an idempotency key is held (§7.2). One day.
    pub key_lifetime: Duration,
    /// Idempotency keys that are held where no store does. 65,536.
    pub max_keys: usize,
    /// Bytes of those keys, and of the acceptances that they stand for. 64 MiB; beyond either, the oldest go of
    /// the principal that has most.
    pub max_keys_bytes: usize,
    /// Bytes of one idempotency key. 256.
    pub key_bytes: usize,
    /// Events of a job that may wait to be written to a store. 8,192; at most half of `log_events`.
    pub max_unwritten: usize,
    /// One frame that we send, in bytes. 1 MiB less 1 KiB: peers refuse more than 1 MiB.
    pub max_sent_frame: usize,
    /// Bytes of what agents say of themselves that a welcome carries, in the order of registration. 64 KiB,
    /// and at most half a frame; of what does not fit it says that it was left out. Schemas are in force
    /// all the same.
    pub described_bytes: usize,
    /// Encoded data of one chunk of a streamed result. 512 KiB.
    pub chunk_bytes: usize,
    /// Decoded bytes of a streamed result. 1 GiB.
    pub max_result: u64,
    /// Bytes of what an agent, a tool or a service says of a failure, as clients read it. 4 KiB, and at most
    /// a sixteenth of a frame; the rest is cut off.
    pub max_words: usize,
    /// Bytes of the `details` of such a failure. 256 KiB, and at most a quarter of a frame; larger ones are
    /// left out.
    pub max_details: usize,
    /// Bytes of a streamed result's summary. 64 KiB, and at most a sixteenth of a frame; the rest is cut off.
    pub max_summary: usize,
    /// Principals whose jobs one may know of, beside its own (§7.6). 64.
    pub max_observed: usize,
    /// Jobs on a page of a listing where the request names no number (§6.6). 100.
    pub listed: u32,
    /// Jobs on a page at the most, whatever the request names. 1,000.
    pub max_listed: u32,
    /// Jobs of one principal that run at once. 1,000.
    pub max_jobs: usize,
    /// Ended jobs that are kept in all. 4,096.
    pub max_ended_jobs: usize,
    /// Bytes of the events and leases of ended jobs that are kept in all, of those, too, that a session still
    /// holds for a replay. 256 MiB; beyond it the oldest cannot be replayed any more.
    pub max_ended_bytes: usize,
    /// How long an ended job is kept, and what was not acknowledged (§6.5). One day.
    pub retention: Duration,
    /// How long an agent that was told to stop may take (§7.4). 30 s.
    pub grace: Duration,
    /// The longest `max_runtime_sec`. One day.
    pub max_runtime: Duration,
    /// Patterns of one lease. 1,024.
    pub lease_patterns: usize,
    /// Bytes of one pattern. 1 KiB.
    pub lease_pattern_bytes: usize,
    /// Bytes of a whole lease. 256 KiB.
    pub lease_bytes: usize,
    /// How long a lease goes on after its `expires_at`: clocks of peers differ (§14). 1 s; at most a minute.
    pub lease_skew: Duration,
    /// Jobs that may hang below each other (§10). 8.
    pub max_delegation_depth: usize,
    /// Jobs that one job may have delegated at once. 64.
    pub max_children: usize,
    /// Bytes of an operation's arguments, and of its result, that its events show. 64 KiB.
    pub max_shown: usize,
    /// What operations on files may take, where [`Files`](crate::operation::files::Files) have no
    /// bounds of their own.
    #[cfg(all(feature = "fs", unix))]
    pub files: crate::operation::files::FileLimits,
    /// What requests may take, where a [`Fetcher`](crate::operation::fetch::Fetcher) has no bounds of
    /// its own.
    #[cfg(feature = "fetch")]
    pub fetch: crate::operation::fetch::FetchLimits,
    /// Frames that a session is told beside the replies to its commands. 256.
    pub max_notices: usize,
    /// Whether what is sent to clients is read by nobody else: true on loopback and behind TLS. False;
    /// without it no client is given a provisioned credential (§14).
    pub private_transport: bool,
    /// How long a provisioned credential is in force at the most; it is rotated before (§9.8). One hour.
    pub credential_ttl: Duration,
    /// How long a provisioner may take for one answer, and for all tries of one submit. 10 s.
    pub provision_timeout: Duration,
    /// How long after a fault that may pass a submit asks for its credential again, the first time; it
    /// is twice as long after each. 250 ms.
    pub provision_backoff: Duration,
    /// Rotations of credentials that the agent of one job may ask for. 1,000.
    pub max_rotations: u32,
    /// The same within one minute. 60.
    pub rotation_rate: u32,
    /// How long the end of a job waits until its credentials are revoked. 5 s.
    pub revoke_wait: Duration,
    /// How long revoking a credential is tried before it counts as stuck. One day.
    pub revoke_for: Duration,
    /// The longest wait between two tries. 5 minutes.
    pub revoke_backoff: Duration,
    /// How long after it was asked for a credential that a service does not know may still appear. 1 minute.
    pub credential_settle: Duration,
    /// How often what services have is compared with what they should. 1 hour.
    pub reconcile: Duration,
    /// Credentials that are revoked or rotated at once, beside those of jobs that begin or end. 16.
    pub credential_calls: usize,
    /// Origins whose pages may connect (`Origin`); none. A client that names no origin is no page.
    pub allowed_origins: Vec<Origin>,
    /// Names that the host may be asked for (`Host`, `:authority`); with none it is not looked at.
    pub allowed_hosts: Vec<Host>,
    /// How peers are told apart; by their first frame.
    pub profile: Choice,
    /// The wall clock; the system's.
    pub clock: Clock,
    /// Where connections come in, and whether they still do.
    pub door: Door,
    /// Ends every connection when it is cancelled: an upgraded connection escapes a host's own
    /// graceful shutdown. [`Handle::drain`](crate::Handle::drain) does it last.
    pub shutdown: CancellationToken,
    /// Lets a host wait for the connections to end.
    pub tracker: TaskTracker,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            max_handshakes: 1024,
            max_handshakes_per_address: 256,
            first_frame: 16 << 10,
            max_frame: (2 << 20) + (64 << 10),
            json_depth: 128,
            read_buffer: 4 << 10,
            write_buffer: 64 << 10,
            heartbeat: Duration::from_secs(30),
            close_timeout: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(3600),
            frame_rate: 50_000,
            frame_burst: 50_000,
            control_queue: 64,
            max_in_flight: 16,
            max_pending: 64,
            max_feeds: 1024,
            window: 4096,
            backlog_bytes: 4 << 20,
            log_events: 16_384,
            log_bytes: 8 << 20,
            max_runs: 65_536,
            max_session_bytes: 256 << 20,
            max_principal_bytes: 1 << 30,
            max_kept_bytes: 8 << 30,
            replay_events: 64,
            read_bytes: 256 << 10,
            read_runs: 4096,
            max_session_logs: 1024,
            resume_window: Duration::from_secs(600),
            max_sessions: 16_384,
            audit_rate: 10,
            sweep: Duration::from_secs(60),
            key_lifetime: Duration::from_secs(86_400),
            max_keys: 65_536,
            max_keys_bytes: 64 << 20,
            key_bytes: 256,
            max_unwritten: 8192,
            max_sent_frame: (1 << 20) - (1 << 10),
            described_bytes: 64 << 10,
            chunk_bytes: 512 << 10,
            max_result: 1 << 30,
            max_words: 4 << 10,
            max_details: 256 << 10,
            max_summary: 64 << 10,
            max_observed: 64,
            listed: 100,
            max_listed: 1000,
            max_jobs: 1000,
            max_ended_jobs: 4096,
            max_ended_bytes: 256 << 20,
            retention: Duration::from_secs(86_400),
            grace: Duration::from_secs(30),
            max_runtime: Duration::from_secs(86_400),
            lease_patterns: 1024,
            lease_pattern_bytes: 1024,
            lease_bytes: 256 << 10,
            lease_skew: Duration::from_secs(1),
            max_delegation_depth: 8,
            max_children: 64,
            max_shown: 64 << 10,
            #[cfg(all(feature = "fs", unix))]
            files: crate::operation::files::FileLimits::default(),
            #[cfg(feature = "fetch")]
            fetch: crate::operation::fetch::FetchLimits::default(),
            max_notices: 256,
            private_transport: false,
            credential_ttl: Duration::from_secs(3600),
            provision_timeout: Duration::from_secs(10),
            provision_backoff: Duration::from_millis(250),
            max_rotations: 1000,
            rotation_rate: 60,
            revoke_wait: Duration::from_secs(5),
            revoke_for: Duration::from_secs(86_400),
            revoke_backoff: Duration::from_secs(300),
            credential_settle: Duration::from_secs(60),
            reconcile: Duration::from_secs(3600),
            credential_calls: 16,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            profile: Choice::default(),
            clock: Clock::system(),
            door: Door::default(),
            shutdown: CancellationToken::new(),
            tracker: TaskTracker::new(),
        }
    }
}

impl Config {
    /// Changes some bounds.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The heartbeat interval as it is announced, and kept: whole seconds, at least one (§6.4).
    pub(crate) fn heartbeat_seconds(&self) -> u64 {
        self.heartbeat.as_secs().saturating_add(u64::from(self.heartbeat.subsec_nanos() > 0)).max(1)
    }

    /// How many may wait before they say hello.
    pub(crate) fn most_strangers(&self) -> Most {
        Most { in_all: self.max_handshakes, of_one_address: self.max_handshakes_per_address }
    }

    /// The bounds that concern a WebSocket.
    pub fn ws_limits(&self) -> WsLimits {
        let mut limits = WsLimits::default();
        limits.first_message = self.first_frame;
        limits.message = self.max_frame;
        limits.read_buffer = self.read_buffer;
        limits.write_buffer = self.write_buffer;
        limits
    }

    /// The bounds that concern a line transport.
    #[cfg(feature = "stdio")]
    pub fn line_limits(&self) -> arcp_core::transport::LineLimits {
        let mut limits = arcp_core::transport::LineLimits::default();
        limits.first_message = self.first_frame;
        limits.message = self.max_frame;
        limits.read_buffer = self.read_buffer;
        limits.write_buffer = self.write_buffer;
        limits
    }

    pub(crate) fn json_limits(&self) -> arcp_core::wire::Limits {
        let mut limits = arcp_core::wire::Limits::depth(self.json_depth);
        // What one peer says, another may have to read.
        limits.lone_surrogates = false;
        limits
    }

    pub(crate) fn log_caps(&self) -> arcp_core::log::Caps {
        arcp_core::log::Caps {
            events: self.log_events.max(2 * self.window),
            bytes: self.log_bytes.max(self.backlog_bytes + 2 * self.max_sent_frame),
        }
    }

    /// How long a session is held that has something to come, or to acknowledge (§6.5).
    pub(crate) fn held(&self) -> Duration {
        self.resume_window.max(self.retention)
    }

    pub(crate) fn bounds(&self) -> arcp_core::store::Bounds {
        arcp_core::store::Bounds {
            // What is on its way to a connection must not be forced out under it.
            session_bytes: self.max_session_bytes.max(2 * self.backlog_bytes as u64),
            principal_bytes: self.max_principal_bytes,
            bytes: self.max_kept_bytes,
            session_runs: self.max_runs as u64,
        }
    }

    pub(crate) fn lease_caps(&self) -> arcp_core::lease::Caps {
        arcp_core::lease::Caps {
            patterns: self.lease_patterns,
            pattern_bytes: self.lease_pattern_bytes,
            bytes: self.lease_bytes,
        }
    }
}
