//! The lives of the server, one after the other, and what is left of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::{Args, Way};
use crate::client::{Client, Now, Phase, Shared};
use crate::disk::Disk;
use crate::image::Loss;
use crate::outage::{self, Outages};
use crate::record::Record;
use crate::rng::Rng;
use crate::server::{self, Place, Server};
use crate::wire::lock;

/// So many images do not all lack nothing by chance.
const MANY: u64 = 20;
/// How long everything may take to end, once the server is not killed any more.
const DRAIN: Duration = Duration::from_secs(60);

pub(crate) type Records = Vec<Arc<Mutex<Record>>>;

/// A run of the test.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) args: Args,
    pub(crate) place: Place,
    pub(crate) rng: Rng,
    pub(crate) records: Records,
    pub(crate) shared: Arc<Shared>,
    pub(crate) began: Instant,
    /// Power cuts, and what they took.
    pub(crate) cuts: u64,
    pub(crate) lost: Loss,
}

impl Run {
    pub(crate) fn new(args: Args, place: Place, rng: Rng) -> Self {
        let way = args.way();
        let observers = if way.fails() { 2 } else { 0 };
        let records = (0..args.sessions + observers).map(|_| Arc::default()).collect();
        let shared = Arc::new(Shared::new(way.fails()));
        Self { args, place, rng, records, shared, began: Instant::now(), cuts: 0, lost: Loss::default() }
    }

    /// # Errors
    /// If the server does not do what it should, apart from what sessions see of it.
    pub(crate) async fn run(&mut self) -> Result<()> {
        let way = self.args.way();
        let disk = if way == Way::Kill { None } else { Some(Disk::new(&self.place)?) };
        let (now, watched) = watch::channel(Now { url: None, phase: Phase::Busy });
        let most = usize::try_from(self.args.jobs)?;
        let mut clients = JoinSet::new();
        let (of_clients, of_observers) = self.records.split_at(usize::try_from(self.args.sessions)?);
        for (name, record) in (0..).zip(of_clients) {
            let (record, shared) = (record.clone(), self.shared.clone());
            let client = Client::new(name, most, self.rng.fork(), record, shared, watched.clone());
            clients.spawn(client.run());
        }
        let mut outages = match of_observers {
            [worker, asker] => Some(Outages::new(worker.clone(), asker.clone())),
            _ => None,
        };
        for life in 1..=self.args.lives() {
            self.live(life, disk.as_ref(), outages.as_mut(), &now).await?;
            if self.is_violated() {
                return Ok(());
            }
        }
        self.drain(disk.as_ref(), outages, &now, clients).await?;
        self.compare().await
    }

    fn is_violated(&self) -> bool {
        self.records.iter().any(|record| !lock(record).violations.is_empty())
    }

    /// One life of the server, up to its end by force.
    async fn live(
        &mut self,
        life: u64,
        disk: Option<&Disk>,
        outages: Option<&mut Outages>,
        now: &watch::Sender<Now>,
    ) -> Result<()> {
        let (way, rng) = (self.args.way(), &mut self.rng);
        if let Some(disk) = disk.filter(|_| way == Way::PowerCut) {
            disk.short_writes(rng.percent(30))?;
        }
        if let Some(disk) = disk.filter(|_| way == Way::LyingDisk) {
            disk.lie()?;
        }
        if let Some(disk) = disk {
            outage::start(self.args.way(), &self.place, disk, rng).await?;
        }
        let mut server = Server::start(&self.place, disk)?;
        if outages.is_none() && rng.percent(15) {
            // While it starts.
            sleep(rng.millis(0..120)).await;
        } else {
            let url = server.url().await?;
            disk.map_or(Ok(()), Disk::check_loaded)?;
            now.send_modify(|now| now.url = Some(url.clone()));
            match (disk, outages) {
                (Some(disk), Some(outages)) if way == Way::FsyncFailsOnce => {
                    outages.one_failure(&url, disk, rng).await?;
                }
                (Some(disk), Some(outages)) => outages.outage(way, (&mut server, &url), disk, rng).await?,
                (Some(_), None) => sleep(rng.millis(20..800)).await,
                (None, _) => sleep(rng.millis(20..1500)).await,
            }
        }
        server.kill().await?;
        let what = if disk.is_some() { "the power was cut" } else { "the server was killed" };
        for record in &self.records {
            lock(record).note(what);
        }
        now.send_modify(|now| now.url = None);
        if let Some(disk) = disk {
            self.lost += disk.cut(life.is_multiple_of(2), rng)?;
            self.cuts += 1;
        }
        if life.is_multiple_of(self.args.lives().div_ceil(5)) {
            self.progress(life);
        }
        Ok(())
    }

    fn progress(&self, life: u64) {
        let frames: usize = self.records.iter().map(|record| lock(record).frames().len()).sum();
        let resumes = lock(&self.shared.counts).resumes;
        let seconds = self.began.elapsed().as_secs();
        println!("{life} lives, {frames} frames, {resumes} resumes, {seconds} s");
    }

    /// The last life, in which everything ends well.
    async fn drain(
        &mut self,
        disk: Option<&Disk>,
        outages: Option<Outages>,
        now: &watch::Sender<Now>,
        mut clients: JoinSet<()>,
    ) -> Result<()> {
        if let Some(disk) = disk {
            outage::start(self.args.way(), &self.place, disk, &mut self.rng).await?;
        }
        let mut server = Server::start(&self.place, disk)?;
        let url = server.url().await?;
        now.send_replace(Now { url: Some(url.clone()), phase: Phase::Drain });
        if let Some(mut outages) = outages {
            outages.drain(&url).await?;
        }
        let began = Instant::now();
        let settled = |record: &Arc<Mutex<Record>>| {
            let record = lock(record);
            record.lacks().is_empty() || !record.violations.is_empty()
        };
        while began.elapsed() < DRAIN && !self.records.iter().all(settled) {
            sleep(Duration::from_millis(50)).await;
        }
        now.send_replace(Now { url: None, phase: Phase::Over });
        server.stop().await?;
        // What the server sent last is read, too.
        let read = async { while clients.join_next().await.is_some() {} };
        tokio::time::timeout(DRAIN, read).await.context("connections outlive the server")?;
        if let Some(disk) = disk {
            // After an orderly end, too, everything is on the disk.
            disk.cut(false, &mut self.rng)?;
            // Few images may all be whole by chance: a disk that is quick has little under way.
            let many = self.args.lives() >= MANY;
            ensure!(!many || self.lost.pages > 0, "no image lacked anything: nothing is checked");
        }
        Ok(())
    }

    /// Looks at all that came, and compares it with what `arcp replay` prints.
    async fn compare(&self) -> Result<()> {
        for (n, record) in (0..).zip(&self.records) {
            let (session, after) = {
                let mut record = lock(record);
                record.check();
                let lacks = record.lacks();
                for what in lacks {
                    record.violation(what);
                }
                (record.session.clone(), record.acked)
            };
            if session.is_empty() && n >= self.args.sessions {
                // One that looks had nothing to look at.
                continue;
            }
            // What was acknowledged need not be kept (§6.5).
            match server::replay(&self.place, &session, after).await {
                Ok(printed) => lock(record).compare(after, &printed),
                Err(e) => lock(record).violation(e.to_string()),
            }
        }
        Ok(())
    }
}
