//! Layers that are not ours, around and below the runtime, over real sockets.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arcp_axum::{handler, handler_with};
use arcp_tests::{ALICE, ALL, Memories, Server, agents, features, guarded, runtime, tokens};
use arcp_tower::runtime::Commands;
use arcp_tower::{
    AgentError, AuthLayer, BoxError, Config, Connect, Credentials, HttpInfo, Job, Layer, Principal, Request,
    Response, Runtime, Service, Session, SessionCtx, TraceLayer, agent_fn, agent_service, each_session,
    each_session_fn,
};
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::routing::get;
use serde_json::{Value, json};
use tower::util::{BoxCloneSyncService, BoxService, MapRequestLayer};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::trace::TraceLayer as HttpTraceLayer;

/// A layer such as a user would write: it counts commands by kind of nothing at all.
#[derive(Debug, Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, count: self.0.clone() }
    }
}

#[derive(Debug, Clone)]
struct Counted<S> {
    inner: S,
    count: Arc<AtomicUsize>,
}

impl<S: Service<Request>> Service<Request> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

#[tokio::test]
async fn a_users_layer_towers_layers_and_the_hosts_layers_go_around_one_runtime() {
    let (config, counting) = (Config::default(), Counting::default());
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(
            ServiceBuilder::new()
                .layer(counting.clone())
                .layer(tower::timeout::TimeoutLayer::new(Duration::from_secs(5)))
                .layer(tower::limit::RateLimitLayer::new(2, Duration::from_millis(150)))
                .layer(TraceLayer::new())
                .into_inner(),
        ))
        .service(runtime(&config));
    let agents_of = Router::new().route("/arcp", handler_with(stack, config.clone()));
    let app = Router::new()
        .route("/health", get(|State(word): State<&'static str>| async move { word }))
        .nest("/v1/agents", agents_of)
        .layer(HttpTraceLayer::new_for_http())
        .with_state("fine");
    let server = Server::start(app, &config).await;
    let mut peer = server.connect_at("/v1/agents/arcp", "").await;
    peer.hello(ALICE, &ALL).await;
    let began = Instant::now();
    for _ in 0..5 {
        peer.works().await;
    }
    assert!(began.elapsed() >= Duration::from_millis(290), "two in each 150 ms: {:?}", began.elapsed());
    peer.ping("uncounted").await;
    peer.ack(1).await;
    assert_eq!(counting.0.load(Ordering::Relaxed), 5, "commands, and nothing else");
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn the_handler_alone_mounts_a_runtime_with_the_default_bounds() {
    let app = Router::new().route("/arcp", handler(guarded(&Config::default())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    let served = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = arcp_client::Client::builder(url).token(ALICE).connect().await.unwrap();
    let mut job = client.submit("echo").input(&7).send().await.unwrap();
    assert_eq!(job.result().await.unwrap().decode::<u8>().unwrap(), 7);
    client.close().await;
    served.abort();
}

/// What lets somebody in is for the authenticator, and for nobody behind it.
const SECRET: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// What a middleware of the host found out.
#[derive(Debug, Clone, PartialEq)]
struct Tenant(String);

#[tokio::test]
async fn what_the_hosts_middleware_knows_reaches_the_authenticator_the_layers_and_the_agent() {
    let config = Config::default();
    // Nobody has this token: who is calling is known from the request.
    let authenticator = service_fn(|credentials: Credentials| async move {
        let http = credentials.extensions.get::<HttpInfo>().unwrap();
        assert_eq!(http.uri.query(), Some("q=1"));
        assert!(SECRET.iter().all(|name| http.headers.contains_key(*name)));
        let user = http.headers["x-user"].to_str().unwrap();
        let Tenant(tenant) = credentials.extensions.get().unwrap();
        Ok::<_, arcp_core::Error>(Principal::new(format!("{user}@{tenant}/{}", credentials.bearer()?)))
    });
    let seen = Arc::new(AtomicUsize::new(0));
    let looks = seen.clone();
    let layer = each_session_fn(move |cx: &SessionCtx, inner: Commands| {
        let known = cx.extensions();
        let kept = known
            .get::<HttpInfo>()
            .is_some_and(|http| SECRET.iter().all(|name| !http.headers.contains_key(*name)));
        if known.get::<Tenant>().is_some() && kept {
            looks.fetch_add(1, Ordering::Relaxed);
        }
        inner
    });
    let tells = agent_fn(|(): (), job: Job| async move {
        let Tenant(tenant) = job.extensions().get().cloned().ok_or("no tenant")?;
        let http = job.extensions().get::<HttpInfo>().ok_or("no request")?;
        let token_is_gone = SECRET.iter().all(|name| !http.headers.contains_key(*name));
        Ok::<_, AgentError>(json!({
            "tenant": tenant,
            "principal": job.principal().name(),
            "agent": http.headers["x-user"].to_str()?,
            "peer": job.extensions().get::<SocketAddr>(),
            "token_is_gone": token_is_gone,
        }))
    });
    let runtime = Runtime::builder().config(config.clone()).agent("tells", tells).build().unwrap();
    let stack = ServiceBuilder::new().layer(AuthLayer::new(authenticator)).layer(layer).service(runtime);
    let app = Router::new().route("/arcp", handler_with(stack, config.clone())).layer(MapRequestLayer::new(
        |mut request: axum::extract::Request| {
            // As if it came through a proxy that is trusted.
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
            request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 9], 7)));
            request.extensions_mut().insert(Tenant("acme".into()));
            request
        },
    ));
    let server = Server::start(app, &config).await;
    let headers = "X-User: ann\r\nAuthorization: Bearer t0ken\r\nProxy-Authorization: Basic t0ken\r\nCookie: id=t0ken\r\n";
    let mut peer = server.connect_at("/arcp?q=1", headers).await;
    peer.hello("t0ken", &ALL).await;
    let job = peer.submit("tells", Value::Null).await;
    assert_eq!(
        peer.job(&job).await.last().unwrap()["payload"]["result"],
        json!({
            "tenant": "acme", "principal": "ann@acme/t0ken", "agent": "ann", "token_is_gone": true,
            "peer": "203.0.113.9:7",
        })
    );
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn t10_a_runtime_without_authentication_lets_nobody_in() {
    let config = Config::default();
    let server = Server::of(runtime(&config), &config).await;
    let mut peer = server.connect().await;
    let answer = peer.say_hello(features(ALICE, &ALL)).await;
    assert_eq!(answer["payload"]["code"], "UNAUTHENTICATED");
    assert_eq!(peer.closed().await.code, 1008);
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn t6_a_layer_that_fails_becomes_an_internal_error_without_its_words() {
    let config = Config::default();
    let fails = |request: Request| {
        let bad = request.message.payload.as_str().contains("forbidden");
        if bad { Err(BoxError::from("the database at 10.0.0.7 is down")) } else { Ok(request) }
    };
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session_fn(move |_: &SessionCtx, inner: Commands| {
            let inner = inner.map_err(BoxError::from);
            tower::ServiceBuilder::new().filter(fails).service(inner)
        }))
        .service(runtime(&config));
    let server = Server::of(stack, &config).await;
    let mut peer = server.open(ALICE, &ALL).await;
    let id = peer.send("job.submit", json!({ "agent": "echo", "input": "forbidden" })).await;
    let answer = peer.reply(&id).await;
    assert_eq!(answer["payload"]["code"], "INTERNAL_ERROR");
    assert_eq!(answer["payload"]["message"], "the request could not be completed");
    assert!(!answer.to_string().contains("10.0.0.7"));
    peer.works().await;
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn an_authenticator_that_fails_refuses_without_its_words() {
    let config = Config::default();
    let broken = service_fn(|_: Credentials| async { Err::<Principal, _>(BoxError::from("ldap: s3cret")) });
    let server = Server::of(runtime(&config).layer(AuthLayer::new(broken)), &config).await;
    let mut peer = server.connect().await;
    let answer = peer.say_hello(features(ALICE, &ALL)).await;
    assert_eq!(answer["payload"]["code"], "INTERNAL_ERROR");
    assert!(!answer.to_string().contains("s3cret"));
    drop(peer);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_layers_error_is_not_the_timeout_of_a_job() {
    let config = Config::default();
    let slow = |future: arcp_tower::runtime::CommandFuture| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            future.await
        })
    };
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(
            ServiceBuilder::new().timeout(Duration::from_secs(1)).map_future(slow).into_inner(),
        ))
        .service(runtime(&config));
    let mut peer = Memories::of(stack, &config).open(ALICE, &ALL).await;
    let id = peer.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
    let answer = peer.reply(&id).await;
    assert_eq!(answer["payload"]["code"], "INTERNAL_ERROR", "TIMEOUT is for max_runtime_sec: {answer}");
    assert_eq!(answer["payload"]["message"], "the request could not be completed");
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_around_an_agent_makes_a_queue_of_its_jobs() {
    let config = Config::default();
    let running = Arc::new(AtomicUsize::new(0));
    let counted = running.clone();
    let work = agent_fn(move |(): (), job: Job| {
        let running = counted.clone();
        async move {
            let others = running.fetch_add(1, Ordering::SeqCst);
            job.status("working").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(others)
        }
    });
    let queued = agent_service(ServiceBuilder::new().concurrency_limit(2).service(work));
    let runtime = agents::all(Runtime::builder()).agent("queued", queued).build().unwrap();
    let mut peer = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config).open(ALICE, &ALL).await;
    let began = tokio::time::Instant::now();
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(peer.submit("queued", Value::Null).await);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "all of them are accepted at once");
    // One that waits can be cancelled.
    let waiting = jobs.pop().unwrap();
    peer.cancel(&waiting).await;
    for job in &jobs {
        let frames = peer.job(job).await;
        let result = frames.last().unwrap()["payload"]["result"].as_u64().unwrap();
        assert!(result < 2, "never more than two at once");
    }
    assert_eq!(began.elapsed().as_secs(), 3);
}

