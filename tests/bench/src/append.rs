//! What the store alone keeps: how many events a second are durable, by the size of a batch and how
//! many wait at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use arcp_core::job::Status;
use arcp_core::store::{Batch, JobRow, Op, RunRow, SessionRow, Store, StoreError, StoredEvent};
use arcp_core::{Features, JobId, Json, MessageType, SessionId, Timestamp, TraceId};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};

use crate::stats::{Latencies, float};

/// What one round found.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Events that were durable each second.
    pub events_per_s: f64,
    /// Batches that were.
    pub batches_per_s: f64,
    /// Batches of one transaction.
    pub batches_per_commit: f64,
    /// How long a batch took, in microseconds.
    pub p50_us: u64,
    /// Likewise, of the slowest hundredth.
    pub p99_us: u64,
}

/// Writes batches of `events` for as long as `length` from `writers` at once, to a new file in `folder`.
///
/// # Errors
/// If the file cannot be made or written.
pub async fn round(folder: &Path, events: usize, writers: u64, length: Duration) -> Result<Round> {
    let folder = tempfile::tempdir_in(folder)?;
    let store = Arc::new(SqliteStore::open(folder.path().join("append.db"), SqliteConfig::default())?);
    let ids = Arc::new(AtomicU64::new(1));
    let began = Instant::now();
    let writers: Vec<_> = (0..writers)
        .map(|n| Writer::new(Arc::clone(&store), Arc::clone(&ids), n))
        .map(|writer| tokio::spawn(writer.run(events, length)))
        .collect();
    let (mut waits, mut batches) = (Latencies::default(), 0);
    for writer in writers {
        for wait in writer.await?? {
            waits.record(wait);
            batches += 1;
        }
    }
    let (took, stats) = (began.elapsed().as_secs_f64(), store.stats());
    Ok(Round {
        events_per_s: float(batches * events as u64) / took,
        batches_per_s: float(batches) / took,
        batches_per_commit: float(stats.batches) / float(stats.transactions.max(1)),
        p50_us: waits.percentile_us(50),
        p99_us: waits.percentile_us(99),
    })
}

/// One job, and the session that is sent its events: appended and numbered in the same batch.
struct Writer {
    store: Arc<SqliteStore>,
    ids: Arc<AtomicU64>,
    n: u64,
    job: JobId,
    session: SessionId,
}

impl Writer {
    fn new(store: Arc<SqliteStore>, ids: Arc<AtomicU64>, n: u64) -> Self {
        Self { store, ids, n, job: JobId::from_bits(n.into()), session: SessionId::from_bits(n.into()) }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let id = u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c);
        self.store.commit(Batch { id, principal: "ada".into(), ops }).await.map(drop)
    }

    async fn run(self, events: usize, length: Duration) -> Result<Vec<Duration>> {
        self.commit(self.start()).await?;
        // As long as an event of the agent `chatty`.
        let payload = Json::of(&format!("{:0100}", 0))?;
        let event = StoredEvent { kind: MessageType::Event, needs: None, payload };
        let (began, mut after, mut waits) = (Instant::now(), 0, Vec::new());
        while began.elapsed() < length {
            let (events, at) = (vec![event.clone(); events], Timestamp::from(SystemTime::now()));
            let len = events.len() as u64;
            let (job, session) = (self.job.clone(), self.session.clone());
            let runs = vec![RunRow { first: after + 1, len, job: job.clone(), from: after + 1 }];
            let asked = Instant::now();
            self.commit(vec![
                Op::Append { job, owner: 1, after, events, at, ended: None },
                Op::Number { session, epoch: 1, after, runs, feeds: Vec::new() },
            ])
            .await?;
            waits.push(asked.elapsed());
            after += len;
        }
        Ok(waits)
    }

    fn start(&self) -> Vec<Op> {
        let now = Timestamp::from(SystemTime::now());
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.n.to_le_bytes());
        let session = SessionRow {
            id: self.session.clone(),
            principal: "ada".into(),
            epoch: 1,
            features: Features::NONE,
            profile: "draft".into(),
            secret: [0; 32],
            token,
            previous_token: None,
            head: 0,
            acked: 0,
            created_at: now,
            expires_at: None,
        };
        let job = JobRow {
            id: self.job.clone(),
            principal: "ada".into(),
            session: self.session.clone(),
            agent: "load@1.0.0".into(),
            status: Status::Running,
            created_at: now,
            ended_at: None,
            head: 0,
            last_event_seq: 0,
            cancelling: false,
            note: None,
            owner: 1,
            trace_id: TraceId::from_bits(self.n.into()),
            body: Json::empty_object(),
        };
        vec![Op::PutSession { row: session, expect: 0 }, Op::PutJob { row: job }]
    }
}
