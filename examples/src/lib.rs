//! What the examples share: a runtime on loopback, and a client of it.

use std::error::Error;

use arcp_client::{Client, ConnectError};
use arcp_tower::{AuthLayer, BearerTokens, Builder, Config};
use axum::Router;
use tokio::net::TcpListener;

/// The programs of the README are compiled as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Whatever goes wrong ends an example.
pub type Done = Result<(), Box<dyn Error>>;

/// Serves a runtime on a free port of loopback until the process ends; its address.
///
/// # Errors
/// That the runtime cannot be built, or the port not be had.
pub async fn serve(builder: Builder) -> Result<String, Box<dyn Error>> {
    serve_with(builder, Config::default()).await
}

/// The same with bounds of one's own.
///
/// # Errors
/// The same.
pub async fn serve_with(builder: Builder, config: Config) -> Result<String, Box<dyn Error>> {
    let tokens = BearerTokens::new([("secret", "me@example.com"), ("other", "you@example.com")]);
    let runtime = builder.config(config.clone()).open().await?.layer(AuthLayer::new(tokens));
    let app = Router::new().route("/arcp", arcp_axum::handler_with(runtime, config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Opens a session of `me@example.com`.
///
/// # Errors
/// That no session came about.
pub async fn connect(url: &str) -> Result<Client, ConnectError> {
    Client::builder(url).token("secret").client("example", "1.0.0").connect().await
}
