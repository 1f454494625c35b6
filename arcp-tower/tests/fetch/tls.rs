use std::sync::Arc;

use arcp_tower::core::Code::{InternalError, PermissionDenied};
use arcp_tower::operation::fetch::Fetcher;
use bytes::Bytes;
use http::{Request, Response};
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::scene::{Names, Server, fetch, hello, local, refused};

/// A server for `secure.test`, and its certificate.
async fn secure(
    answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
) -> (Server, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["secure.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::on(listener, answer, move |socket| {
        let accepting = acceptor.accept(socket);
        async move { accepting.await.ok() }
    });
    (server, cert.pem())
}

#[tokio::test]
async fn a_server_is_trusted_by_a_root_of_the_operators_own_and_for_its_name_only() {
    let (server, pem) = secure(hello).await;
    let names = Names::local(&["secure.test", "other.test"]);
    let url = |host: &str| server.url(host, "/").replace("http:", "https:");
    let fetcher = local(&names).trust_pem(pem.as_bytes()).unwrap().build();
    assert_eq!(fetch(&fetcher, &url("secure.test")).await.unwrap().body(), "hello");
    refused(fetch(&fetcher, &url("other.test")).await, InternalError, "tls");
    refused(fetch(&local(&names).build(), &url("secure.test")).await, InternalError, "tls");
    assert_eq!(server.requests(), 1);
    assert!(Fetcher::builder().trust_pem(b"no certificate").is_err());
}

#[tokio::test]
async fn s32_a_redirect_from_https_to_http_is_refused_and_the_other_way_round_is_followed() {
    let plain = Server::start(|request| {
        let to = format!("https://secure.test:{}", request.uri().path().trim_start_matches('/'));
        Response::builder().status(302).header("location", to).body(Bytes::new()).unwrap()
    })
    .await;
    let down = plain.url("secure.test", "/");
    let (server, pem) = secure(move |request| match request.uri().path() {
        "/down" => Response::builder().status(308).header("location", &down).body(Bytes::new()).unwrap(),
        _ => hello(request),
    })
    .await;
    let fetcher = local(&Names::local(&["secure.test"])).trust_pem(pem.as_bytes()).unwrap().build();
    let https = server.url("secure.test", "/down").replace("http:", "https:");
    refused(fetch(&fetcher, &https).await, PermissionDenied, "downgrade");
    assert_eq!(plain.requests(), 0);
    let up = plain.url("secure.test", &format!("/{}", server.port()));
    assert_eq!(fetch(&fetcher, &up).await.unwrap().body(), "hello");
}

#[tokio::test]
async fn what_is_no_tls_is_refused() {
    let server = Server::start(hello).await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    refused(
        fetch(&fetcher, &server.url("a.test", "/").replace("http:", "https:")).await,
        InternalError,
        "tls",
    );
    assert_eq!(server.requests(), 0);
}
