//! Our client against our runtime, over WebSocket, over lines, and in memory.

use std::time::Duration;

use arcp_client::{Client, ClientConfig, ConnectError, JobError, Reason, RequestError};
use arcp_core::job::{FinalStatus, Status};
use arcp_core::transport::Lines;
use arcp_core::wire::event::EventBody;
use arcp_core::{Code, Feature, Features, TraceId};
use arcp_tests::{ALICE, BOB, Memories, Server, guarded};
use arcp_tower::{Config, Mount, serve};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

fn memories(config: &Config) -> Memories<impl Mount> {
    Memories::of(guarded(config), config)
}

async fn in_memory(memories: &Memories<impl Mount>, token: &str) -> Client {
    Client::over(memories.transport(64).0).token(token).connect().await.unwrap()
}

async fn over_websocket(server: &Server, token: &str) -> Client {
    Client::builder(server.url()).token(token).connect().await.unwrap()
}

/// What a client does in its life.
async fn a_session(client: Client, watcher: Client) {
    let info = client.session();
    assert!(info.features.has(Feature::Ack) && info.features.has(Feature::ResultChunk));
    assert!(info.welcome.capabilities.agents.iter().any(|agent| agent.name == "echo"));

    // Every field of a submit that this runtime takes.
    let trace = TraceId::from_bits(77);
    let input = json!({ "keeps": 1.0, "digits": "é\u{1}" });
    let mut job = client
        .submit("echo@1.0.0")
        .input(&input)
        .lease("fs.read", ["/workspace/**"])
        .lease("x-vendor.acme.gpu", ["h100"])
        .idempotency_key("once")
        .max_runtime(Duration::from_secs(60))
        .trace_id(trace)
        .send()
        .await
        .unwrap();
    assert_eq!(job.accepted().agent.as_deref(), Some("echo@1.0.0"));
    assert_eq!(job.trace_id(), trace);
    let lease = serde_json::to_value(&job.accepted().lease).unwrap();
    assert_eq!(lease, json!({ "fs.read": ["/workspace/**"], "x-vendor.acme.gpu": ["h100"] }));
    let outcome = job.result().await.unwrap();
    assert_eq!(outcome.result.as_ref().unwrap().as_str(), input.to_string());
    assert_eq!(outcome.decode::<Value>().unwrap(), input);

    // Events, in order, and then the end.
    let mut job = client.submit("chatty").input(&json!({ "count": 5000 })).send().await.unwrap();
    let mut lines = 0;
    while let Some(event) = job.next().await {
        let event = event.unwrap();
        let EventBody::Log(log) = event.body else { continue };
        assert!(log.message.starts_with(&format!("line {lines} ")));
        lines += 1;
    }
    assert_eq!(lines, 5000);
    assert_eq!(job.result().await.unwrap().decode::<Value>().unwrap(), json!({ "emitted": 5000 }));

    // A streamed result, and one that the runtime streams because of its size.
    let input = json!({ "pieces": ["ab", "cé"], "encoding": "base64", "repeat": 70_000 });
    let mut job = client.submit("chunker").input(&input).send().await.unwrap();
    let outcome = job.result().await.unwrap();
    assert_eq!(outcome.summary.as_deref(), Some("in pieces"));
    assert_eq!(outcome.streamed().unwrap().len(), 5 * 70_000);
    assert_eq!(outcome.result_size, Some(5 * 70_000));
    let mut job = client.submit("large").input(&3_000_000).send().await.unwrap();
    assert_eq!(job.result().await.unwrap().decode::<String>().unwrap().len(), 3_000_000);

    // A job that fails, one that is cancelled, one that runs out of time, one that panics.
    let ends = [
        ("fails", json!({ "ms": 0 }), FinalStatus::Error, Code::InternalError, "boom"),
        ("panics", json!({ "ms": 0 }), FinalStatus::Error, Code::InternalError, "the agent failed"),
        ("slow", json!({}), FinalStatus::TimedOut, Code::Timeout, "the job passed its max_runtime_sec"),
    ];
    for (agent, input, status, code, words) in ends {
        let submit = client.submit(agent).input(&input).max_runtime(Duration::from_secs(1));
        let Err(JobError::Ended(failure)) = submit.send().await.unwrap().result().await else {
            panic!("{agent} must end badly")
        };
        assert_eq!((failure.final_status, failure.error.code()), (status, code));
        assert_eq!(failure.error.message(), words);
    }
    let mut job = client.submit("slow").input(&json!({})).send().await.unwrap();
    job.next().await.unwrap().unwrap();
    let mut watched = watcher.subscribe(job.id().clone(), true).await.unwrap();
    assert_eq!(watched.subscribed().current_status, Status::Running);
    let Some(Ok(first)) = watched.next().await else { panic!("history comes first") };
    assert_eq!(first.body.kind(), "status");
    job.cancel(Some("enough")).await.unwrap();
    for end in [job.result().await, watched.result().await] {
        let Err(JobError::Ended(failure)) = end else { panic!("cancelled is an end: {end:?}") };
        assert_eq!(failure.final_status, FinalStatus::Cancelled);
    }

    // A refusal harms nothing.
    for (agent, code) in [("nobody", Code::AgentNotAvailable), ("echo@9.9.9", Code::AgentVersionNotAvailable)]
    {
        let Err(RequestError::Refused(refused)) = client.submit(agent).send().await else {
            panic!("{agent}")
        };
        assert_eq!(refused.code(), code);
    }
    assert!(matches!(client.submit("../x").send().await, Err(RequestError::Invalid(_))));
    client.ping().await.unwrap();
    client.close().await;
    assert_eq!(client.disconnected().unwrap().reason(), &Reason::ClosedByUs);
    watcher.close().await;
}

