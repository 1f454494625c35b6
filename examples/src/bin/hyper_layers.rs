//! Raw hyper with layers of `tower` and `tower-http`: around the upgrade, and around the handshake of a
//! session, where one refuses clients by what the request said.

use std::net::SocketAddr;
use std::time::Duration;

use arcp_client::{Client, ConnectError};
use arcp_tower::core::{Code, Error};
use arcp_tower::upgrade::Upgrade;
use arcp_tower::{AuthLayer, BearerTokens, Config, Connect, HttpInfo, Job, Runtime, agent_fn};
use http::{HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::add_extension::AddExtensionLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

const REGION: HeaderName = HeaderName::from_static("x-region");

/// Lets clients in that are of the north; before anybody looks at their tokens.
fn northern(connect: Connect) -> Result<Connect, Error> {
    let region = connect.extensions.get().and_then(|request: &HttpInfo| request.headers.get(REGION));
    if region.is_some_and(|region| region == "north") {
        return Ok(connect);
    }
    Err(Error::new(Code::PermissionDenied, "this is the runtime of the north"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let whoami = agent_fn(|(): (), job: Job| async move {
        let peer = job.extensions().get::<SocketAddr>().ok_or("no address")?;
        Ok(format!("{} at {}", job.principal(), peer.ip()))
    });
    let config = Config::default();
    let runtime = Runtime::builder().agent("whoami", whoami).config(config.clone()).build()?;
    let handle = runtime.handle();
    let mount = ServiceBuilder::new()
        .filter(northern)
        .layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])))
        .service(runtime);
    let upgrade = Upgrade::with_config(mount, config.clone());
    let mut server = Builder::new(TokioExecutor::new());
    server.http2().enable_connect_protocol();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let host = tokio::spawn(async move {
        while let Some(accepted) = config.shutdown.run_until_cancelled(listener.accept()).await {
            let Ok((tcp, peer)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let around = ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(TraceLayer::new_for_http())
                .layer(PropagateRequestIdLayer::x_request_id())
                .layer(AddExtensionLayer::new(peer));
            let service = TowerToHyperService::new(around.service(upgrade.clone()));
            let server = server.clone();
            tokio::spawn(
                async move { server.serve_connection_with_upgrades(TokioIo::new(tcp), service).await },
            );
        }
    });

    let open =
        |region| Client::builder(&url).token("secret").header(REGION, HeaderValue::from_static(region));
    let client = open("north").connect().await?;
    println!("{}", client.submit("whoami").send().await?.result().await?.decode::<String>()?);
    match open("south").connect().await {
        Err(ConnectError::Refused(error)) => println!("from the south: {}", error.code()),
        other => return Err(format!("{other:?}").into()),
    }
    // Where the program catches its signal: the loop ends with the runtime.
    println!("drained: {}", handle.drain(Duration::from_secs(5)).await.is_whole());
    Ok(host.await?)
}
