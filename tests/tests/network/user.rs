//! What the user of a client saw, and whether that is all there is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_client::{
    AttachedJob, Client, ConnectionStatus, Disconnected, JobError, JobEvent, JobHandle, JobOutcome, Reason,
    Subscription,
};
use arcp_core::JobId;
use arcp_core::wire::event::EventBody;
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;

use crate::proxy::Line;
use crate::sim::{World, now};
use crate::tap::Record;

/// What follows a job, whichever way.
pub trait Follows: Stream<Item = Result<JobEvent, Disconnected>> + Unpin {
    fn job(&self) -> &JobId;
    fn end(&mut self) -> impl Future<Output = Result<JobOutcome, JobError>>;
}

macro_rules! follows {
    ($($kind:ty),*) => {$(
        impl Follows for $kind {
            fn job(&self) -> &JobId {
                self.id()
            }
            async fn end(&mut self) -> Result<JobOutcome, JobError> {
                self.result().await
            }
        }
    )*};
}
follows!(JobHandle, AttachedJob, Subscription);

/// What a user saw of one job.
#[derive(Debug)]
pub struct Story {
    pub job: JobId,
    pub numbers: Vec<u64>,
    pub bodies: Vec<EventBody>,
    pub end: Result<JobOutcome, JobError>,
}

impl Story {
    /// Takes the next event, if there is one.
    pub async fn take(&mut self, job: &mut impl Follows) -> Option<Result<(), Disconnected>> {
        Some(job.next().await?.map(|event| {
            self.numbers.push(event.event_seq.expect("every event has a number"));
            self.bodies.push(event.body);
        }))
    }

    /// Takes the next event, which must come.
    pub async fn next(&mut self, job: &mut impl Follows) {
        let taken = self.take(job).await;
        taken.expect("the job has not ended").expect("the user notices no cut");
    }

    pub fn of(job: &impl Follows) -> Self {
        let end = Err(JobError::Damaged(arcp_core::Error::fault("story", "is not at its end")));
        Self { job: job.job().clone(), numbers: Vec::new(), bodies: Vec::new(), end }
    }

    /// Follows the job to its end, and looks whether anything comes after it.
    pub async fn finish(mut self, mut job: impl Follows) -> Self {
        while let Some(taken) = self.take(&mut job).await {
            taken.expect("the user notices no cut");
        }
        self.end = job.end().await;
        assert!(job.next().await.is_none(), "nothing follows the end");
        self
    }

    /// Lines of the job that came; a runtime that is slowed down says so between them.
    pub fn lines(&self) -> u64 {
        self.bodies.iter().filter(|body| matches!(body, EventBody::Log(_))).count() as u64
    }

    /// The job made `count` lines, this is all of them in their order, and then came its result.
    pub fn is_whole(&self, name: &str, count: u64) {
        let lines = self.bodies.iter().filter_map(|body| match body {
            EventBody::Log(log) => Some(log.message.trim_end_matches('x').trim_end()),
            _ => None,
        });
        let wanted = (0..count).map(|line| format!("{name} {line}"));
        assert!(lines.eq(wanted), "{name}: {:?}", self.bodies);
        let result = self.end.as_ref().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(result.decode::<u64>().unwrap(), count, "{name}");
    }
}

/// What followed a job to its end.
pub async fn follow(job: impl Follows) -> Story {
    Story::of(&job).finish(job).await
}

/// A session as the runtime sent it, over all of its connections.
#[derive(Debug, Default)]
pub struct Sent {
    contents: BTreeMap<u64, Value>,
    /// The number of each job's end; several, if it was asked for again after it.
    ends: HashMap<String, BTreeSet<u64>>,
}

impl Sent {
    /// Looks at every connection of a session: each goes on where its client said, without a gap,
    /// and no number ever has two contents.
    pub fn over(line: &Line, session: &str) -> Self {
        line.look(|records| {
            let mut sent = Self::default();
            for record in records.iter().filter(|record| record.session() == Some(session)) {
                sent.add(record);
            }
            sent
        })
    }

    fn add(&mut self, record: &Record) {
        let mut last = record.resumed_from();
        for (number, frame) in record.numbered() {
            assert_eq!(number, last + 1, "a connection has a gap, or goes back");
            last = number;
            let known = self.contents.entry(number).or_insert_with(|| frame.message.clone());
            assert_eq!(*known, frame.message, "number {number} has two contents");
            if frame.kind() != "job.event" {
                let job = frame.message["job_id"].as_str().unwrap().to_owned();
                self.ends.entry(job).or_default().insert(number);
            }
        }
    }

    /// All numbers of the session are there once in `stories`, or are the ends of their jobs.
    pub fn is_all_in(&self, stories: &[&Story]) {
        let mut seen = BTreeSet::new();
        for story in stories {
            assert!(story.numbers.is_sorted(), "not in order: {:?}", story.numbers);
            let ends = self.ends.get(story.job.as_str()).expect("the end of the job was sent");
            // A submit that is repeated after the end is told the same end once more (§7.2).
            let told: Vec<_> = ends.iter().map(|number| &self.contents[number]["payload"]).collect();
            assert!(told.iter().all(|payload| payload == &told[0]), "a job has one end: {told:?}");
            for number in story.numbers.iter().chain(ends) {
                assert!(seen.insert(*number), "number {number} came twice");
            }
        }
        assert!(seen.iter().copied().eq(1..=seen.len() as u64), "there is a gap: {seen:?}");
    }
}

/// Whether `story` is what the runtime keeps of its job: somebody else reads it, undisturbed.
pub async fn equals_the_log(world: &mut World, story: &Story) {
    let clean = world.lines.len() - 1;
    let reader = world.client(clean).connect().await.unwrap();
    let log = follow(reader.subscribe(story.job.clone(), true).await.unwrap()).await;
    assert_eq!(log.bodies, story.bodies);
    let result =
        |story: &Story| story.end.as_ref().map(|end| end.result.clone()).map_err(ToString::to_string);
    assert_eq!(result(&log), result(story));
    reader.close().await;
}

/// How often a client lost its connection, when, and why.
#[derive(Debug, Clone, Default)]
pub struct Losses(Arc<Mutex<Vec<(Duration, Reason)>>>);

impl Losses {
    /// Watches a client.
    pub fn of(client: &Client) -> Self {
        let (losses, mut status) = (Self::default(), client.status());
        let seen = losses.clone();
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                let why = match &*status.borrow_and_update() {
                    ConnectionStatus::Reconnecting { attempt: 1, why, .. }
                    | ConnectionStatus::Closed(why) => why.reason().clone(),
                    _ => continue,
                };
                seen.0.lock().unwrap().push((now(), why));
            }
        });
        losses
    }

    pub fn all(&self) -> Vec<(Duration, Reason)> {
        self.0.lock().unwrap().clone()
    }
}
