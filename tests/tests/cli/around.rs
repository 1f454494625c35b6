//! What is around the route in `arcp serve`.

use std::process::Stdio;

use arcp_tests::command::{Serving, arcp, text};
use arcp_tests::wire::request;

/// The head of a WebSocket's upgrade, with more header lines.
fn upgrade(headers: &str) -> String {
    format!(
        "GET /arcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

async fn answer(serving: &Serving, head: &str) -> String {
    request(&mut serving.tcp().await, head).await.to_lowercase()
}

#[tokio::test]
async fn a_request_has_an_id_that_the_client_chose_or_the_server() {
    let serving = Serving::start(&[]);
    let chosen = answer(&serving, &upgrade("X-Request-Id: mine-1\r\n")).await;
    assert!(
        chosen.starts_with("http/1.1 101 ") && chosen.contains("\r\nx-request-id: mine-1\r\n"),
        "{chosen}"
    );
    let made_up = answer(&serving, &upgrade("")).await;
    assert!(made_up.contains("\r\nx-request-id: "), "{made_up}");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_an_answer_and_one_of_another_may_not() {
    let serving = Serving::start(&["--allow-origin", "https://app.example"]);
    for (origin, allowed) in [("https://app.example", true), ("https://evil.example", false)] {
        let preflight = format!(
            "OPTIONS /arcp HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: GET\r\n\r\n"
        );
        for head in [preflight, upgrade(&format!("Origin: {origin}\r\n"))] {
            let said = answer(&serving, &head).await;
            let header = format!("\r\naccess-control-allow-origin: {origin}\r\n");
            assert_eq!(said.contains(&header), allowed, "{said}");
            assert_eq!(said.contains("access-control-allow-origin"), allowed, "{said}");
        }
    }
}

#[tokio::test]
async fn a_request_with_a_body_that_nobody_reads_is_refused_by_its_length() {
    let serving = Serving::start(&[]);
    let post = |length| format!("POST /arcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    let refused = answer(&serving, &post(1 << 30)).await;
    assert!(refused.starts_with("http/1.1 413 "), "{refused}");
}

#[tokio::test]
async fn what_is_logged_of_a_request_names_its_peer_and_its_id_and_no_query() {
    let mut serve = arcp(&["serve", "--port", "0", "--store", "memory", "--token", "secret=me"]);
    serve.env("RUST_LOG", "http=info,tower_http=debug").stderr(Stdio::piped());
    let mut serving = Serving::of(serve, false);
    let mut tcp = serving.tcp().await;
    let peer = tcp.local_addr().unwrap();
    let head = upgrade("X-Request-Id: mine-1\r\n").replace("/arcp", "/arcp?token=canary");
    assert!(request(&mut tcp, &head).await.starts_with("HTTP/1.1 101 "));
    drop(tcp);
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    let mut log = Vec::new();
    std::io::Read::read_to_end(&mut serving.child.stderr.take().unwrap(), &mut log).unwrap();
    let log = text(&log);
    let line = log.lines().find(|line| line.contains("finished processing request")).expect(log);
    for word in ["/arcp", "mine-1", &peer.to_string()] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    assert!(!log.contains("canary"), "{log}");
}
