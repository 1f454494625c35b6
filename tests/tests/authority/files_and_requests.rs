//! Files and HTTP that jobs use under their leases (§9.2), carried out by the runtime.
#![cfg(unix)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_tests::{ALICE, Memories, Peer, agents, timed, tokens};
use arcp_tower::operation::Granted;
use arcp_tower::operation::fetch::{FetchLimits, Fetcher};
use arcp_tower::operation::files::{FileLimits, Files};
use arcp_tower::{AgentError, AuthLayer, Clock, Config, Job, Mount, Runtime, agent_fn};
use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use http::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What the agent `hands` is to do, in this order.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Read(String),
    Write(String, String),
    List(String),
    Fetch(String),
    /// At once, in this order.
    Both(Box<Step>, Box<Step>),
}

async fn hands(steps: Vec<Step>, job: Job) -> Result<Vec<Value>, AgentError> {
    let mut said = Vec::new();
    for step in steps {
        said.push(match step {
            Step::Both(one, other) => {
                let (one, other) = tokio::join!(take(*one, &job), take(*other, &job));
                json!([one?, other?])
            }
            step => take(step, &job).await?,
        });
    }
    Ok(said)
}

async fn take(step: Step, job: &Job) -> Result<Value, AgentError> {
    let done = match step {
        Step::Read(path) => job.fs().read(&path).await.map(|bytes| json!(String::from_utf8_lossy(&bytes))),
        Step::Write(path, text) => job.fs().write(&path, text).await.map(|()| Value::Null),
        Step::List(path) => job
            .fs()
            .list(&path)
            .await
            .map(|entries| json!(entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>())),
        Step::Fetch(url) => {
            let request =
                Request::get(url).header("authorization", "Bearer hush").body(bytes::Bytes::new())?;
            job.fetch(request)
                .await
                .map(|response| json!([response.status().as_u16(), String::from_utf8_lossy(response.body())]))
        }
        Step::Both(..) => return Err("both of what is one".into()),
    };
    Ok(done.unwrap_or_else(|e| json!({ "code": e.code() })))
}

fn stage(files: Files, fetcher: Fetcher) -> Memories<impl Mount> {
    let config = timed(|_| {});
    let builder = agents::all(Runtime::builder().config(config.clone())).agent("hands", agent_fn(hands));
    let runtime = builder.files(files).fetcher(fetcher).build().unwrap();
    Memories::of(runtime.layer(AuthLayer::new(tokens())), &config)
}

#[tokio::test]
async fn files_without_bounds_of_their_own_have_those_of_the_config() {
    let (_dir, root) = folder();
    let large = FileLimits::default().with(|limits| limits.write = 1000);
    for (files, written) in
        [(Files::below(&root).unwrap(), false), (Files::below(&root).unwrap().with_limits(large), true)]
    {
        let config = timed(|config| config.files = FileLimits::default().with(|limits| limits.write = 4));
        let builder = agents::all(Runtime::builder()).agent("hands", agent_fn(hands)).files(files);
        let runtime = builder.config(config.clone()).build().unwrap();
        let stage = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
        let steps = json!([{ "write": [format!("{root}/five"), "12345"] }]);
        let lease = json!({ "fs.write": [format!("{root}/**")] });
        let (said, _) = act(&stage, lease, steps).await;
        assert_eq!(said[0]["code"].is_null(), written, "{said}");
    }
}

/// What came of the steps, and the events.
async fn act(stage: &Memories<impl Mount>, lease: Value, steps: Value) -> (Value, Vec<Value>) {
    let mut peer = stage.open(ALICE, &["ack"]).await;
    let job = peer.submit_with(json!({ "agent": "hands", "input": steps, "lease_request": lease })).await;
    let mut frames = peer.job(&job).await;
    let end = frames.pop().unwrap();
    (end["payload"]["result"].clone(), frames.into_iter().map(|frame| frame["payload"].clone()).collect())
}

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    std::fs::create_dir_all(folder.path().join("ws/src")).unwrap();
    std::fs::write(folder.path().join("ws/a.txt"), "text of a").unwrap();
    std::fs::write(folder.path().join("secret.txt"), "hidden").unwrap();
    (folder, path)
}

