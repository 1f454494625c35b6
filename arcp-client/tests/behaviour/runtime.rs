//! Against the real runtime, over transports that are cut.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arcp_client::{Builder, Client, ConnectError, Dial, JobEvent, JobsFilter, NotResumed, Reason};
use arcp_core::Code;
use arcp_core::transport::{Close, Memory, Received, RecvError, Transport, memory};
use arcp_core::wire::event::EventBody;
use arcp_tower::{AgentError, AuthLayer, BearerTokens, Config, Job, Runtime, agent_fn, serve};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// Frames that a connection brings before it is cut, and frames that the runtime sends in vain.
type Cuts = Arc<Mutex<Box<dyn FnMut() -> (usize, usize) + Send>>>;

/// A connection that is not cut.
const WHOLE: (usize, usize) = (usize::MAX, 0);

/// An end of a connection that is cut after some frames; what was under way is lost.
struct Cut {
    end: Memory,
    left: usize,
    in_vain: usize,
}

impl Transport for Cut {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        while self.left == 0 && self.in_vain > 0 {
            let _ = ready!(self.end.poll_recv(cx));
            self.in_vain -= 1;
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset).into()));
        }
        let received = self.end.poll_recv(cx);
        if received.is_ready() {
            self.left -= 1;
        }
        received
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.poll_ready(cx)
    }
    fn send(&mut self, frame: String) -> io::Result<()> {
        self.end.send(frame)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        if self.left == 0 { Poll::Ready(Ok(())) } else { self.end.poll_close(cx, close) }
    }
}

