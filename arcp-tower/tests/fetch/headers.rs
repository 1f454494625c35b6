use std::sync::atomic::Ordering;

use arcp_tower::core::Code;
use bytes::Bytes;
use http::{Request, Response};

use crate::scene::{Names, Server, all, hello, local};

#[tokio::test]
async fn an_agent_cannot_name_another_host_than_that_of_the_url() {
    let server = Server::start(hello).await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    let with_host =
        |host: &str| Request::get(server.url("a.test", "/")).header("host", host).body(Bytes::new()).unwrap();
    for host in ["internal.test", "a.test", "", &format!("a.test:{}, b.test", server.port())] {
        let error = fetcher.fetch(with_host(host), &all()).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidRequest, "{host}");
    }
    assert_eq!(server.requests(), 0);
    fetcher.fetch(with_host(&format!("A.test:{}", server.port())), &all()).await.unwrap();
}

#[tokio::test]
async fn headers_of_a_connection_and_lengths_are_the_runtimes_own() {
    let server = Server::start(hello).await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    let request = Request::post(server.url("a.test", "/"))
        .header("content-length", "1")
        .header("transfer-encoding", "chunked")
        .header("connection", "upgrade, x-named")
        .header("upgrade", "websocket")
        .header("expect", "100-continue")
        .header("te", "trailers")
        .header("x-named", "1")
        .header("x-other", "1")
        .body(Bytes::from_static(b"GET /smuggled HTTP/1.1\r\n\r\n"))
        .unwrap();
    fetcher.fetch(request, &all()).await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let headers = seen[0].headers();
    assert_eq!(
        (&headers["content-length"], &headers["x-other"]),
        (&"26".parse().unwrap(), &"1".parse().unwrap())
    );
    for name in ["transfer-encoding", "connection", "upgrade", "expect", "te", "x-named"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn nothing_is_decompressed() {
    // Says that it is gzip, and is not: who looked inside would fail.
    let server = Server::start(|_| {
        Response::builder().header("content-encoding", "gzip").body(Bytes::from_static(b"bomb")).unwrap()
    })
    .await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    let request = Request::get(server.url("a.test", "/")).body(Bytes::new()).unwrap();
    let response = fetcher.fetch(request, &all()).await.unwrap();
    assert_eq!(
        (response.body().as_ref(), &response.headers()["content-encoding"]),
        (b"bomb".as_slice(), &"gzip".parse().unwrap())
    );
    assert_eq!(server.seen.lock().unwrap()[0].headers()["accept-encoding"], "identity");
}

#[tokio::test]
async fn an_answer_is_given_whatever_its_status_and_does_not_tell_who_sent_it() {
    let server = Server::start(|request| {
        Response::builder().status(&request.uri().path()[1..]).body(Bytes::from_static(b"x")).unwrap()
    })
    .await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    for status in [200_u16, 300, 302, 401, 404, 500, 503] {
        let url = server.url("a.test", &format!("/{status}"));
        let response = fetcher.fetch(Request::get(url).body(Bytes::new()).unwrap(), &all()).await.unwrap();
        assert_eq!((response.status().as_u16(), response.extensions().len()), (status, 0));
    }
    assert_eq!(server.opened.load(Ordering::SeqCst), 1);
}