#[tokio::test]
async fn a_job_reads_writes_and_lists_what_its_lease_grants_and_nothing_else() {
    let (_folder, root) = folder();
    let stage = stage(Files::below(&root).unwrap(), Fetcher::new());
    let lease = json!({ "fs.read": [format!("{root}/ws/**")], "fs.write": [format!("{root}/ws/src/*")] });
    let steps = json!([
        { "read": format!("{root}/ws/a.txt") },
        { "read": format!("{root}/ws/../secret.txt") },
        { "read": format!("{root}/ws/none.txt") },
        { "write": [format!("{root}/ws/src/new.rs"), "fn main() {}"] },
        { "write": [format!("{root}/ws/a.txt"), "spoilt"] },
        { "read": format!("{root}/ws/src/new.rs") },
        { "list": format!("{root}/ws") },
    ]);
    let (said, events) = act(&stage, lease, steps).await;
    assert_eq!(said[0], "text of a");
    assert_eq!(said[1]["code"], "PERMISSION_DENIED");
    assert_eq!(said[2]["code"], "INVALID_REQUEST");
    assert_eq!(said[3], Value::Null);
    assert_eq!(said[4]["code"], "PERMISSION_DENIED");
    assert_eq!(said[5], "fn main() {}");
    assert_eq!(said[6], json!(["a.txt", "src"]));
    assert_eq!(std::fs::read_to_string(format!("{root}/ws/a.txt")).unwrap(), "text of a");
    // Everybody who watches sees what was read, and not what was in it.
    let called: Vec<_> = events.iter().filter(|event| event["kind"] == "tool_call").collect();
    assert_eq!(called[0]["body"]["tool"], "fs.read");
    assert_eq!(called[0]["body"]["args"]["target"], format!("{root}/ws/a.txt"));
    assert!(!json!(events).to_string().contains("text of a"));
}