async fn think(count: u64, job: Job) -> Result<u64, AgentError> {
    for n in 0..count {
        job.thought(n.to_string()).await?;
        if n % 7 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(count)
}

/// A runtime, and clients of it whose connections are cut.
fn world(
    config: Config,
    cuts: impl FnMut() -> (usize, usize) + Send + 'static,
) -> impl Fn() -> Builder<Dial> {
    let runtime = Runtime::builder().agent("think", agent_fn(think)).config(config.clone()).build().unwrap();
    let tokens = BearerTokens::new([("secret", "me@example.com"), ("theirs", "you@example.com")]);
    let service = runtime.layer(AuthLayer::new(tokens));
    let cuts: Cuts = Arc::new(Mutex::new(Box::new(cuts)));
    move || {
        let (service, config, cuts) = (service.clone(), config.clone(), cuts.clone());
        let open = move || {
            let (ours, theirs) = memory(16);
            tokio::spawn(serve(theirs, service.clone(), http::Extensions::new(), config.clone()));
            let (left, in_vain) = cuts.lock().unwrap()();
            async move { Ok(Cut { end: ours, left, in_vain }) }
        };
        Client::with_connector(open).token("secret")
    }
}

/// Random enough, and the same in every run.
fn random(seed: u64) -> impl FnMut(usize) -> usize + Send {
    let state = AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    move |below| {
        let mut x = state.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.store(x, Ordering::Relaxed);
        usize::try_from(x >> 33).unwrap() % below
    }
}

fn text(event: &JobEvent) -> &str {
    match &event.body {
        EventBody::Thought(thought) => &thought.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_comes_once_and_in_order_however_often_the_connection_is_cut() {
    for seed in 1..=8 {
        let connections = Arc::new(AtomicUsize::new(0));
        let (seen, mut random) = (connections.clone(), random(seed));
        let connect = world(Config::default(), move || match seen.fetch_add(1, Ordering::Relaxed) {
            // The first brings the welcome and the acceptance at least; some of the others nothing,
            // and some only the welcome.
            0 => (2 + random(40), random(20)),
            1..20 => (random(80), random(20)),
            _ => WHOLE,
        });
        let client = connect().connect().await.unwrap();
        let mut job = client.submit("think").input(&2000).idempotency_key("k").send().await.unwrap();
        for n in 0..2000u64 {
            let event = job.next().await.unwrap().unwrap();
            assert_eq!((event.event_seq, text(&event)), (Some(n + 1), &*n.to_string()), "seed {seed}");
        }
        assert!(job.next().await.is_none());
        assert_eq!(job.result().await.unwrap().decode(), Ok(2000));
        let cuts = connections.load(Ordering::Relaxed) - 1;
        assert!(cuts >= 20, "seed {seed}: {cuts} cuts");
        client.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_submit_with_a_key_whose_answer_is_lost_is_one_job_with_all_its_events() {
    for in_vain in [0, 1, 2, 3, 9, 51, 52] {
        // The welcome arrives; the acceptance does not, nor do some events or even all of them.
        let mut cuts = [(1, in_vain), WHOLE].into_iter();
        let connect = world(Config::default(), move || cuts.next().unwrap());
        let client = connect().connect().await.unwrap();
        let mut job = client.submit("think").input(&50).idempotency_key("k").send().await.unwrap();
        let texts = job.by_ref().map(|event| text(&event.unwrap()).to_owned()).collect::<Vec<_>>();
        let texts = timeout(Duration::from_secs(60), texts).await.expect("all of them");
        assert_eq!(texts, (0..50).map(|n| n.to_string()).collect::<Vec<_>>(), "{in_vain} in vain");
        assert_eq!(job.result().await.unwrap().decode(), Ok(50));
        let jobs: Vec<_> = client.list_jobs(JobsFilter::new()).collect().await;
        assert_eq!(jobs.len(), 1, "{in_vain} in vain");
        assert_eq!(&jobs[0].as_ref().unwrap().job_id, job.id());
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_loses_nothing_either() {
    let mut random = random(99);
    let mut left = 20;
    let connect = world(Config::default(), move || {
        left -= 1;
        if left > 0 && left < 18 { (2 + random(60), random(20)) } else { WHOLE }
    });
    let submitter = connect().connect().await.unwrap();
    let mut job = submitter.submit("think").input(&1000).send().await.unwrap();
    job.next().await.unwrap().unwrap();
    let watcher = connect().connect().await.unwrap();
    let mut watched = watcher.subscribe(job.id().clone(), true).await.unwrap();
    let texts = watched.by_ref().map(|event| text(&event.unwrap()).to_owned()).collect::<Vec<_>>();
    let (texts, result) = tokio::join!(texts, job.result());
    result.unwrap();
    assert_eq!(texts, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(watched.result().await.unwrap().decode(), Ok(1000));
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_in_another_client() {
    let connect = world(Config::default(), || WHOLE);
    let first = connect().connect().await.unwrap();
    let mut job = first.submit("think").input(&500).send().await.unwrap();
    let mut texts = Vec::new();
    while texts.len() < 123 {
        texts.push(text(&job.next().await.unwrap().unwrap()).to_owned());
    }
    let (id, point) = (job.id().clone(), first.resume_point().unwrap());
    assert_eq!(point.last_event_seq, 123);
    // The first process dies: its connection ends without a word.
    let point = serde_json::from_str(&serde_json::to_string(&point).unwrap()).unwrap();
    let second = connect().resume_from(point).connect().await.unwrap();
    assert!(matches!(first.closed().await.reason(), Reason::ClosedByPeer(close) if close.code == 4409));
    drop((job, first));
    let mut job = second.attach(id).await.unwrap();
    while let Some(event) = job.next().await {
        texts.push(text(&event.unwrap()).to_owned());
    }
    assert_eq!(texts, (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(job.result().await.unwrap().decode(), Ok(500));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_a_wrong_bearer_and_a_window_that_is_over_are_refused() {
    let connect = world(Config::default().with(|c| c.resume_window = Duration::from_secs(60)), || WHOLE);
    let client = connect().connect().await.unwrap();
    let point = client.resume_point().unwrap();
    let mut wrong = point.clone();
    wrong.resume_token = "rt_wrong".to_owned();
    for (builder, code) in [
        (connect().resume_from(wrong), Code::ResumeWindowExpired),
        (connect().token("theirs").resume_from(point.clone()), Code::ResumeWindowExpired),
        (connect().token("nobody's").resume_from(point.clone()), Code::Unauthenticated),
    ] {
        match builder.connect().await.unwrap_err() {
            ConnectError::Refused(error) => assert_eq!(error.code(), code),
            other => panic!("{other}"),
        }
    }
    client.close().await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    match connect().resume_from(point).connect().await.unwrap_err() {
        ConnectError::Refused(error) => assert_eq!(error.code(), Code::ResumeWindowExpired),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_runtime_has_forgotten_ends_the_client() {
    // The first connection is cut, and the second reaches a runtime that was started anew.
    let worlds: Vec<_> = (0..2)
        .map(|_| {
            let runtime = Runtime::builder().agent("think", agent_fn(think)).build().unwrap();
            runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])))
        })
        .collect();
    let mut connections = 0;
    let open = move || {
        let (ours, theirs) = memory(16);
        let service = worlds[connections.min(1)].clone();
        let left = if connections == 0 { 8 } else { usize::MAX };
        connections += 1;
        tokio::spawn(serve(theirs, service, http::Extensions::new(), Config::default()));
        async move { Ok(Cut { end: ours, left, in_vain: 0 }) }
    };
    let client = Client::with_connector(open).token("secret").connect().await.unwrap();
    let mut job = client.submit("think").input(&100).send().await.unwrap();
    let mut taken = 0;
    let cut = loop {
        match job.next().await.unwrap() {
            Ok(_) => taken += 1,
            Err(cut) => break cut,
        }
    };
    assert_eq!(taken, 6, "what had arrived is there");
    match cut.reason() {
        Reason::NotResumed { why: NotResumed::Refused(error), .. } => {
            assert_eq!(error.code(), Code::ResumeWindowExpired);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_over_the_pages_of_the_runtime() {
    let connect = world(Config::default(), || WHOLE);
    let client = connect().connect().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..7 {
        let mut job = client.submit("think").input(&1).send().await.unwrap();
        job.result().await.unwrap();
        ids.push(job.id().clone());
    }
    let filter = JobsFilter::new().agent("think").status([arcp_core::job::Status::Success]).page(3);
    let mut listed: Vec<_> =
        client.list_jobs(filter).map(|job| job.unwrap().job_id).collect::<Vec<_>>().await;
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    let none = JobsFilter::new().status([arcp_core::job::Status::Running]);
    assert_eq!(client.list_jobs(none).count().await, 0);
}
