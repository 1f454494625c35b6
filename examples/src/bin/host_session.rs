//! The session that the app has with its user already: its own middleware reads the cookie, and the
//! runtime takes whom it found. A page of another origin gets nothing by the same cookie.

use arcp_client::{Client, ConnectError};
use arcp_tower::auth::HostSession;
use arcp_tower::upgrade::Origin;
use arcp_tower::{AuthLayer, Config, Job, Principal, Runtime, agent_fn};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{COOKIE, ORIGIN};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, routing::get};
use tokio::net::TcpListener;

/// What the app knows of its user; its other routes use it, too.
#[derive(Clone)]
struct User {
    mail: &'static str,
}

/// The app's own middleware.
async fn sign_in(mut request: Request, next: Next) -> Response {
    if request.headers().get(COOKIE).is_some_and(|cookie| cookie == "session=4711") {
        request.extensions_mut().insert(User { mail: "ann@example.com" });
    }
    next.run(request).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ours: Origin = "https://app.example.com".parse()?;
    // Pages of other origins are refused at the upgrade already.
    let config = Config::default().with(|config| config.allowed_origins.push(ours));
    let authenticator = HostSession::new(["https://app.example.com"])?
        .find(|known| known.get().map(|user: &User| Principal::new(user.mail)));
    let whoami = agent_fn(|(): (), job: Job| async move { Ok(job.principal().name().to_owned()) });
    let builder = Runtime::builder().agent("whoami", whoami).config(config.clone());
    let runtime = builder.build()?.layer(AuthLayer::new(authenticator));
    let app = Router::new()
        .route("/", get(|| async { "the app" }))
        .route("/arcp", arcp_axum::handler_with(runtime, config))
        .layer(from_fn(sign_in));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    let served = tokio::spawn(async move { axum::serve(listener, app).await });

    // What a browser would send.
    let page = |origin: &'static str, cookie: &'static str| {
        let page = Client::builder(&url).header(ORIGIN, HeaderValue::from_static(origin));
        page.header(COOKIE, HeaderValue::from_static(cookie)).connect()
    };
    let client = page("https://app.example.com", "session=4711").await?;
    let mut job = client.submit("whoami").send().await?;
    println!("the app's page: {}", job.result().await?.decode::<String>()?);
    for (who, origin, cookie) in [
        ("another page", "https://evil.example.com", "session=4711"),
        ("a stranger", "https://app.example.com", "session=1"),
    ] {
        match page(origin, cookie).await {
            Err(ConnectError::Status(status)) => println!("{who}: {status}"),
            Err(ConnectError::Refused(error)) => println!("{who}: {}", error.code()),
            other => return Err(format!("{other:?}").into()),
        }
    }
    client.close().await;
    served.abort();
    Ok(())
}