#[tokio::test]
async fn a_link_leads_a_job_no_further_than_its_lease() {
    let (_folder, root) = folder();
    std::os::unix::fs::symlink(format!("{root}/secret.txt"), format!("{root}/ws/out")).unwrap();
    std::os::unix::fs::symlink("a.txt", format!("{root}/ws/in")).unwrap();
    std::os::unix::fs::symlink("/etc", format!("{root}/ws/etc")).unwrap();
    let stage = stage(Files::below(&root).unwrap(), Fetcher::new());
    let steps = json!([
        { "read": format!("{root}/ws/out") },
        { "read": format!("{root}/ws/in") },
        { "read": format!("{root}/ws/etc/passwd") },
    ]);
    let (said, _) = act(&stage, json!({ "fs.read": [format!("{root}/ws/**")] }), steps).await;
    assert_eq!((&said[0]["code"], &said[1]), (&json!("PERMISSION_DENIED"), &json!("text of a")));
    assert_eq!(said[2]["code"], "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_runtime_that_was_given_no_files_has_none_whatever_a_lease_says() {
    let config = timed(|_| {});
    let runtime = Runtime::builder().config(config.clone()).agent("hands", agent_fn(hands)).build().unwrap();
    let stage = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let lease = json!({ "fs.read": ["/**"], "net.fetch": ["https://**/**"] });
    let steps = json!([{ "read": "/etc/hosts" }, { "fetch": "https://example.com/" }]);
    let (said, _) = act(&stage, lease, steps).await;
    assert_eq!((&said[0]["code"], &said[1]["code"]), (&json!("INVALID_REQUEST"), &json!("INVALID_REQUEST")));
}

/// A server whose `/api/leave` redirects to `/private`, and what it listens on.
async fn site() -> u16 {
    let app = Router::new()
        .route("/api/items", get(|| async { "items" }))
        .route("/api/stay", get(|| async { Redirect::to("/api/items") }))
        .route("/api/leave", get(|| async { Redirect::to("/private") }))
        .route("/private", get(|| async { "private" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    port
}

#[tokio::test]
async fn a_job_fetches_what_its_lease_grants_and_no_redirect_leads_it_out() {
    let port = site().await;
    let (_folder, root) = folder();
    let fetcher = Fetcher::builder().allow("127.0.0.0/8").unwrap().build();
    let stage = stage(Files::below(&root).unwrap(), fetcher);
    let base = format!("http://127.0.0.1:{port}");
    let steps = json!([
        { "fetch": format!("{base}/api/items") },
        { "fetch": format!("{base}/api/stay") },
        { "fetch": format!("{base}/api/leave") },
        { "fetch": format!("{base}/private") },
        { "fetch": format!("{base}/api/../private") },
    ]);
    let (said, events) = act(&stage, json!({ "net.fetch": [format!("{base}/api/**")] }), steps).await;
    assert_eq!((&said[0], &said[1]), (&json!([200, "items"]), &json!([200, "items"])));
    for refused in &said.as_array().unwrap()[2..] {
        assert_eq!(refused["code"], "PERMISSION_DENIED", "{said}");
    }
    let text = json!(events).to_string();
    assert!(text.contains("/api/stay") && text.contains("\"status\":200"), "{text}");
    assert!(!text.contains("hush"), "headers are shown to nobody");
}

#[tokio::test]
async fn addresses_of_this_machine_and_its_network_are_refused_unless_the_operator_allows_them() {
    let port = site().await;
    let (_folder, root) = folder();
    let stage = stage(Files::below(&root).unwrap(), Fetcher::new());
    let steps: Vec<_> =
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"]
            .iter()
            .map(|host| json!({ "fetch": format!("http://{host}:{port}/api/items") }))
            .collect();
    let lease = json!({ "net.fetch": [format!("http://**:{port}/**")] });
    let (said, _) = act(&stage, lease, json!(steps)).await;
    for (said, step) in said.as_array().unwrap().iter().zip(&steps) {
        assert_eq!(said["code"], "PERMISSION_DENIED", "{step}");
    }
}

/// A wall clock that can be turned on by a day, past the end of every lease here.
fn turned_on() -> (Arc<AtomicBool>, Config) {
    let (turned, base) = (Arc::new(AtomicBool::new(false)), timed(|_| {}).clock);
    let by = turned.clone();
    let day = Duration::from_secs(86_400);
    let clock =
        Clock::new(move || if by.load(Ordering::SeqCst) { base.wall().plus(day) } else { base.wall() });
    (turned, Config::default().with(|c| c.clock = clock))
}

/// A job of `hands` with an hour for its steps.
async fn an_hour<T: arcp_core::transport::Transport>(
    peer: &mut Peer<T>,
    config: &Config,
    lease: Value,
    steps: Value,
) -> String {
    let at = config.clock.wall().plus(Duration::from_secs(3600));
    let submit = json!({
        "agent": "hands", "input": steps, "lease_request": lease, "lease_constraints": { "expires_at": at },
    });
    peer.submit_with(submit).await
}

const EXPIRING: [&str; 2] = ["ack", "lease_expires_at"];

/// The codes of what came of operations, in the order of the events.
fn codes(frames: &[Value]) -> Vec<&Value> {
    let results = frames.iter().filter(|frame| frame["payload"]["kind"] == "tool_result");
    results.map(|frame| &frame["payload"]["body"]["error"]["code"]).collect()
}

#[tokio::test]
async fn s39_a_request_that_waited_for_a_slot_past_the_end_is_not_sent_and_no_redirect_is_followed_after_it()
{
    let (turned, config) = turned_on();
    let (held, free, asked) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (holds, frees, counted, turns) = (held.clone(), free.clone(), asked.clone(), turned.clone());
    let app = Router::new()
        .route(
            "/hold",
            get(async move || {
                holds.notify_one();
                frees.notified().await;
                "held"
            }),
        )
        .route(
            "/turn",
            get(async move || {
                turns.store(true, Ordering::SeqCst);
                Redirect::to("/late")
            }),
        )
        .route("/late", get(async move || counted.fetch_add(1, Ordering::SeqCst).to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let limits = FetchLimits::default().with(|limits| limits.concurrent = 1);
    let fetcher = Fetcher::builder().allow("127.0.0.0/8").unwrap().limits(limits).build();
    let builder = Runtime::builder().config(config.clone()).agent("hands", agent_fn(hands)).fetcher(fetcher);
    let server = Memories::of(builder.build().unwrap().layer(AuthLayer::new(tokens())), &config);
    let mut peer = server.open(ALICE, &EXPIRING).await;
    let lease = json!({ "net.fetch": [format!("{base}/**")] });

    let both =
        json!([{ "both": [{ "fetch": format!("{base}/hold") }, { "fetch": format!("{base}/late") }] }]);
    let job = an_hour(&mut peer, &config, lease.clone(), both).await;
    for _ in 0..2 {
        peer.pick(|frame| frame["payload"]["kind"] == "tool_call").await;
    }
    held.notified().await;
    turned.store(true, Ordering::SeqCst);
    free.notify_one();
    let frames = peer.job(&job).await;
    assert_eq!(codes(&frames), [&Value::Null, &json!("LEASE_EXPIRED")]);

    turned.store(false, Ordering::SeqCst);
    let job = an_hour(&mut peer, &config, lease, json!([{ "fetch": format!("{base}/turn") }])).await;
    let frames = peer.job(&job).await;
    assert_eq!(codes(&frames), [&json!("LEASE_EXPIRED")]);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn s39_a_file_that_was_waited_for_past_the_end_is_not_written() {
    let (turned, config) = turned_on();
    let (_folder, root) = folder();
    let files = Files::below(&root).unwrap().with_limits(FileLimits::default().with(|l| l.concurrent = 1));
    let builder = Runtime::builder().config(config.clone()).agent("hands", agent_fn(hands));
    let runtime = builder.files(files.clone()).build().unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut peer = server.open(ALICE, &EXPIRING).await;
    // Somebody else has the slot until the clock was turned.
    let (held, free) = (Arc::new(Notify::new()), std::sync::mpsc::channel::<()>());
    let (holds, frees) = (held.clone(), std::sync::Mutex::new(free.1));
    let granted = Granted::new(move |_: &str| {
        holds.notify_one();
        frees.lock().unwrap().recv().is_err()
    });
    let path = format!("{root}/ws/a.txt");
    let read = path.clone();
    let other = tokio::spawn(async move { files.read(&read, &granted).await });
    held.notified().await;
    let lease = json!({ "fs.write": [format!("{root}/**")] });
    let job = an_hour(&mut peer, &config, lease, json!([{ "write": [path, "late"] }])).await;
    peer.pick(|frame| frame["payload"]["kind"] == "tool_call").await;
    turned.store(true, Ordering::SeqCst);
    drop(free.0);
    let frames = peer.job(&job).await;
    assert_eq!(codes(&frames), [&json!("LEASE_EXPIRED")]);
    assert_eq!(std::fs::read_to_string(format!("{root}/ws/a.txt")).unwrap(), "text of a");
    other.await.unwrap().unwrap();
}

#[tokio::test]
async fn links_and_redirects_that_a_lease_is_only_audited_for_are_recorded_once_each() {
    let app = Router::new()
        .route("/api/leave", get(|| async { Redirect::to("/private?signature=hush") }))
        .route("/private", get(|| async { "private" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (_folder, root) = folder();
    std::os::unix::fs::symlink("../secret.txt", format!("{root}/ws/out")).unwrap();
    let (config, store) = (timed(|_| {}), Arc::new(MemoryStore::default()));
    let builder =
        Runtime::builder().config(config.clone()).agent("hands", agent_fn(hands)).audit_leases(true);
    let fetcher = Fetcher::builder().allow("127.0.0.0/8").unwrap().build();
    let builder = builder.files(Files::below(&root).unwrap()).fetcher(fetcher).store(store.clone());
    let stage = Memories::of(builder.open().await.unwrap().layer(AuthLayer::new(tokens())), &config);
    let lease = json!({ "fs.read": [format!("{root}/ws/**")], "net.fetch": [format!("{base}/api/**")] });
    let steps = json!([
        { "read": format!("{root}/ws/a.txt") },
        { "read": format!("{root}/ws/out") },
        { "read": format!("{root}/secret.txt") },
        { "fetch": format!("{base}/api/leave") },
    ]);
    let (said, events) = act(&stage, lease, steps).await;
    assert_eq!(said, json!(["text of a", "hidden", "hidden", [200, "private"]]));
    let told: Vec<_> = events.iter().filter(|event| event["kind"] == "log").collect();
    assert_eq!(told.len(), 3, "one for the link, one for what was asked for, one for the redirect: {told:?}");
    assert!(told.iter().all(|event| event["body"]["message"].as_str().unwrap().contains("only audited")));
    let would_deny = || {
        let records = store.audit().into_iter().map(|(_, record)| record.as_str().to_owned());
        records.filter(|record| record.contains("lease.would_deny")).collect::<Vec<_>>()
    };
    // Nobody waits until they are kept.
    while would_deny().len() < 3 {
        tokio::task::yield_now().await;
    }
    let records = would_deny();
    let of = |target: String| records.iter().filter(|record| record.contains(&target)).count();
    let found = (of(format!("{root}/secret.txt\"")), of(format!("{base}/private\"")));
    assert_eq!((records.len(), found), (3, (2, 1)), "{records:?}");
    assert!(!json!([told, records]).to_string().contains("hush"), "what a redirect is signed with");
}
