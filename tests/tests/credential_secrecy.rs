//! The search for the secret (§14): it is in no log line, span, stored row, listing, subscription or
//! history, and in no frame of anybody but the submitter. Nor are the submitter's own secrets, or the one
//! that manages a gateway's keys.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::store::{CredentialQuery, JobQuery, Store};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tests::gateway::{ADMIN, Gateway};
use arcp_tests::vault::{CANARY, Fault, Vault, keyed_agents, wanting};
use arcp_tests::{ALICE, BOB, Memories, tokens};
use arcp_tower::{Access, AuthLayer, Config, Observed, Principal, Runtime, TraceLayer, each_session};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde_json::json;
use tower::ServiceBuilder;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Everything that is logged, at every level, with spans as they open and close.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The files of a store, as they are on the disk.
fn files(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    bytes
}

/// Every span that is exported.
#[derive(Debug, Clone, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().unwrap().extend(batch);
        std::future::ready(Ok(()))
    }
}

/// Has everything of this process logged at every level, what is said with `log` too, and every span
/// exported with the events in it.
fn watch_everything() -> (Lines, Exported) {
    let (lines, exported) = (Lines::default(), Exported::default());
    let provider = SdkTracerProvider::builder().with_simple_exporter(exported.clone()).build();
    let written = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(lines.clone());
    tracing_subscriber::registry()
        .with(LevelFilter::TRACE)
        .with(written)
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("tests")))
        .init();
    (lines, exported)
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn s7_t84_s41_the_secret_is_found_with_its_submitter_and_nowhere_else() {
    let (lines, exported) = watch_everything();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default()).unwrap());
    let (vault, gateway) = (Vault::default(), Gateway::start().await);
    let config = Config::default().with(|config| config.private_transport = true);
    let policy = |who: &Principal| {
        let watches = who.name() == "bob";
        watches.then(|| Observed::new(Principal::new("alice"), Access::Watch)).into_iter().collect::<Vec<_>>()
    };
    let runtime = keyed_agents(Runtime::builder()).config(config.clone()).observe(policy);
    let runtime =
        runtime.credentials("openai", vault.provisioner()).credentials("virtual", gateway.provisioner());
    let runtime = runtime.store(store.clone()).open().await.unwrap();
    let shown = format!("{runtime:?}");
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(TraceLayer::new()))
        .service(runtime);
    let server = Memories::of(stack, &config);

    let mut alice = server.connect();
    let welcome = alice.hello(ALICE, &wanting()).await;
    let resume_token = welcome["payload"]["resume_token"].as_str().unwrap();
    let payload =
        json!({ "agent": "keyed", "idempotency_key": "once", "input": { "rotate": 2, "seconds": 1 } });
    let id = alice.send("job.submit", payload.clone()).await;
    let accepted = alice.reply(&id).await;
    assert_eq!(accepted.to_string().matches(CANARY).count(), 2, "{accepted}");
    let job = accepted["job_id"].as_str().unwrap().to_owned();

    let mut others = String::new();
    let mut plain = server.open(ALICE, &arcp_tests::sessions::FEATURES).await;
    let mut watchers = [server.open(ALICE, &wanting()).await, server.open(BOB, &wanting()).await];
    for peer in watchers.iter_mut().chain([&mut plain]) {
        write!(others, "{}", peer.subscribe(&job, true).await).unwrap();
    }
    // A repeat without the feature, and one of somebody else.
    let id = plain.send("job.submit", payload.clone()).await;
    write!(others, "{}", plain.reply(&id).await).unwrap();
    let mut stranger = server.open(BOB, &wanting()).await;
    // Or the stranger would have a credential of a job of its own.
    vault.issue_always(Some(Fault::Permanent));
    let id = stranger.send("job.submit", payload).await;
    write!(others, "{}", stranger.reply(&id).await).unwrap();
    vault.issue_always(None);

    let mine = alice.job(&job).await;
    let told = mine.iter().filter(|frame| frame.to_string().contains(CANARY)).count();
    assert_eq!(told, 2, "the submitter is told both new values, and nothing else has one");
    let mut late = server.open(BOB, &wanting()).await;
    write!(others, "{}", late.subscribe(&job, true).await).unwrap();
    for peer in watchers.iter_mut().chain([&mut plain, &mut late]) {
        let frames = peer.job(&job).await;
        assert!(frames.iter().any(|frame| frame["type"] == "job.result"));
        write!(others, "{frames:?}").unwrap();
    }
    // Listings are for everybody alike, the submitter included.
    for peer in watchers.iter_mut().chain([&mut alice, &mut plain, &mut stranger]) {
        let id = peer.send("session.list_jobs", json!({})).await;
        write!(others, "{}", peer.reply(&id).await).unwrap();
    }
    let secrets = [CANARY, ADMIN, ALICE, resume_token];
    for secret in secrets {
        assert!(!others.contains(secret), "somebody else was told");
    }

    let rows = store.credentials(CredentialQuery::All { after: None, limit: 100 }).await.unwrap().items;
    assert!(rows.len() >= 3 && !format!("{rows:?}").contains(CANARY));
    let jobs = store.list_jobs("alice", JobQuery { limit: 10, ..JobQuery::default() }).await.unwrap();
    let events = store.job_events(&jobs.items[0].id, 0, usize::MAX).await.unwrap();
    let key = store.idempotency("alice", "once").await.unwrap();
    assert!(!format!("{jobs:?}{events:?}{key:?}").contains(CANARY));
    assert!(has(&files(dir.path()), "credential_rotated"), "the file and its log are looked through");
    for secret in secrets {
        assert!(!has(&files(dir.path()), secret) && !shown.contains(secret));
    }

    tokio::time::sleep(Duration::from_millis(100)).await;
    let logged = lines.0.lock().unwrap().clone();
    let logged = String::from_utf8_lossy(&logged).into_owned();
    assert!(logged.contains("job ended") && logged.contains(&job), "everything is looked through");
    let words = ["arcp.command", "arcp.job", "hyper_util"];
    let missing: Vec<_> = words.iter().filter(|word| !logged.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} is not looked through");
    let exported = format!("{:?}", exported.0.lock().unwrap());
    assert!(exported.contains("invoke_agent keyed") && exported.contains(&job), "spans are looked through");
    for secret in secrets {
        let found = logged.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{}", found.unwrap_or_default());
        assert!(!exported.contains(secret), "in a span");
    }
    assert!(vault.live().is_empty() && gateway.live().is_empty());
}
