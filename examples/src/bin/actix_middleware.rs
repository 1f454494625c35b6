//! An actix-web app with middleware of its own: whom it found is whom a session acts for, and what else it
//! learnt reaches a layer and the agent.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, HttpMessage as _, HttpServer, web};
use arcp_client::Client;
use arcp_tower::runtime::Commands;
use arcp_tower::{AuthLayer, Config, HostSession, Job, Principal, Request, Runtime, SessionCtx};
use arcp_tower::{agent_fn, each_session_fn};
use http::header::{COOKIE, HeaderValue};
use tower::{ServiceBuilder, util::MapRequest};

/// What the app knows of its user beside the name.
#[derive(Clone)]
struct Team(&'static str);

/// The app's own middleware.
async fn sign_in(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.headers().get("cookie").is_some_and(|cookie| cookie == "session=4711") {
        request.extensions_mut().insert(Principal::new("ann@example.com"));
        // Those of actix cannot be copied; these go on into the session.
        let mut known = http::Extensions::new();
        known.insert(Team("tides"));
        request.extensions_mut().insert(known);
    }
    next.call(request).await
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let whoami = agent_fn(|(): (), job: Job| async move {
        let peer = job.extensions().get::<SocketAddr>().ok_or("no address")?;
        Ok(format!("{} at {}", job.principal(), peer.ip()))
    });
    let log = each_session_fn(|session: &SessionCtx, commands: Commands| {
        let team = session.extensions().get().map_or("nobody", |team: &Team| team.0);
        MapRequest::new(commands, move |command: Request| {
            println!("{} of the team {team}", command.message.kind.as_str());
            command
        })
    });
    let app_page = "https://app.example.com";
    let mut config = Config::default();
    config.allowed_origins.push(app_page.parse()?);
    let runtime = Runtime::builder().agent("whoami", whoami).config(config.clone()).build()?;
    let handle = runtime.handle();
    let session = HostSession::new([app_page])?;
    let mount = ServiceBuilder::new().layer(AuthLayer::new(session)).layer(log).service(runtime);
    let app = move || {
        App::new()
            .wrap(from_fn(sign_in))
            .route("/", web::get().to(async || "the app"))
            .route("/arcp", arcp_actix::handler_with(mount.clone(), config.clone()))
    };
    let server = HttpServer::new(app).tcp_nodelay(true).workers(1).disable_signals().bind("127.0.0.1:0")?;
    let url = format!("ws://{}/arcp", server.addrs()[0]);
    let server = server.run();
    let host = server.handle();
    actix_web::rt::spawn(server);

    let cookie = HeaderValue::from_static("session=4711");
    let client = Client::builder(url).header(COOKIE, cookie).connect().await?;
    println!("{}", client.submit("whoami").send().await?.result().await?.decode::<String>()?);
    // Where the app catches its signal: first the runtime, and then the host.
    println!("drained: {}", handle.drain(Duration::from_secs(5)).await.is_whole());
    host.stop(true).await;
    Ok(())
}
