//! Which request an answer answers. Runtimes differ in what they say of it, so what they say is
//! tried in order of certainty, and nothing is guessed between two that fit equally well.

use std::collections::VecDeque;
use std::time::Instant;

use arcp_core::{Code, Envelope, JobId, MessageId, TraceId};
use serde::Deserialize;

use crate::jobs::Standing;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Submit,
    Subscribe,
    Cancel,
    Ping,
    List,
}

/// A request without an answer yet.
#[derive(Debug)]
pub(crate) struct Request<T> {
    pub(crate) id: MessageId,
    pub(crate) kind: Kind,
    /// The job that it names.
    pub(crate) job: Option<JobId>,
    /// The trace that a submit began.
    pub(crate) trace: Option<TraceId>,
    pub(crate) deadline: Instant,
    /// Its frame, if it may be sent again after a resume: a second time does no harm.
    pub(crate) again: Option<String>,
    /// Whether it was.
    pub(crate) repeated: bool,
    /// Where the answer goes.
    pub(crate) slot: T,
}

/// What an answer says of the request that it answers.
#[derive(Debug, Default)]
pub(crate) struct Clues {
    /// `payload.request_id`.
    pub(crate) request_id: Option<MessageId>,
    /// The answer's own id, which some runtimes copy from the request.
    pub(crate) id: Option<MessageId>,
    pub(crate) job: Option<JobId>,
    pub(crate) trace: Option<TraceId>,
}

impl Clues {
    pub(crate) fn of(message: &Envelope) -> Self {
        #[derive(Default, Deserialize)]
        struct Refs {
            request_id: Option<MessageId>,
            reply_to: Option<MessageId>,
            job_id: Option<JobId>,
        }
        let refs: Refs = message.payload.decode().unwrap_or_default();
        Self {
            request_id: refs.request_id.or(refs.reply_to),
            id: message.id.clone(),
            job: message.job_id.clone().or(refs.job_id),
            trace: message.trace_id,
        }
    }
}

/// What a `job.error` is.
#[derive(Debug)]
pub(crate) enum Verdict<T> {
    /// The refusal of a request.
    Refusal(Request<T>),
    /// The end of the job that it names.
    Terminal,
    /// Nothing that anyone waits for.
    Nothing,
}

/// The requests without an answer, oldest first.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    requests: VecDeque<Request<T>>,
    most: usize,
}

