//! Coming back to the same address, and over streams that the application opens.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use arcp_client::{Client, ClientConfig, ConnectError};
use arcp_core::transport::{Received, Transport as _, WebSocket, WsLimits};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::fake::{self};

/// The runtime's end of a byte stream: upgraded, and welcomed with `welcome`. And the hello.
async fn welcomed<S>(io: S, welcome: String) -> (WebSocket<S>, Value)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ws = tokio_tungstenite::accept_async(io).await.unwrap();
    let mut ws = WebSocket::server(ws.into_inner(), WsLimits::default()).await;
    let Received::Frame(hello) = poll_fn(|cx| ws.poll_recv(cx)).await.unwrap() else { panic!("a hello") };
    poll_fn(|cx| ws.poll_ready(cx)).await.unwrap();
    ws.send(welcome).unwrap();
    poll_fn(|cx| ws.poll_flush(cx)).await.unwrap();
    (ws, serde_json::from_str(&hello).unwrap())
}

fn without_backoff() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.backoff_first = Duration::ZERO;
    config
}

/// Waits until a client was resumed with the token of [`fake::again`].
async fn rotated(client: &Client) {
    let mut status = client.status();
    while client.resume_point().unwrap().resume_token != "rt2" {
        status.changed().await.unwrap();
    }
}

#[tokio::test]
async fn it_reconnects_over_websocket_to_the_same_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    let welcome = async |welcome| welcomed(listener.accept().await.unwrap().0, welcome).await;
    let connect = Client::builder(&url).token("secret").config(without_backoff()).connect();
    let (client, (ws, _)) = tokio::join!(connect, welcome(fake::welcome(&[])));
    let client = client.unwrap();
    drop(ws);
    let (_ws, hello) = welcome(fake::again(&[])).await;
    assert_eq!(hello["payload"]["auth"]["token"], "secret", "never by the resume token alone");
    assert_eq!(hello["payload"]["resume"]["resume_token"], "rt");
    rotated(&client).await;
    assert_eq!(client.resume_point().unwrap().url, Some(url));
}

#[tokio::test(start_paused = true)]
async fn it_reconnects_over_streams_of_the_application() {
    let (opened, mut streams) = mpsc::unbounded_channel();
    let builder = Client::builder("wss://somewhere.test/arcp").over_streams(move || {
        let (ours, theirs) = tokio::io::duplex(64);
        opened.send(theirs).unwrap();
        async { Ok(ours) }
    });
    let connect = builder.token("secret").config(without_backoff()).connect();
    let first = async { welcomed(streams.recv().await.unwrap(), fake::welcome(&[])).await };
    let (client, (ws, _)) = tokio::join!(connect, first);
    let client = client.unwrap();
    drop(ws);
    let (_ws, hello) = welcomed(streams.recv().await.unwrap(), fake::again(&[])).await;
    assert_eq!(hello["payload"]["resume"]["resume_token"], "rt");
    rotated(&client).await;
    assert_eq!(client.resume_point().unwrap().url.as_deref(), Some("wss://somewhere.test/arcp"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened_or_has_no_address_is_an_error() {
    let refused = || async { Err::<DuplexStream, _>(io::ErrorKind::ConnectionRefused.into()) };
    let connect = |url: &str| Client::builder(url).over_streams(refused).connect();
    let error = connect("ws://somewhere.test/").await.unwrap_err();
    assert!(matches!(&error, ConnectError::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused), "{error}");
    assert!(matches!(connect("no address at all").await, Err(ConnectError::Url)));
    let silent = || async { Ok(tokio::io::duplex(64).0) };
    let http = Client::builder("http://somewhere.test/").over_streams(silent).connect().await;
    assert!(matches!(http, Err(ConnectError::Url)), "{http:?}");
}