#[tokio::test]
async fn a_client_does_everything_over_a_websocket() {
    let server = Server::guarded(&Config::default()).await;
    let (client, watcher) = (over_websocket(&server, ALICE).await, over_websocket(&server, ALICE).await);
    a_session(client, watcher).await;
    server.settles_to(0).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_does_everything_in_memory() {
    let config = Config::default();
    let memories = memories(&config);
    a_session(in_memory(&memories, ALICE).await, in_memory(&memories, ALICE).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_does_everything_over_lines_of_a_byte_stream() {
    let config = Config::default();
    let mount = guarded(&config);
    let open = || {
        let ((ours, theirs), limits) = (tokio::io::duplex(4096), config.line_limits());
        let [ours, theirs] = [ours, theirs].map(tokio::io::split).map(|(r, w)| Lines::new(r, w, limits));
        tokio::spawn(serve(theirs, mount.clone(), http::Extensions::new(), config.clone()));
        Client::over(ours).token(ALICE).connect()
    };
    let (client, watcher) = (open().await.unwrap(), open().await.unwrap());
    a_session(client, watcher).await;
}

#[tokio::test]
async fn a_client_is_told_why_there_is_no_session() {
    let server = Server::guarded(&Config::default()).await;
    let refused = Client::builder(server.url()).token("wrong").connect().await.unwrap_err();
    assert!(matches!(&refused, ConnectError::Refused(e) if e.code() == Code::Unauthenticated), "{refused:?}");
    let elsewhere = Client::builder(format!("{}/nowhere", server.url())).token(ALICE).connect().await;
    assert!(matches!(elsewhere, Err(ConnectError::Status(_))), "{elsewhere:?}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_no_end_of_the_job() {
    let config = Config::default();
    let memories = memories(&config);
    let (transport, served) = memories.transport(64);
    let client = Client::over(transport).token(ALICE).connect().await.unwrap();
    let mut job = client.submit("slow").input(&json!({ "ms": 5000 })).send().await.unwrap();
    job.next().await.unwrap().unwrap();
    served.abort();
    assert!(job.next().await.unwrap().is_err(), "the stream says that it was cut");
    assert!(job.next().await.is_none());
    assert!(matches!(job.result().await, Err(JobError::Cut(_))));
    // And the job went on, as anybody can see.
    let other = in_memory(&memories, ALICE).await;
    let mut watched = other.subscribe(job.id().clone(), true).await.unwrap();
    assert_eq!(watched.result().await.unwrap().decode::<String>().unwrap(), "slept");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_stops_closes_its_clients_in_an_orderly_way() {
    let config = Config::default();
    let memories = memories(&config);
    let client = in_memory(&memories, ALICE).await;
    let mut job = client.submit("slow").input(&json!({})).send().await.unwrap();
    config.shutdown.cancel();
    let Err(JobError::Cut(cut)) = job.result().await else { panic!("it has not ended") };
    assert!(matches!(cut.reason(), Reason::ClosedByPeer(close) if close.code == 1012), "{cut}");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_somebody_else_is_unknown() {
    let config = Config::default();
    let memories = memories(&config);
    let (alice, bob) = (in_memory(&memories, ALICE).await, in_memory(&memories, BOB).await);
    let job = alice.submit("slow").input(&json!({})).send().await.unwrap();
    let Err(RequestError::Refused(refused)) = bob.subscribe(job.id().clone(), true).await else {
        panic!("it is not visible")
    };
    assert_eq!(refused.code(), Code::JobNotFound);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_an_idle_session_for_a_day() {
    let config = Config::default();
    let client = in_memory(&memories(&config), ALICE).await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert!(client.disconnected().is_none());
    let mut job = client.submit("echo").input(&1).send().await.unwrap();
    assert_eq!(job.result().await.unwrap().decode::<u8>().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn acks_keep_a_small_window_open() {
    let config = Config::default().with(|c| c.window = 64);
    let client = in_memory(&memories(&config), ALICE).await;
    let mut job = client.submit("chatty").input(&json!({ "count": 20_000 })).send().await.unwrap();
    let mut lines = 0;
    while let Some(event) = job.next().await {
        lines += usize::from(event.unwrap().body.kind() == "log");
    }
    assert_eq!(lines, 20_000);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_negotiated_is_not_sent() {
    let config = Config::default();
    let memories = memories(&config);
    let builder = Client::over(memories.transport(64).0).token(ALICE).config(ClientConfig::default());
    let client = builder.features(Features::NONE).connect().await.unwrap();
    let refused = |outcome: Result<_, RequestError>| matches!(outcome, Err(RequestError::NotNegotiated(_)));
    assert!(refused(client.ping().await.map(drop)));
    assert!(refused(client.submit("echo@1.0.0").send().await.map(drop)));
    assert!(refused(client.submit("echo").lease("cost.budget", ["USD:1.00"]).send().await.map(drop)));
    let mut job = client.submit("progress").input(&100).send().await.unwrap();
    assert!(job.next().await.is_none(), "nothing was delivered");
    assert_eq!(job.result().await.unwrap().decode::<u64>().unwrap(), 100);
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_job_again_is_sent_its_history_again() {
    let config = Config::default();
    let memories = memories(&config);
    let (owner, watcher) = (in_memory(&memories, ALICE).await, in_memory(&memories, ALICE).await);
    let job = owner.submit("chatty").input(&json!({ "count": 20, "delay_ms": 100 })).send().await.unwrap();
    for seen in [3, 6, 9] {
        let mut watched = watcher.subscribe(job.id().clone(), true).await.unwrap();
        for n in 0..seen {
            let event = watched.next().await.unwrap().unwrap();
            let EventBody::Log(log) = event.body else { panic!("{event:?}") };
            assert!(log.message.starts_with(&format!("line {n} ")), "{}", log.message);
        }
    }
    let mut watched = watcher.subscribe(job.id().clone(), true).await.unwrap();
    assert_eq!(watched.by_ref().count().await, 20);
    assert!(watched.result().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn results_can_be_waited_for_one_after_the_other_whatever_the_jobs_say_meanwhile() {
    let config = Config::default().with(|c| c.window = 8);
    let client = in_memory(&memories(&config), ALICE).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let chatty = json!({ "count": 50, "delay_ms": 1 });
        jobs.push(client.submit("chatty").input(&chatty).send().await.unwrap());
    }
    for job in &mut jobs {
        let result = tokio::time::timeout(Duration::from_secs(60), job.result()).await;
        assert_eq!(result.unwrap().unwrap().decode::<Value>().unwrap()["emitted"], 50);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_cancelled_by_its_id_when_its_handle_is_gone() {
    let memories = memories(&Config::default());
    let client = in_memory(&memories, ALICE).await;
    let job = client.submit("slow").input(&json!({})).send().await.unwrap();
    let id = job.id().clone();
    drop(job);
    client.cancel(&id, Some("not needed")).await.unwrap();
    let mut watched = in_memory(&memories, ALICE).await.subscribe(id, true).await.unwrap();
    let Err(JobError::Ended(failure)) = watched.result().await else { panic!("it was cancelled") };
    assert_eq!(failure.final_status, FinalStatus::Cancelled);
}
