//! The host's own session as the authentication of ours (S18).

use arcp_tests::sessions::code;
use arcp_tests::wire::request;
use arcp_tests::{ALICE, Server, Socket, runtime, tokens};
use arcp_tower::auth::{HostSession, Scope};
use arcp_tower::upgrade::Origin;
use arcp_tower::{AuthLayer, Config, Mount, Principal};
use axum::Router;
use axum::extract::Request;
use http::header::COOKIE;
use serde_json::{Value, json};

const PAGE: &str = "https://app.example.com";

/// Who the host's middleware says it is, by a cookie.
fn of_cookie(request: &Request) -> Option<Principal> {
    match request.headers().get(COOKIE)?.to_str().ok()? {
        "session=1" => Some(Principal::new("alice")),
        "session=2" => Some(Principal::new("bob").with_scopes([Scope::Observe])),
        _ => None,
    }
}

async fn host<M: Mount + Sync>(mount: M, config: &Config) -> Server {
    let app = Router::new().route("/arcp", arcp_axum::handler_with(mount, config.clone()));
    let middleware = axum::middleware::from_fn(async |mut request: Request, next: axum::middleware::Next| {
        if let Some(principal) = of_cookie(&request) {
            request.extensions_mut().insert(principal);
        }
        next.run(request).await
    });
    Server::start(app.layer(middleware), config).await
}

/// Bounds that let pages of `origins` through at the upgrade, for the authenticator to decide.
fn letting(origins: &[&str]) -> Config {
    let origins = origins.iter().filter_map(|origin| origin.parse::<Origin>().ok()).collect();
    Config::default().with(|config| config.allowed_origins = origins)
}

async fn hello(server: &Server, headers: &str, token: Option<&str>) -> (Socket, Value) {
    let mut peer = server.connect_at("/arcp", headers).await;
    let mut hello = json!({
        "client": { "name": "page", "version": "1" },
        "capabilities": { "encodings": ["json"], "features": ["subscribe", "list_jobs"] },
    });
    if let Some(token) = token {
        hello["auth"] = json!({ "scheme": "bearer", "token": token });
    }
    let answer = peer.say_hello(hello).await;
    (peer, answer)
}

async fn session(config: &Config) -> Server {
    let authenticator = HostSession::new([PAGE, "http://localhost:5173"]).unwrap();
    host(runtime(config).layer(AuthLayer::new(authenticator)), config).await
}

#[tokio::test]
async fn s18_a_page_of_a_listed_origin_needs_no_token_and_has_the_principal_and_scopes_of_the_host() {
    let config = letting(&[PAGE, "http://localhost:5173"]);
    let server = session(&config).await;
    let (mut alice, welcome) =
        hello(&server, &format!("Cookie: session=1\r\nOrigin: {PAGE}\r\n"), None).await;
    assert_eq!(welcome["type"], "session.welcome", "{welcome}");
    let job = alice.submit("echo", json!(7)).await;
    assert_eq!(alice.job(&job).await.last().unwrap()["payload"]["result"], 7);
    let (mut bob, _) = hello(&server, "Cookie: session=2\r\nOrigin: http://localhost:5173\r\n", None).await;
    let asked = bob.send("job.submit", json!({ "agent": "echo", "input": 7 })).await;
    assert_eq!(code(&bob.reply(&asked).await), "PERMISSION_DENIED");
    server.stop().await;
}

#[tokio::test]
async fn s18_a_cookie_alone_is_no_authentication_for_a_page_of_another_origin() {
    let origins = [
        "https://evil.test",
        "null",
        "",
        "https://app.example.com.evil.test",
        "https://app.example.com:444",
        "https://APP.example.com",
        "https://app.example.com.",
        "http://app.example.com",
        "http://localhost",
        "https://app.example.com https://evil.test",
    ];
    // The upgrade lets all of them through whose origin is one.
    let config = letting(&[&origins[..], &[PAGE]].concat());
    let server = session(&config).await;
    for origin in origins {
        if origin.parse::<Origin>().is_err() {
            let upgrade = format!(
                "GET /arcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Cookie: session=1\r\nOrigin: {origin}\r\n\r\n"
            );
            let answer = request(&mut server.tcp().await, &upgrade).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{origin}: {answer}");
            continue;
        }
        let (mut peer, answer) =
            hello(&server, &format!("Cookie: session=1\r\nOrigin: {origin}\r\n"), None).await;
        assert_eq!(code(&answer), "PERMISSION_DENIED", "{origin}: {answer}");
        assert_eq!(peer.closed().await.code, 1008);
    }
    let both = format!("Cookie: session=1\r\nOrigin: {PAGE}\r\nOrigin: https://evil.test\r\n");
    assert_eq!(code(&hello(&server, &both, None).await.1), "PERMISSION_DENIED");
    server.stop().await;
}

