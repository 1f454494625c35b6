//! TLS of `arcp serve`, and of clients.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use arcp_client::{Client, ConnectError};
use arcp_core::transport::{WebSocket, WsLimits};
use arcp_tests::authority::Authority;
use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::{ALL, Ask, Http2, Peer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// `arcp serve` with a certificate of `authority`, whose files are in `dir`.
fn serve(authority: &Authority, dir: &Path) -> Serving {
    let (cert, key) = authority.files(dir);
    serve_with(&cert, &key, "axum")
}

/// Every web server that `arcp serve` has.
const SERVERS: [&str; 3] = ["axum", "actix", "hyper"];

fn serve_with(cert: &Path, key: &Path, server: &str) -> Serving {
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let tls = ["--tls-cert", cert, "--tls-key", key, "--server", server];
    let serve = ["serve", "--port", "0", "--store", "memory", "--demo-agents", "--token", "secret=me"];
    let mut serve = arcp(&[&serve[..], &tls].concat());
    serve.stderr(Stdio::null());
    Serving::of(serve, false)
}

fn submit(server: &Serving, ca: Option<&Path>) -> Output {
    let mut submit = arcp(&["submit", "--url", &server.url, "--token", "secret", "--agent", "echo"]);
    submit.args(["--input", "7", "--json"]).stdin(Stdio::null());
    if let Some(ca) = ca {
        submit.arg("--tls-ca").arg(ca);
    }
    submit.output().unwrap()
}

#[test]
fn a_job_is_submitted_over_tls_to_a_server_of_a_private_ca() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let ((cert, key), ca) = (authority.files(dir.path()), authority.file(dir.path()));
    for server in SERVERS {
        let serving = serve_with(&cert, &key, server);
        assert!(serving.url.starts_with("wss://127.0.0.1:"), "{}", serving.url);
        let done = submit(&serving, Some(&ca));
        assert_eq!(done.status.code(), Some(0), "{server}: {}", text(&done.stderr));
        assert!(text(&done.stdout).contains("\"result\":7"), "{server}: {}", text(&done.stdout));
    }
    let server = serve_with(&cert, &key, "axum");
    // The variable does as well, for every command that reaches a runtime.
    for command in [&["jobs", "--all"][..], &["submit", "--agent", "echo"], &["doctor"]] {
        let mut command = arcp(&[command, &["--url", &server.url, "--token", "secret"]].concat());
        let done = command.env("ARCP_TLS_CA", &ca).stdin(Stdio::null()).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    }
}

#[test]
fn a_server_that_is_not_trusted_gets_no_token() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let server = serve(&authority, dir.path());
    let other = tempfile::tempdir().unwrap();
    let other_ca = Authority::default().file(other.path());
    for ca in [None, Some(&*other_ca)] {
        let refused = submit(&server, ca);
        assert_eq!(refused.status.code(), Some(3));
        assert!(text(&refused.stdout).contains("certificate"), "{}", text(&refused.stdout));
    }
    let key = dir.path().join("key.pem");
    let none = submit(&server, Some(&key));
    assert_eq!(none.status.code(), Some(2), "a key is no certificate: {}", text(&none.stdout));
}

#[tokio::test]
async fn a_client_trusts_the_roots_that_it_is_given_and_a_certificate_for_its_name_only() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let server = serve(&authority, dir.path());
    let client = |url: &str| Client::builder(url).token("secret").root_certificate(authority.pem());
    let session = client(&server.url).connect().await.unwrap();
    let mut job = session.submit("echo").input(&7).send().await.unwrap();
    assert_eq!(job.result().await.unwrap().decode::<u8>().unwrap(), 7);
    session.close().await;
    assert!(client(&server.url.replace("127.0.0.1", "localhost")).connect().await.is_ok());
    // Without TLS it is not reached.
    let plain = server.url.replace("wss:", "ws:");
    assert!(Client::builder(plain).token("secret").connect().await.is_err());
    // A certificate of the same authority, for somebody else.
    let (cert, key) = authority.files_for(&["other.test"], dir.path());
    let impostor = serve_with(&cert, &key, "axum");
    let refused = client(&impostor.url).connect().await;
    assert!(
        matches!(&refused, Err(ConnectError::Io(e)) if e.to_string().contains("certificate")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_client_that_knows_http2_has_several_sessions_on_one_connection() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let server = serve(&authority, dir.path());
    let address = server.url.strip_prefix("wss://").unwrap().strip_suffix("/arcp").unwrap();
    let tls = TlsConnector::from(authority.client(&["h2", "http/1.1"]));
    let name = ServerName::try_from("localhost").unwrap();
    let tls = tls.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut http2 = Http2::open(tls, "https://localhost/arcp").await;
    let mut peers = Vec::new();
    for _ in 0..2 {
        let io = http2.connect(Ask::default()).await.upgraded();
        let mut peer = Peer::new(WebSocket::client(io, WsLimits::default()).await, Duration::from_secs(20));
        peer.hello("secret", &ALL).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.works().await;
    }
}

#[tokio::test]
async fn connections_that_begin_no_handshake_keep_no_other_from_it() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let server = serve(&authority, dir.path());
    let address = server.url.strip_prefix("wss://").unwrap().strip_suffix("/arcp").unwrap();
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let began = Instant::now();
    let client = Client::builder(&server.url).token("secret").root_certificate(authority.pem());
    client.connect().await.unwrap().close().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn on_sighup_the_certificate_is_read_again_and_one_that_cannot_be_changes_nothing() {
    for server in SERVERS {
        let (old, new, dir) = (Authority::default(), Authority::default(), tempfile::tempdir().unwrap());
        let (cert, key) = old.files(dir.path());
        let server = serve_with(&cert, &key, server);
        let client = |authority: &Authority| {
            Client::builder(&server.url).token("secret").root_certificate(authority.pem()).connect()
        };
        let trusts = async |authority: &Authority| client(authority).await.is_ok();
        let kept = client(&old).await.unwrap();
        assert!(!trusts(&new).await);
        std::fs::write(&cert, "no certificate").unwrap();
        server.signal("HUP");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(trusts(&old).await, "it goes on with what it has");
        new.files(dir.path());
        server.signal("HUP");
        for _ in 0..200 {
            if trusts(&new).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(trusts(&new).await && !trusts(&old).await);
        // A session of before goes on.
        kept.ping().await.unwrap();
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let (cert, key) = authority.files(dir.path());
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let other = tempfile::tempdir().unwrap();
    let (_, other) = authority.files(other.path());
    for (cert, key, why) in [
        (cert, cert, "has no private key"),
        (key, key, "has no certificate"),
        (cert, other.to_str().unwrap(), "do not belong together"),
        ("/nowhere/cert.pem", key, "/nowhere/cert.pem"),
    ] {
        let serve = ["serve", "--port", "0", "--store", "memory", "--tls-cert", cert, "--tls-key", key];
        let refused = run(&serve);
        assert_ne!(refused.status.code(), Some(0));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    let alone = run(&["serve", "--port", "0", "--tls-cert", cert]);
    assert_eq!(alone.status.code(), Some(2));
}
