//! A disk that fails for a while, as a user sees it: what cannot be kept is not sent and is refused,
//! reads go on, and afterwards everything does, in the same process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::args::Way;
use crate::disk::{Disk, Full};
use crate::observer::Observer;
use crate::record::{Record, is_terminal};
use crate::rng::Rng;
use crate::server::{Place, Server};
use crate::wire::{PATIENCE, is_store_failure};
use crate::work::Work;

/// How long a disk fails: for longer than the server tries to write.
const LENGTH: Duration = Duration::from_millis(2500);
/// How long what was kept before may be under way.
const LATE: Duration = Duration::from_millis(250);

/// Two sessions that look closely.
#[derive(Debug)]
pub(crate) struct Outages {
    /// It follows a job that has something to say all the time.
    worker: Observer,
    /// It asks for this and that.
    asker: Observer,
}

impl Outages {
    pub(crate) fn new(worker: Arc<Mutex<Record>>, asker: Arc<Mutex<Record>>) -> Self {
        Self { worker: Observer::new("worker", worker), asker: Observer::new("asker", asker) }
    }

    /// An fsync fails, and nobody need notice.
    pub(crate) async fn one_failure(&mut self, url: &str, disk: &Disk, rng: &mut Rng) -> Result<()> {
        sleep(rng.millis(50..400)).await;
        let before = disk.failed_syncs()?;
        disk.fail_one_sync(rng)?;
        let until = Instant::now() + PATIENCE;
        while disk.failed_syncs()? == before {
            ensure!(Instant::now() < until, "no fsync failed: nothing is checked");
            sleep(Duration::from_millis(5)).await;
        }
        self.works(url).await?;
        sleep(rng.millis(0..300)).await;
        Ok(())
    }

    /// The disk fails for a while.
    pub(crate) async fn outage(
        &mut self,
        way: Way,
        (server, url): (&mut Server, &str),
        disk: &Disk,
        rng: &mut Rng,
    ) -> Result<()> {
        // A file that need not grow can be written while the disk is full.
        let full = if rng.percent(75) { Full::Writes } else { Full::Growth };
        let total = way == Way::FsyncFails || full == Full::Writes;
        let fail = |fail: bool| match way {
            Way::FsyncFails => disk.fail_syncs(fail),
            _ => disk.full(fail.then_some(full)),
        };
        self.worker.connect(url).await?;
        self.asker.connect(url).await?;
        let long = Work::long(self.worker.key());
        let accepted = self.worker.submit(&long).await?;
        let job = accepted["payload"]["job_id"].as_str().unwrap_or_default().to_owned();
        self.worker.wait_for("an event", |frame| frame["event_seq"].is_u64()).await?;
        self.asker.ping().await?;
        sleep(rng.millis(100..600)).await;

        let refused = (disk.failed_syncs()?, disk.refused_writes()?);
        fail(true)?;
        if rng.percent(50) {
            // The power goes while the disk fails.
            sleep(rng.millis(0..1000)).await;
            return Ok(());
        }
        let until = Instant::now() + LENGTH;
        self.worker.read_until(Instant::now() + LATE).await;
        let work = Work::short(self.asker.key());
        let (frames, asked, newcomer) = tokio::join!(
            self.worker.read_until(until),
            ask(&mut self.asker, &work, total),
            Observer::newcomer(url),
        );
        asked?;
        self.asker.read_until(until).await;
        if total {
            if let Some(frame) = frames.first() {
                self.worker.violation(&format!("this was sent while nothing could be kept: {frame}"));
            }
            if !newcomer?.is_some_and(|answer| is_store_failure(&answer)) {
                self.asker.violation("a session was opened while nothing could be kept");
            }
            ensure!(refused != (disk.failed_syncs()?, disk.refused_writes()?), "the disk did not fail");
        }
        server.check_alive()?;
        fail(false)?;

        self.asker.work(url, &work).await?;
        self.works(url).await?;
        self.goes_on(url, &job).await?;
        server.check_alive()?;
        sleep(rng.millis(0..300)).await;
        Ok(())
    }

    /// Waits for what the sessions still lack.
    pub(crate) async fn drain(&mut self, url: &str) -> Result<()> {
        for observer in [&mut self.worker, &mut self.asker] {
            observer.drain(url).await?;
        }
        Ok(())
    }

    /// A job whose events could not be kept ends for that reason, or goes on if they are now.
    async fn goes_on(&mut self, url: &str, job: &str) -> Result<()> {
        let next = self.worker.next_of(url, job).await?;
        if is_terminal(&next) && !is_store_failure(&next) {
            self.worker.violation(&format!("a job whose events could not be kept ended so: {next}"));
        }
        Ok(())
    }

    /// A session that is resumed, or new, can have a job run.
    async fn works(&mut self, url: &str) -> Result<()> {
        let work = Work::short(self.asker.key());
        let end = self.asker.work(url, &work).await?;
        if end["type"] != "job.result" {
            self.asker.violation(&format!("a job of after the failure ended so: {end}"));
        }
        Ok(())
    }
}

/// Before a server starts: on a disk that still fails it says so and ends, and then that is over.
pub(crate) async fn start(way: Way, place: &Place, disk: &Disk, rng: &mut Rng) -> Result<()> {
    if disk.fails()? {
        let said = Server::start(place, Some(disk))?.refusal().await?;
        let clear = said.starts_with("error: ") && (way != Way::DiskFull || said.contains("full"));
        ensure!(clear, "on a disk that fails the server said: {said}");
        disk.cut(false, rng)?;
    }
    disk.works()
}

/// What is asked while the disk fails. What only reads is answered; if nothing can be kept, a submit
/// is refused for now.
async fn ask(asker: &mut Observer, work: &Work, total: bool) -> Result<()> {
    asker.ping().await?;
    let listing = asker.ask("session.list_jobs", json!({})).await?;
    if listing["type"] != "session.jobs" {
        asker.violation(&format!("a listing was answered so: {listing}"));
    }
    let answer: Value = asker.submit(work).await?;
    if total && !is_store_failure(&answer) {
        asker.violation(&format!("a submit was answered so while nothing could be kept: {answer}"));
    }
    asker.ping().await
}