#[tokio::test]
async fn s18_without_a_session_of_the_hosts_nobody_is_let_in_whatever_the_token() {
    let config = letting(&[PAGE, "http://localhost:5173"]);
    let server = session(&config).await;
    for headers in ["", "Cookie: session=3\r\n", &format!("Origin: {PAGE}\r\n")] {
        for token in [None, Some(ALICE)] {
            assert_eq!(code(&hello(&server, headers, token).await.1), "UNAUTHENTICATED");
        }
    }
    // A native client has no origin, and may have the host's session.
    assert_eq!(hello(&server, "Cookie: session=1\r\n", None).await.1["type"], "session.welcome");
    server.stop().await;
}

#[tokio::test]
async fn s18_what_the_host_knows_counts_only_where_that_was_asked_for() {
    let config = letting(&[PAGE, "http://localhost:5173"]);
    let server = host(runtime(&config).layer(AuthLayer::new(tokens())), &config).await;
    let headers = format!("Cookie: session=1\r\nOrigin: {PAGE}\r\n");
    assert_eq!(code(&hello(&server, &headers, None).await.1), "UNAUTHENTICATED");
    assert_eq!(hello(&server, &headers, Some(ALICE)).await.1["type"], "session.welcome");
    server.stop().await;
}

#[tokio::test]
async fn a_session_of_the_hosts_is_resumed_on_another_connection_and_on_the_same() {
    let config = letting(&[PAGE, "http://localhost:5173"]);
    let server = session(&config).await;
    let headers = format!("Cookie: session=1\r\nOrigin: {PAGE}\r\n");
    let (mut first, welcome) = hello(&server, &headers, None).await;
    let job = first.submit("echo", json!(7)).await;
    first.job(&job).await;
    drop(first);
    let claim = |welcome: &Value| {
        json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        })
    };
    let mut again = server.connect_at("/arcp", &headers).await;
    again.send("session.resume", claim(&welcome)).await;
    let resumed = again.next().await;
    assert_eq!(
        (&resumed["type"], &resumed["session_id"]),
        (&json!("session.welcome"), &welcome["session_id"])
    );
    drop(again);
    // The same on a connection that said hello before.
    let (mut late, _) = hello(&server, &headers, None).await;
    late.send("session.resume", claim(&resumed)).await;
    let late = late.next().await;
    assert_eq!((&late["type"], &late["session_id"]), (&json!("session.welcome"), &welcome["session_id"]));
    // Bob's cookie is of no use with it.
    let mut bob = server.connect_at("/arcp", "Cookie: session=2\r\n").await;
    bob.send("session.resume", claim(&late)).await;
    assert_eq!(code(&bob.next().await), "RESUME_WINDOW_EXPIRED");
    server.stop().await;
}

#[tokio::test]
async fn one_route_serves_pages_by_the_hosts_session_and_programs_by_their_tokens() {
    let config = letting(&[PAGE, "http://localhost:5173"]);
    let both = HostSession::new([PAGE]).unwrap().or(tokens());
    let server = host(runtime(&config).layer(AuthLayer::new(both)), &config).await;
    let page = format!("Cookie: session=1\r\nOrigin: {PAGE}\r\n");
    assert_eq!(hello(&server, &page, None).await.1["type"], "session.welcome");
    assert_eq!(hello(&server, "", Some(ALICE)).await.1["type"], "session.welcome");
    assert_eq!(code(&hello(&server, "", None).await.1), "UNAUTHENTICATED");
    // Who says a token is judged by it, whatever else is known.
    assert_eq!(code(&hello(&server, &page, Some("a-guess")).await.1), "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn what_the_host_calls_its_user_is_found_by_a_function() {
    #[derive(Clone)]
    struct User {
        mail: &'static str,
    }
    let config = letting(&[PAGE, "http://localhost:5173"]);
    let found = HostSession::new([PAGE]).unwrap();
    let found = found.find(|extensions| extensions.get().map(|user: &User| Principal::new(user.mail)));
    let app = Router::new().route(
        "/arcp",
        arcp_axum::handler_with(runtime(&config).layer(AuthLayer::new(found)), config.clone()),
    );
    let app = app.layer(axum::Extension(User { mail: "ann@example.com" }));
    let server = Server::start(app, &config).await;
    assert_eq!(hello(&server, "", None).await.1["type"], "session.welcome");
    server.stop().await;
}
