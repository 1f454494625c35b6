//! How many events a second are durable, by the size of a batch and how many wait at once.
//!
//! `cargo run --release -p arcp-store-sqlite --example append [FOLDER]`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arcp_core::job::Status;
use arcp_core::store::{Batch, JobRow, Op, RunRow, SessionRow, Store, StoreError, StoredEvent};
use arcp_core::{Features, JobId, Json, MessageType, SessionId, Timestamp, TraceId};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};

const ROUND: Duration = Duration::from_millis(2500);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    println!("events/batch  writers   events/s  batches/s  batches/commit  p50 us  p99 us");
    for (events, writers) in [(1, 1), (10, 1), (200, 1), (1000, 1), (1, 16), (1, 256), (20, 16), (200, 4)] {
        let folder = tempfile::tempdir_in(&folder)?;
        let store = SqliteStore::open(folder.path().join("a.db"), SqliteConfig::default())?;
        runtime.block_on(round(Arc::new(store), events, writers))?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a few seconds")]
async fn round(store: Arc<SqliteStore>, events: usize, writers: u64) -> Fallible<()> {
    let ids = Arc::new(AtomicU64::new(1));
    let began = Instant::now();
    let writers: Vec<_> = (0..writers)
        .map(|n| Writer::new(Arc::clone(&store), Arc::clone(&ids), n))
        .map(|writer| tokio::spawn(writer.run(events)))
        .collect();
    let (count, mut waits) = (writers.len(), Vec::new());
    for writer in writers {
        waits.extend(writer.await??);
    }
    let (took, stats) = (began.elapsed().as_secs_f64(), store.stats());
    waits.sort();
    let micros = |share: usize| waits.get(waits.len() * share / 100).map_or(0, Duration::as_micros);
    println!(
        "{events:12} {count:8} {:10.0} {:10.0} {:15.1} {:7} {:7}",
        (waits.len() * events) as f64 / took,
        waits.len() as f64 / took,
        stats.batches as f64 / stats.transactions as f64,
        micros(50),
        micros(99),
    );
    Ok(())
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

    async fn run(self, events: usize) -> Fallible<Vec<Duration>> {
        self.commit(self.start()).await?;
        let payload = Json::of(&format!("{:0300}", 0))?;
        let event = StoredEvent { kind: MessageType::Event, needs: None, payload };
        let (began, mut after, mut waits) = (Instant::now(), 0, Vec::new());
        while began.elapsed() < ROUND {
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
