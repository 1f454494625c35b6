//! Numbers on their way to the store: runs, and where the feeds stand behind them.

use std::collections::VecDeque;

use arcp_core::JobId;
use arcp_core::store::{Op, RunRow};

use super::Ready;
use crate::service::{Numbered, SessionCtx};

/// Numbers on their way to the store.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) frames: VecDeque<Ready>,
    pub(super) bytes: usize,
    after: u64,
    runs: Vec<RunRow>,
    feeds: Vec<(JobId, u64)>,
    ended: Vec<JobId>,
}

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.feeds.is_empty()
    }

    pub(super) fn frame(&mut self, numbered: Numbered) {
        let Numbered { event_seq, job_id, job_seq, terminal, frame, credits } = numbered;
        if self.frames.is_empty() {
            self.after = event_seq - 1;
        }
        match self.runs.last_mut() {
            Some(run) if run.job == job_id && run.from + run.len == job_seq => run.len += 1,
            _ => self.runs.push(RunRow { first: event_seq, len: 1, job: job_id.clone(), from: job_seq }),
        }
        if terminal {
            self.ended.push(job_id.clone());
        }
        self.moved(job_id, job_seq + 1);
        self.bytes += frame.len();
        self.frames.push_back(Ready { event_seq, frame, credits });
    }

    pub(super) fn moved(&mut self, job: JobId, next: u64) {
        match self.feeds.iter_mut().rev().find(|(known, _)| *known == job) {
            Some((_, at)) => *at = next,
            None => self.feeds.push((job, next)),
        }
    }

    pub(super) fn finish(self, cx: &SessionCtx, epoch: u64, ops: &mut Vec<Op>) -> VecDeque<Ready> {
        let Self { frames, after, runs, feeds, ended, .. } = self;
        let session = cx.id();
        if !feeds.is_empty() {
            let after = if frames.is_empty() { cx.last_event_seq() } else { after };
            ops.push(Op::Number { session: session.clone(), epoch, after, runs, feeds });
        }
        for job in ended {
            ops.push(Op::DropFeed { session: session.clone(), epoch, job });
        }
        frames
    }
}
