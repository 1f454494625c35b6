use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arcp_tower::core::Code::InternalError;
use arcp_tower::operation::fetch::{FetchLimits, Resolve, Resolved};
use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::scene::{Names, Server, all, fetch, hello, local, refused};

/// A server that treats each connection by hand, and where it is.
async fn raw<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(each(socket));
        }
    });
    url
}

/// Reads a request and answers with `text`, then does nothing more.
async fn says(text: String) -> String {
    raw(move |mut socket| {
        let text = text.clone();
        async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(text.as_bytes()).await;
            pending::<()>().await;
        }
    })
    .await
}

fn small() -> FetchLimits {
    FetchLimits::default().with(|limits| {
        limits.request = 10;
        limits.response = 10;
        limits.header_bytes = 8 << 10;
    })
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_its_length_was_told_or_not() {
    let fetcher = local(&Names::default()).limits(small()).build();
    let ten = Server::start(|_| Response::new(Bytes::from(vec![b'x'; 10]))).await;
    assert_eq!(fetch(&fetcher, &ten.url("127.0.0.1", "/")).await.unwrap().body().len(), 10);
    // The rest never comes: who waited for it would be late.
    let told = says("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\nxxxxxxxxxxx".to_owned()).await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nxxxxxxxx\r\n8\r\nxxxxxxxx\r\n";
    for url in [told, says(chunked.to_owned()).await] {
        refused(fetch(&fetcher, &url).await, InternalError, "limit");
    }
    let request = Request::post(ten.url("127.0.0.1", "/")).body(Bytes::from(vec![b'x'; 11])).unwrap();
    refused(fetcher.fetch(request, &all()).await, InternalError, "limit");
    assert_eq!(ten.requests(), 1);
}

#[tokio::test]
async fn a_head_that_is_too_large_or_no_http_is_refused() {
    let fetcher = local(&Names::default()).limits(small()).build();
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(9 << 10));
    refused(fetch(&fetcher, &says(long).await).await, InternalError, "limit");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    refused(fetch(&fetcher, &says(many).await).await, InternalError, "limit");
    refused(fetch(&fetcher, &says("SSH-2.0-x\r\n".to_owned()).await).await, InternalError, "protocol");
    let breaks_off = raw(|mut socket| async move {
        let _ = socket.read(&mut [0; 4096]).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    });
    refused(fetch(&fetcher, &breaks_off.await).await, InternalError, "protocol");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up_after_30_seconds() {
    let (fetcher, url) = (local(&Names::default()).build(), says(String::new()).await);
    let start = Instant::now();
    let answer = fetch(&fetcher, &url).await;
    assert!(answer.as_ref().is_err_and(arcp_tower::core::Error::retryable));
    refused(answer, InternalError, "timeout");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_does_not_gain_time() {
    let url = raw(|mut socket| async move {
        let _ = socket.read(&mut [0; 4096]).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let start = Instant::now();
    refused(fetch(&local(&Names::default()).build(), &url).await, InternalError, "timeout");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_does_not_answer_is_given_up_after_30_seconds() {
    struct Silent;
    impl Resolve for Silent {
        fn resolve(&self, _: &str) -> Resolved {
            Box::pin(pending())
        }
    }
    let fetcher = local(&Names::default()).resolver(Silent).build();
    let start = Instant::now();
    refused(fetch(&fetcher, "http://a.test/").await, InternalError, "timeout");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_requests_run_at_once_and_those_that_wait_are_timed_too() {
    let one = FetchLimits::default().with(|limits| limits.concurrent = 1);
    let fetcher = local(&Names::default()).limits(one).build();
    let (silent, server) = (says(String::new()).await, Server::start(hello).await);
    let hello = server.url("127.0.0.1", "/");
    let (first, second) = tokio::join!(fetch(&fetcher, &silent), fetch(&fetcher, &hello));
    refused(first, InternalError, "timeout");
    refused(second, InternalError, "timeout");
    assert_eq!(server.requests(), 0);
    fetch(&fetcher, &hello).await.unwrap();
}

#[tokio::test]
async fn only_so_many_connections_are_kept_however_many_hosts_there_are() {
    let server = Server::start(hello).await;
    let hosts: Vec<_> = (0..20).map(|n| format!("{n}.test")).collect();
    let names = Names::local(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let four = FetchLimits::default().with(|limits| {
        limits.idle_in_all = 4;
        // None of them ends because of its age.
        limits.idle = Duration::from_secs(86_400);
    });
    let fetcher = local(&names).limits(four).build();
    for host in &hosts {
        fetch(&fetcher, &server.url(host, "/")).await.unwrap();
    }
    assert_eq!(server.opened.load(Ordering::SeqCst), 20);
    let closed = async {
        while server.open.load(Ordering::SeqCst) > 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.unwrap();
    drop(fetcher);
}
