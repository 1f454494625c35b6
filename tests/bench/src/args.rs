//! What `load` is told.

use clap::{Parser, ValueEnum};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One session, one `chatty` job of many log events: events per second, time to the first.
    Stream,
    /// Many `chatty` jobs at once, on one session or on several: events per second in sum.
    Many,
    /// Many `echo` jobs, some in flight, on one session: jobs per second, submit to result.
    Jobs,
    /// One `chatty` job that many sessions watch: deliveries per second.
    Fanout,
    /// A session that is cut after many events, none of them acknowledged, and resumed: time to the
    /// first that is sent again, events per second.
    Resume,
    /// Pings on one session while others are busy, never read, or flood the runtime: round trip.
    Ping,
    /// A session that never reads while its job has a lot to say: resident bytes (needs `--pid`).
    Deaf,
    /// Many sessions, opened and held: resident bytes for each (needs `--pid`).
    Idle,
}

/// What others do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Beside {
    /// There are none.
    Nobody,
    /// One follows a job that says as much as it can.
    Busy,
    /// It has such a job, and never reads.
    Deaf,
    /// Thousands of them, that open a connection and say no hello.
    Silent,
    /// The same, at one byte a second.
    Crawling,
    /// It pings a thousand times a second.
    Pinging,
}

/// Drives a runtime and prints one JSON line of figures.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// Where the runtime is, such as `ws://127.0.0.1:7801/arcp`.
    #[arg(long)]
    pub url: String,
    /// The bearer token.
    #[arg(long, default_value = "demo")]
    pub token: String,
    /// What is measured.
    #[arg(long, value_enum, default_value = "stream")]
    pub mode: Mode,
    /// Events of each job, jobs in all (mode jobs), or pings.
    #[arg(short, long, default_value_t = 100_000)]
    pub n: u64,
    /// Jobs in flight on each session (modes jobs and many).
    #[arg(short, long, default_value_t = 16)]
    pub concurrency: u64,
    /// Sessions (modes many, fanout and idle).
    #[arg(short, long, default_value_t = 100)]
    pub sessions: u64,
    /// What others do (mode ping).
    #[arg(long, value_enum, default_value = "busy")]
    pub beside: Beside,
    /// Acknowledge every this many events; 0: never.
    #[arg(long, default_value_t = 256)]
    pub ack_every: u64,
    /// The runtime's process id, for its memory and processor time.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Seconds after which a run has failed.
    #[arg(long, default_value_t = 120)]
    pub timeout_s: u64,
    /// Repeated in the output.
    #[arg(long, default_value = "")]
    pub label: String,
}
