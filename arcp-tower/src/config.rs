//! Every bound of the runtime, in one place.

mod default;
mod views;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::door::Door;
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
    /// Sessions that may cancel a job because they repeated its submit (§7.2). 64, the last to do so.
    pub max_controllers: usize,
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