type Erased = BoxCloneSyncService<Connect, Session<Commands>, BoxError>;

/// A connection service without its type: what a program would keep in a field.
fn erased(config: &Config) -> Erased {
    BoxCloneSyncService::new(guarded(config).map_err(BoxError::from))
}

#[tokio::test]
async fn a_stack_can_be_mounted_without_its_type() {
    let config = Config::default();
    let sessions = each_session_fn(|_: &SessionCtx, inner: Commands| {
        BoxService::<Request, Response, BoxError>::new(inner.map_err(BoxError::from))
    });
    let stack = ServiceBuilder::new().layer(sessions).service(erased(&config));
    let server = Server::of(stack, &config).await;
    let mut peer = server.open(ALICE, &ALL).await;
    peer.works().await;
    drop(peer);
    server.stop().await;
}

/// A command of a vendor's, which only a layer knows.
#[derive(Clone)]
struct Vendor<S>(S);

impl<S> Service<Request> for Vendor<S>
where
    S: Service<Request, Response = Response, Error = arcp_core::Error, Future: Send + 'static>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.message.kind.as_str() != "x-vendor.acme.whoami" {
            return Box::pin(self.0.call(request));
        }
        let who = json!({ "request_id": request.message.id, "name": request.session.principal().name() });
        Box::pin(async move {
            let reply = arcp_core::Envelope::new("x-vendor.acme.you".into(), &who)?;
            Ok(Response::one(reply))
        })
    }
}

#[tokio::test]
async fn a_layer_can_answer_a_type_that_the_runtime_does_not_know() {
    let config = Config::default();
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(tower::layer::layer_fn(Vendor)))
        .service(runtime(&config));
    let server = Server::of(stack, &config).await;
    let mut peer = server.open(ALICE, &ALL).await;
    let id = peer.send("x-vendor.acme.whoami", json!({})).await;
    let answer = peer.reply(&id).await;
    assert_eq!(
        (answer["type"].as_str(), answer["payload"]["name"].as_str()),
        (Some("x-vendor.acme.you"), Some("alice"))
    );
    peer.works().await;
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn t10_t78_a_principal_without_a_name_is_let_in_nowhere() {
    let config = Config::default();
    let nameless = service_fn(|_: Credentials| async { Ok::<_, BoxError>(Principal::new("")) });
    let server = Server::of(runtime(&config).layer(AuthLayer::new(nameless)), &config).await;
    let mut peer = server.connect().await;
    let answer = peer.say_hello(features(ALICE, &ALL)).await;
    assert_eq!(answer["payload"]["code"], "UNAUTHENTICATED");
    assert_eq!(peer.closed().await.code, 1008);
    drop(peer);
    server.stop().await;
}
