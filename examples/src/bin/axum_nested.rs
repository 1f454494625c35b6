//! An axum app that was there before, with state and layers of its own, gets an agent endpoint below a
//! prefix. What the app's middleware learnt reaches the authenticator, a layer and the agent.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use arcp_client::Client;
use arcp_tower::core::{Code, Error};
use arcp_tower::{AuthLayer, Config, Credentials, HttpInfo, Job, Principal, Runtime, SessionCtx};
use arcp_tower::{agent_fn, auth_fn, each_session_fn, runtime::Commands};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::{Router, response::Response, routing::get};
use tower::{ServiceBuilder, util::MapRequest};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::{cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer, trace::TraceLayer};

/// The app's state: its tenants, by their keys.
type Tenants = Arc<HashMap<&'static str, Tenant>>;

#[derive(Clone, Copy)]
struct Tenant(&'static str);

async fn tenant(State(tenants): State<Tenants>, mut request: Request, next: Next) -> Response {
    let key = request.headers().get("x-key").and_then(|key| key.to_str().ok());
    if let Some(&tenant) = key.and_then(|key| tenants.get(key)) {
        request.extensions_mut().insert(tenant);
    }
    next.run(request).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let authenticator = auth_fn(|credentials: Credentials| async move {
        let found = credentials.extensions.get().map(|tenant: &Tenant| Principal::new(tenant.0));
        found.ok_or_else(|| Error::new(Code::Unauthenticated, "no tenant has this key"))
    });
    let log = each_session_fn(|session: &SessionCtx, commands: Commands| {
        let id = |request: &HttpInfo| Some(request.headers.get("x-request-id")?.to_str().ok()?.to_owned());
        let id = session.extensions().get().and_then(id).unwrap_or_default();
        MapRequest::new(commands, move |command: arcp_tower::Request| {
            println!("{} of request {id}", command.message.kind.as_str());
            command
        })
    });
    let whoami = agent_fn(|(): (), job: Job| async move {
        let peer = job.extensions().get::<SocketAddr>().ok_or("no address")?;
        Ok(format!("{} at {}", job.principal(), peer.ip()))
    });
    let config = Config::default();
    let runtime = Runtime::builder().agent("whoami", whoami).config(config.clone()).build()?;
    let handle = runtime.handle();
    let mount = ServiceBuilder::new().layer(AuthLayer::new(authenticator)).layer(log).service(runtime);
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CorsLayer::new().allow_methods([Method::GET]))
        .layer(RequestBodyLimitLayer::new(64 << 10))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(10)));
    let tenants = Tenants::new(HashMap::from([("key-of-acme", Tenant("acme"))]));
    let api = Router::new()
        .route("/tenants", get(async |State(all): State<Tenants>| all.len().to_string()))
        .route("/agents", arcp_axum::handler_with(mount, config.clone()))
        .layer(from_fn_with_state(tenants.clone(), tenant));
    let app = Router::new().nest("/api/v1", api).with_state(tenants).layer(around);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/api/v1/agents", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let host = axum::serve(listener, app).with_graceful_shutdown(config.shutdown.cancelled_owned());
    let host = tokio::spawn(host.into_future());

    let (name, key) = (HeaderName::from_static("x-key"), HeaderValue::from_static("key-of-acme"));
    let client = Client::builder(url).header(name, key).connect().await?;
    println!("{}", client.submit("whoami").send().await?.result().await?.decode::<String>()?);
    // Where the app catches its signal; the host ends with the runtime.
    println!("drained: {}", handle.drain(Duration::from_secs(5)).await.is_whole());
    Ok(host.await??)
}