impl<T> Pending<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { requests: VecDeque::new(), most }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.requests.len() >= self.most
    }

    /// Adds a request; the caller looks first whether there is room.
    pub(crate) fn push(&mut self, request: Request<T>) {
        self.requests.push_back(request);
    }

    /// When [`Pending::expired`] has something next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.requests.iter().map(|r| r.deadline).min()
    }

    /// A request whose time is up.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Request<T>> {
        self.take(|r| r.deadline <= now)
    }

    /// All of them, oldest first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Request<T>> {
        self.requests.iter_mut()
    }

    /// Whether a subscription to `job` has no answer yet.
    pub(crate) fn subscribes(&self, job: &JobId) -> bool {
        self.requests.iter().any(|r| r.kind == Kind::Subscribe && r.job.as_ref() == Some(job))
    }

    /// Whether a repeated submit has no answer yet.
    pub(crate) fn repeats_a_submit(&self) -> bool {
        self.requests.iter().any(|r| r.repeated && r.kind == Kind::Submit)
    }

    /// All of them: the connection is gone.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Request<T>> {
        self.requests.drain(..)
    }

    /// The request that a positive answer of `kind` answers.
    pub(crate) fn answered(&mut self, kind: Kind, clues: &Clues) -> Option<Request<T>> {
        if let Some(id) = &clues.request_id {
            return self.take(|r| r.kind == kind && r.id == *id);
        }
        if let Some(found) = self.take(|r| r.kind == kind && clues.id.as_ref() == Some(&r.id)) {
            return Some(found);
        }
        match kind {
            Kind::Submit => self.submit(clues),
            // Their answers name the job, so another job's is not ours.
            _ => self.take(|r| r.kind == kind && r.job == clues.job),
        }
    }

    /// A request of `kind` on `job`.
    pub(crate) fn on_job(&mut self, kind: Kind, job: &JobId) -> Option<Request<T>> {
        self.take(|r| r.kind == kind && r.job.as_ref() == Some(job))
    }

    /// The request that a `session.error` refuses.
    pub(crate) fn refused(&mut self, clues: &Clues) -> Option<Request<T>> {
        if let Some(id) = &clues.request_id {
            return self.take(|r| r.id == *id);
        }
        self.by_own_id(clues)
            .or_else(|| self.by_job(clues.job.as_ref()))
            .or_else(|| if self.requests.len() == 1 { self.requests.pop_front() } else { None })
    }

    /// What a `job.error` is, where this session stands to its job in that way. `numbered`: it has
    /// an `event_seq`, as the end of a job should.
    pub(crate) fn job_error(
        &mut self,
        clues: &Clues,
        code: Code,
        numbered: bool,
        standing: Standing,
    ) -> Verdict<T> {
        let live = standing == Standing::Live;
        if let Some(id) = &clues.request_id {
            return match self.take(|r| r.id == *id) {
                Some(found) => Verdict::Refusal(found),
                None if live && numbered => Verdict::Terminal,
                // The request was given up in the meantime.
                None => Verdict::Nothing,
            };
        }
        if let Some(found) = self.by_own_id(clues) {
            return Verdict::Refusal(found);
        }
        let refusal = match (clues.job.as_ref(), standing) {
            (None, _) => self.submit(clues).or_else(|| self.refused(clues)),
            // One runtime refuses the submit that repeats a key under the job that has it.
            (Some(_), _) if code == Code::DuplicateKey => self.submit(clues),
            (job, Standing::Live) => {
                let unlike_an_end = code == Code::JobNotFound
                    || !numbered && matches!(code, Code::PermissionDenied | Code::InvalidRequest);
                match if unlike_an_end { self.by_job(job) } else { None } {
                    Some(found) => Some(found),
                    None => return Verdict::Terminal,
                }
            }
            (job, Standing::Past) => self.by_job(job),
            (job, Standing::Unknown) => self.by_job(job).or_else(|| self.submit(clues)),
        };
        refusal.map_or(Verdict::Nothing, Verdict::Refusal)
    }

    /// The one submit that it can be: the one of that trace, or the only one.
    fn submit(&mut self, clues: &Clues) -> Option<Request<T>> {
        self.only(|r| r.kind == Kind::Submit && clues.trace.is_some() && r.trace == clues.trace)
            .or_else(|| self.only(|r| r.kind == Kind::Submit))
    }

    fn by_own_id(&mut self, clues: &Clues) -> Option<Request<T>> {
        self.take(|r| clues.id.as_ref() == Some(&r.id))
    }

    fn by_job(&mut self, job: Option<&JobId>) -> Option<Request<T>> {
        job.and_then(|job| self.take(|r| r.job.as_ref() == Some(job)))
    }

    fn only(&mut self, fits: impl Fn(&Request<T>) -> bool) -> Option<Request<T>> {
        let mut which = self.requests.iter().enumerate().filter(|(_, r)| fits(r));
        let (at, _) = which.next()?;
        if which.next().is_some() { None } else { self.requests.remove(at) }
    }

    fn take(&mut self, fits: impl Fn(&Request<T>) -> bool) -> Option<Request<T>> {
        let at = self.requests.iter().position(fits)?;
        self.requests.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests by id, kind and job; a `job.error` with its code, whether it is numbered, and how
    /// the session stands to its job; and which request it refuses, or else whether it is an end.
    type Case<'a> = (&'a [(u128, Kind, Option<u128>)], Clues, Code, bool, Standing, Result<u128, bool>);

    fn pending(requests: &[(u128, Kind, Option<u128>)]) -> Pending<()> {
        let mut pending = Pending::new(16);
        for (id, kind, job) in requests {
            pending.push(Request {
                id: MessageId::from_bits(*id),
                kind: *kind,
                job: job.map(JobId::from_bits),
                trace: Some(TraceId::from_bits(*id)),
                deadline: Instant::now(),
                again: None,
                repeated: false,
                slot: (),
            });
        }
        pending
    }

    fn by_request(id: u128) -> Clues {
        Clues { request_id: Some(MessageId::from_bits(id)), ..Clues::default() }
    }

    fn by_id(id: u128) -> Clues {
        Clues { id: Some(MessageId::from_bits(id)), ..Clues::default() }
    }

    fn by_job(job: u128) -> Clues {
        Clues { id: Some(MessageId::from_bits(99)), job: Some(JobId::from_bits(job)), ..Clues::default() }
    }

    fn by_trace(bits: u128) -> Clues {
        Clues { trace: Some(TraceId::from_bits(bits)), ..by_job(77) }
    }

    #[allow(clippy::unnecessary_wraps, reason = "it is compared with what was found")]
    fn is(bits: u128) -> Option<MessageId> {
        Some(MessageId::from_bits(bits))
    }

    fn which(found: Option<Request<()>>) -> Option<MessageId> {
        found.map(|r| r.id)
    }

    #[test]
    fn answers_find_their_request_by_the_surest_clue() {
        let two = [(1, Kind::Submit, None), (2, Kind::Submit, None)];
        assert_eq!(which(pending(&two).answered(Kind::Submit, &by_request(2))), is(2));
        assert_eq!(which(pending(&two).answered(Kind::Submit, &by_id(2))), is(2));
        assert_eq!(which(pending(&two).answered(Kind::Submit, &by_trace(2))), is(2));
        assert_eq!(which(pending(&two).answered(Kind::Submit, &by_job(7))), None, "it could be either");
        assert_eq!(which(pending(&two[..1]).answered(Kind::Submit, &by_job(7))), is(1));
        assert_eq!(which(pending(&two[..1]).answered(Kind::Submit, &by_request(9))), None, "given up");
        let watching = [(1, Kind::Subscribe, Some(7)), (2, Kind::Subscribe, Some(8))];
        assert_eq!(which(pending(&watching).answered(Kind::Subscribe, &by_job(8))), is(2));
        assert_eq!(which(pending(&watching).answered(Kind::Subscribe, &by_job(9))), None);
    }

    #[test]
    fn a_session_error_fails_what_it_names_or_the_only_request() {
        let two = [(1, Kind::Submit, None), (2, Kind::Cancel, Some(7))];
        assert_eq!(which(pending(&two).refused(&by_request(1))), is(1));
        assert_eq!(which(pending(&two).refused(&by_job(7))), is(2));
        assert_eq!(which(pending(&two).refused(&Clues::default())), None);
        assert_eq!(which(pending(&two[1..]).refused(&Clues::default())), is(2));
        assert_eq!(which(pending(&two[1..]).refused(&by_request(9))), None, "of a request given up");
    }

    #[test]
    fn a_job_error_is_an_end_or_a_refusal() {
        use Standing::{Live, Past, Unknown};
        let submit = [(1, Kind::Submit, None)];
        let cancel = [(1, Kind::Submit, None), (2, Kind::Cancel, Some(7))];
        let (denied, failed) = (Code::PermissionDenied, Code::InternalError);
        let (end, nothing) = (Err(true), Err(false));
        let cases: Vec<Case<'_>> = vec![
            (&submit, by_request(1), denied, false, Unknown, Ok(1)),
            (&submit, by_id(1), denied, false, Unknown, Ok(1)),
            (&submit, by_job(9), denied, true, Unknown, Ok(1)),
            (&submit, Clues::default(), denied, false, Unknown, Ok(1)),
            (&submit, by_job(7), failed, true, Live, end),
            (&submit, by_job(7), failed, false, Live, end),
            (&submit, by_job(7), denied, true, Live, end),
            (&submit, by_job(7), Code::DuplicateKey, true, Live, Ok(1)),
            (&submit, by_job(7), failed, true, Past, nothing),
            (&submit, by_request(5), denied, false, Live, nothing),
            (&cancel, by_job(7), denied, false, Live, Ok(2)),
            (&cancel, by_job(7), denied, true, Live, end),
            (&cancel, by_job(7), Code::JobNotFound, true, Live, Ok(2)),
            (&cancel, by_job(7), Code::JobNotFound, false, Past, Ok(2)),
            (&[], by_job(7), failed, true, Unknown, nothing),
        ];
        for (n, (requests, clues, code, numbered, standing, wanted)) in cases.into_iter().enumerate() {
            let verdict = pending(requests).job_error(&clues, code, numbered, standing);
            let got = match verdict {
                Verdict::Refusal(r) => Ok(r.id),
                Verdict::Terminal => Err(true),
                Verdict::Nothing => Err(false),
            };
            assert_eq!(got, wanted.map(MessageId::from_bits), "case {n}");
        }
    }
}
