//! A proxy between the clients and the runtime, on which a connection fares as its plan says.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use turmoil::net::{TcpListener, TcpStream};

use crate::plan::{End, Plan, Way};
use crate::pump::{Note, Pump, Stop};
use crate::sim::now;
use crate::tap::Record;

/// The way from one client to the runtime: the plans of its connections, and what went over them.
#[derive(Clone)]
pub struct Line(Arc<Inner>);

struct Inner {
    plans: Mutex<Plans>,
    records: Mutex<Vec<Record>>,
}

type Plans = Box<dyn FnMut(usize) -> Plan + Send>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    pub fn new() -> Self {
        let plans: Plans = Box::new(|_| Plan::FREE);
        Self(Arc::new(Inner { plans: Mutex::new(plans), records: Mutex::default() }))
    }

    /// Connections from now on fare as `plans` says of them, by their place among all.
    pub fn plans(&self, plans: impl FnMut(usize) -> Plan + Send + 'static) {
        *lock(&self.0.plans) = Box::new(plans);
    }

    /// Connections that were made.
    pub fn connections(&self) -> usize {
        lock(&self.0.records).len()
    }

    /// Looks at what went over the connections.
    pub fn look<R>(&self, look: impl FnOnce(&[Record]) -> R) -> R {
        look(&lock(&self.0.records))
    }

    pub fn record<R>(&self, at: usize, note: impl FnOnce(&mut Record) -> R) -> R {
        note(&mut lock(&self.0.records)[at])
    }

    fn begin(&self) -> (usize, Plan) {
        let at = self.connections();
        lock(&self.0.records).push(Record::default());
        (at, lock(&self.0.plans)(at))
    }

    /// Carries connections from `port` to the runtime.
    pub async fn carry(self, port: u16, runtime: (&'static str, u16)) -> io::Result<()> {
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        loop {
            let (client, _) = listener.accept().await?;
            let line = self.clone();
            tokio::spawn(async move {
                let (at, plan) = line.begin();
                // Without a runtime the client's connection ends.
                if let Ok(server) = TcpStream::connect(runtime).await {
                    line.connection(at, plan, client, server).await;
                }
            });
        }
    }

    async fn connection(&self, at: usize, plan: Plan, client: TcpStream, server: TcpStream) {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let dead = Arc::new(AtomicBool::new(false));
        let note = |up| Note { line: self.clone(), at, up };
        let mut up = Pump::new((from_client, to_server), plan.up, plan.late, note(true), dead.clone());
        let mut down = Pump::new((from_server, to_client), plan.down, plan.late, note(false), dead.clone());
        let (stop, is_up) = tokio::select! {
            biased;
            stop = up.run() => (stop, true),
            stop = down.run() => (stop, false),
        };
        match (stop, is_up) {
            (Stop::Closed, true) if dead.load(Ordering::Relaxed) => _ = down.run().await,
            (Stop::Closed, true) => _ = timeout(plan.late, down.run()).await,
            (Stop::Closed, false) if dead.load(Ordering::Relaxed) => {
                self.record(at, |record| record.ended = Some(now()));
                up.run().await;
            }
            (Stop::Closed, false) => {}
            (Stop::Planned(End::HalfClosed), true) => {
                let _ = up.to.shutdown().await;
                down.run().await;
            }
            (Stop::Planned(End::HalfClosed), false) => {
                let _ = down.to.shutdown().await;
                up.run().await;
            }
            (Stop::Planned(end), _) => {
                dead.store(true, Ordering::Relaxed);
                if end == End::Fin {
                    let _ = down.to.shutdown().await;
                    // A connection that is dropped with unread bytes is reset, and that overtakes.
                    let rest = timeout(Duration::from_secs(5), up.run());
                    let _ = tokio::join!(rest, timeout(plan.late, down.run()));
                    let _ = up.to.shutdown().await;
                    let _ = timeout(Duration::from_secs(5), down.run()).await;
                } else {
                    let Pump { from, to, .. } = down;
                    drop((to, up.from));
                    let mut rest = Pump::new((from, up.to), Way::FREE, plan.late, note(false), dead);
                    let _ = timeout(plan.late, rest.run()).await;
                }
            }
        }
        self.record(at, |record| _ = record.ended.get_or_insert(now()));
    }
}
