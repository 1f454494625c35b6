//! A job, as the runtime that runs it knows it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arcp_core::job::{FinalStatus, Lifecycle, Status};
use arcp_core::lease::{Lease, LeaseConstraints};
use arcp_core::{Code, Error, JobId, Json, SessionId, Timestamp, TraceId};
use tokio_util::sync::CancellationToken;

use crate::agent::Parent;
use crate::auth::Principal;
use crate::lock::lock;
use crate::runtime::{JobAuthority, JobStream};
use crate::service::SessionCtx;

/// What a pattern takes in memory beside its text.
const PATTERN: usize = 64;

/// A job.
#[derive(Debug)]
pub(crate) struct JobRecord {
    pub(in crate::runtime) id: JobId,
    pub(in crate::runtime) agent: String,
    pub(in crate::runtime) principal: Principal,
    /// The session that submitted it.
    pub(in crate::runtime) session_id: SessionId,
    /// The same, where it is in memory. Its numbers are the job's numbers (§7.6).
    pub(in crate::runtime) session: Option<SessionCtx>,
    pub(in crate::runtime) lease: Lease,
    pub(in crate::runtime) lease_constraints: Option<LeaseConstraints>,
    /// What it may do, where it runs here.
    pub(in crate::runtime) authority: Option<Arc<JobAuthority>>,
    /// Whose work it is part of (§10).
    pub(crate) parent: Option<Parent>,
    pub(in crate::runtime) created_at: Timestamp,
    pub(in crate::runtime) log: Arc<JobStream>,
    pub(in crate::runtime) cancel: CancellationToken,
    pub(in crate::runtime) life: Mutex<Lifecycle>,
    /// Whether it is to end because the runtime does.
    pub(in crate::runtime) halted: AtomicBool,
    /// Sessions that were given the job by an idempotent repeat: they may cancel it, too.
    pub(in crate::runtime) controllers: Mutex<Vec<SessionId>>,
    /// Jobs that it delegated and that have not ended.
    pub(in crate::runtime) children: Mutex<Children>,
    /// Cancelled when its terminal message is there.
    pub(in crate::runtime) over: CancellationToken,
    /// How it ended, for the job that delegated it.
    pub(in crate::runtime) outcome: Mutex<Option<Outcome>>,
}

/// Jobs that a job delegated.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Children {
    jobs: Vec<Arc<JobRecord>>,
    /// The job is ending, and delegates no more.
    closed: bool,
}

/// How a job ended, for the job that delegated it.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Inline(Json),
    Streamed,
    Failed(Error),
}

/// How a job ended.
pub(in crate::runtime) struct Ended {
    pub(in crate::runtime) end: FinalStatus,
    /// What had decided that before its agent was done.
    pub(in crate::runtime) decided: Option<FinalStatus>,
}

impl JobRecord {
    /// A job of nobody, with an empty lease; for struct update.
    pub(in crate::runtime) fn new(id: JobId, log: Arc<JobStream>) -> Self {
        Self {
            id,
            agent: String::new(),
            principal: Principal::new(""),
            session_id: SessionId::from_bits(0),
            session: None,
            lease: Lease::default(),
            lease_constraints: None,
            authority: None,
            parent: None,
            created_at: Timestamp::from_millis(0),
            log,
            cancel: CancellationToken::new(),
            life: Mutex::default(),
            halted: AtomicBool::new(false),
            controllers: Mutex::default(),
            children: Mutex::default(),
            over: CancellationToken::new(),
            outcome: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> &JobId {
        &self.id
    }

    /// What it holds in memory when it has ended: its events, and what its lease says.
    pub(super) fn bytes(&self) -> usize {
        let patterns = self.lease.0.values().flatten();
        self.log.bytes() + patterns.map(|pattern| PATTERN + pattern.len()).sum::<usize>()
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.log.trace_id()
    }

    /// It delegates a job: it does not end before that one is over.
    ///
    /// # Errors
    /// If it is ending itself, or has `most` already.
    pub(in crate::runtime) fn adopt(&self, child: &Arc<JobRecord>, most: usize) -> Result<(), Error> {
        let mut children = lock(&self.children);
        if children.closed {
            return Err(Error::new(Code::Cancelled, "the job is ending"));
        }
        children.jobs.retain(|child| !child.over.is_cancelled());
        if children.jobs.len() >= most {
            return Err(Error::limit(format!("a job may have at most {most} children at once")));
        }
        children.jobs.push(child.clone());
        Ok(())
    }

    /// Ends its children, and resolves when they have.
    pub(in crate::runtime) async fn outlive(&self) {
        let children = {
            let mut children = lock(&self.children);
            children.closed = true;
            std::mem::take(&mut children.jobs)
        };
        for child in &children {
            if child.wants_cancel() {
                child.cancel.cancel();
            }
        }
        for child in children {
            child.over.cancelled().await;
        }
    }

    /// Its lease has ended: `true` if it will end for that.
    pub(in crate::runtime) fn lapse(&self) -> bool {
        lock(&self.life).lapse()
    }

    /// The runtime ends: so does the job, unless it is ending already.
    pub(in crate::runtime) fn halt(&self) {
        let mut life = lock(&self.life);
        if life.stopping().is_none() && life.lapse() {
            self.halted.store(true, Ordering::Release);
            drop(life);
            self.cancel.cancel();
        }
    }

    pub(in crate::runtime) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    pub(in crate::runtime) fn status(&self) -> Status {
        let status = lock(&self.life).status();
        // A success of which something could not be kept is none.
        self.log.ended().filter(|_| status.is_terminal()).unwrap_or(status)
    }

    pub(in crate::runtime) fn start(&self) {
        lock(&self.life).start();
    }

    /// Whether the job will end as cancelled.
    pub(in crate::runtime) fn wants_cancel(&self) -> bool {
        lock(&self.life).cancel()
    }

    pub(in crate::runtime) fn expire(&self) -> bool {
        lock(&self.life).expire()
    }

    pub(in crate::runtime) fn stopping(&self) -> Option<FinalStatus> {
        lock(&self.life).stopping()
    }

    /// The agent is done; `None` if the job has ended already.
    pub(in crate::runtime) fn finish(&self, by_itself: FinalStatus) -> Option<Ended> {
        let mut life = lock(&self.life);
        let decided = life.stopping();
        life.finish(by_itself).map(|end| Ended { end, decided })
    }

    /// Whether a session submitted it, or was given it.
    pub(in crate::runtime) fn is_controlled_by(&self, session: &SessionId) -> bool {
        self.session_id == *session || lock(&self.controllers).contains(session)
    }

    /// A session was given it by an idempotent repeat. Of more than `most`, the first is one no longer: it can
    /// repeat it once more.
    pub(in crate::runtime) fn control(&self, session: &SessionId, most: usize) {
        let mut controllers = lock(&self.controllers);
        if self.session_id != *session && !controllers.contains(session) {
            if controllers.len() >= most.max(1) {
                controllers.remove(0);
            }
            controllers.push(session.clone());
        }
    }
}
