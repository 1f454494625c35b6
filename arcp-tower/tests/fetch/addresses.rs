use arcp_tower::core::Code::{InternalError, InvalidRequest, PermissionDenied};
use arcp_tower::operation::Granted;
use arcp_tower::operation::fetch::{FetchLimits, Fetcher};
use bytes::Bytes;
use http::Request;
use tokio::net::TcpListener;

use crate::scene::{Names, Server, all, fetch, hello, local, refused};

/// Every request opens a connection.
fn no_pool() -> FetchLimits {
    FetchLimits::default().with(|limits| limits.idle_per_host = 0)
}

#[tokio::test]
async fn a_name_is_resolved_and_answered() {
    let (server, names) = (Server::start(hello).await, Names::local(&["a.test"]));
    let response = fetch(&local(&names).build(), &server.url("a.test", "/x?y=z#part")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, b"hello".as_slice()));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].uri().to_string(), "/x?y=z");
    assert_eq!(seen[0].headers()["host"], format!("a.test:{}", server.port()));
}

#[tokio::test]
async fn s31_loopback_is_refused_in_every_notation_of_a_literal_address() {
    let (server, names) = (Server::start(hello).await, Names::default());
    let fetcher = Fetcher::builder().resolver(names.clone()).build();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0177.0.0.01",
        "0x7f.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "127.255.255.254",
    ] {
        refused(fetch(&fetcher, &server.url(host, "/")).await, PermissionDenied, "address");
    }
    assert_eq!((server.opened.load(std::sync::atomic::Ordering::SeqCst), names.asked().len()), (0, 0));
}

#[tokio::test]
async fn s31_metadata_private_and_unusable_addresses_are_refused_as_literals_and_as_answers() {
    for address in [
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
    ] {
        let names = Names::default().and("a.test", &[&[address]]);
        let fetcher = Fetcher::builder().resolver(names).build();
        let literal = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        for host in [literal.as_str(), "a.test"] {
            refused(fetch(&fetcher, &format!("http://{host}/")).await, PermissionDenied, "address");
            refused(fetch(&fetcher, &format!("https://{host}/")).await, PermissionDenied, "address");
        }
    }
}

#[tokio::test]
async fn s31_one_forbidden_address_among_others_refuses_the_name_and_is_not_told() {
    let server = Server::start(hello).await;
    let names = Names::default().and("a.test", &[&["127.0.0.1", "10.9.8.7"]]);
    let error = fetch(&local(&names).build(), &server.url("a.test", "/")).await.unwrap_err();
    assert!(!format!("{error:?}").contains("10.9.8.7"));
    refused::<()>(Err(error), PermissionDenied, "address");
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn s31_an_answer_that_changes_between_check_and_connect_changes_nothing() {
    let server = Server::start(hello).await;
    // What the second answer leads to: the same port of an address that is not allowed.
    let decoy = TcpListener::bind(("127.0.0.2", server.port())).await.unwrap();
    let decoy = Server::on(decoy, hello, |socket| std::future::ready(Some(socket)));
    let names = Names::default().and("a.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = local(&names).limits(no_pool()).build();
    let url = server.url("a.test", "/");
    fetch(&fetcher, &url).await.unwrap();
    assert_eq!(names.asked().len(), 1, "the connection goes to the address that was checked");
    refused(fetch(&fetcher, &url).await, PermissionDenied, "address");
    assert_eq!((server.requests(), decoy.requests()), (1, 0));
}

#[tokio::test]
async fn a_kept_connection_is_for_its_own_host_and_port() {
    let (one, two) = (Server::start(hello).await, Server::start(hello).await);
    let fetcher = local(&Names::local(&["a.test", "b.test"])).build();
    for (server, name) in [(&one, "a.test"), (&one, "b.test"), (&two, "a.test"), (&one, "a.test")] {
        fetch(&fetcher, &server.url(name, "/")).await.unwrap();
    }
    let hosts: Vec<_> =
        one.seen.lock().unwrap().iter().map(|r| r.headers()["host"].to_str().unwrap().to_owned()).collect();
    let (a, b) = (format!("a.test:{}", one.port()), format!("b.test:{}", one.port()));
    assert_eq!(hosts, [a.clone(), b, a]);
    // The third request of the first server went over the connection of its first.
    assert_eq!(one.opened.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_lease_is_asked_about_the_url_that_is_fetched() {
    let (server, names) = (Server::start(hello).await, Names::local(&["a.test"]));
    let fetcher = local(&names).build();
    let granted = Granted::new({
        let url = server.url("a.test", "/a");
        move |asked: &str| asked == url
    });
    let url = server.url("A.Test", "/b/../%2e/a#x");
    fetcher.fetch(Request::get(url).body(Bytes::new()).unwrap(), &granted).await.unwrap();
    assert_eq!(server.seen.lock().unwrap()[0].uri().path(), "/a");
    let other = Request::get(server.url("a.test", "/b")).body(Bytes::new()).unwrap();
    refused(fetcher.fetch(other, &granted).await, PermissionDenied, "not_granted");
    assert_eq!(names.asked(), ["a.test"]);
}

#[tokio::test]
async fn s30_a_url_with_a_user_another_scheme_or_no_host_is_refused() {
    let fetcher = Fetcher::builder().allow_private().resolver(Names::local(&["a.test"])).build();
    for url in ["http://a.test@127.0.0.1/", "http://u:p@a.test/", "http://a.test:80@b.test/"] {
        refused(fetch(&fetcher, url).await, PermissionDenied, "userinfo");
    }
    for url in ["ftp://a.test/", "file://a.test/etc/passwd", "ws://a.test/", "gopher://a.test/"] {
        refused(fetch(&fetcher, url).await, PermissionDenied, "scheme");
    }
    for url in ["/etc/passwd", "a.test:80", "*"] {
        assert_eq!(fetch(&fetcher, url).await.unwrap_err().code(), InvalidRequest, "{url}");
    }
    for method in ["CONNECT", "TRACE"] {
        let request = Request::builder().method(method).uri("http://a.test/").body(Bytes::new()).unwrap();
        assert_eq!(fetcher.fetch(request, &all()).await.unwrap_err().code(), InvalidRequest);
    }
}

#[tokio::test]
async fn a_name_without_an_address_and_a_port_without_a_server_can_be_tried_again() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let names = Names::local(&["a.test"]).and("empty.test", &[&[]]);
    let fetcher = local(&names).build();
    refused(fetch(&fetcher, "http://none.test/").await, InternalError, "dns");
    refused(fetch(&fetcher, "http://empty.test/").await, InternalError, "dns");
    let answer = fetch(&fetcher, &format!("http://a.test:{}/", free.port())).await;
    assert!(answer.as_ref().is_err_and(arcp_tower::core::Error::retryable));
    refused(answer, InternalError, "connect");
}

#[tokio::test]
async fn private_addresses_are_reached_where_the_operator_allows_them() {
    let server = Server::start(hello).await;
    let fetcher = Fetcher::builder().allow_private().build();
    fetch(&fetcher, &server.url("127.0.0.1", "/")).await.unwrap();
    // By the system's resolver.
    fetch(&fetcher, &server.url("localhost", "/")).await.unwrap();
    refused(fetch(&Fetcher::new(), &server.url("localhost", "/")).await, PermissionDenied, "address");
    refused(fetch(&fetcher, "http://169.254.169.254/").await, PermissionDenied, "address");
    assert!(Fetcher::builder().allow("10.0.0.0/33").is_err() && Fetcher::builder().allow("host").is_err());
}
