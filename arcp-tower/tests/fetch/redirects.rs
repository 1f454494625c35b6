use std::sync::{Arc, Mutex};

use arcp_tower::core::Code::PermissionDenied;
use arcp_tower::operation::Granted;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};

use crate::scene::{Names, Server, fetch, hello, local, refused};

/// Redirects to what the query says, `?<status>=<location>`; answers anything else.
fn redirect(request: &Request<Bytes>) -> Response<Bytes> {
    match request.uri().query().and_then(|query| query.split_once('=')) {
        Some((status, location)) => {
            Response::builder().status(status).header("location", location).body(Bytes::new()).unwrap()
        }
        None => hello(request),
    }
}

#[tokio::test]
async fn s32_every_hop_is_asked_of_the_lease_before_its_name_is_resolved() {
    let (server, names) = (Server::start(redirect).await, Names::local(&["a.test", "b.test"]));
    let fetcher = local(&names).build();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let granted = Granted::new({
        let asked = asked.clone();
        move |url: &str| {
            asked.lock().unwrap().push(url.to_owned());
            url.starts_with("http://a.test:")
        }
    });
    let get = |url: String| Request::get(url).body(Bytes::new()).unwrap();
    fetcher.fetch(get(server.url("a.test", "/x?302=../y")), &granted).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [server.url("a.test", "/x?302=../y"), server.url("a.test", "/y")]);

    for location in
        [server.url("b.test", "/"), server.url("a.test.b.test", "/"), format!("//b.test:{}/", server.port())]
    {
        let url = server.url("a.test", &format!("/?302={location}"));
        refused(fetcher.fetch(get(url), &granted).await, PermissionDenied, "not_granted");
    }
    assert_eq!(names.asked(), ["a.test"], "over one connection");
    assert_eq!(server.requests(), 5);
}

#[tokio::test]
async fn s32_a_redirect_to_a_private_address_is_refused_even_if_the_lease_covers_it() {
    let (server, names) = (Server::start(redirect).await, Names::local(&["a.test"]));
    let names = names.and("private.test", &[&["10.0.0.1"]]);
    let fetcher = local(&names).build();
    for location in [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.2/",
        "http://0x7f.0.0.2/",
        "http://2130706434/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1]/",
        "http://private.test/",
    ] {
        let url = server.url("a.test", &format!("/?307={location}"));
        refused(fetch(&fetcher, &url).await, PermissionDenied, "address");
    }
}

#[tokio::test]
async fn s32_a_redirect_to_another_scheme_to_a_user_or_to_no_url_is_refused() {
    let server = Server::start(redirect).await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    for (location, why) in [
        ("file:///etc/passwd", "scheme"),
        ("ftp://a.test/", "scheme"),
        ("data:text/plain,x", "scheme"),
        ("javascript:x", "scheme"),
        ("http://a.test@b.test/", "userinfo"),
        ("http://:80/", "location"),
        ("http://[::1/", "location"),
    ] {
        let url = server.url("a.test", &format!("/?302={location}"));
        refused(fetch(&fetcher, &url).await, PermissionDenied, why);
    }
}

#[tokio::test]
async fn s32_five_redirects_are_followed_and_the_sixth_is_not() {
    let server = Server::start(|request| {
        let left: usize = request.uri().path()[1..].parse().unwrap();
        match left {
            0 => hello(request),
            left => redirect(&Request::get(format!("/?301=/{}", left - 1)).body(Bytes::new()).unwrap()),
        }
    })
    .await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    assert_eq!(fetch(&fetcher, &server.url("a.test", "/5")).await.unwrap().body(), "hello");
    assert_eq!(server.requests(), 6);
    refused(fetch(&fetcher, &server.url("a.test", "/6")).await, PermissionDenied, "hops");
    assert_eq!(server.requests(), 12);
}

#[tokio::test]
async fn a_method_and_a_body_survive_307_and_308_and_a_post_becomes_a_get_otherwise() {
    let server = Server::start(redirect).await;
    let fetcher = local(&Names::local(&["a.test"])).build();
    for (status, method, then, body) in [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (303, "HEAD", "HEAD", "body"),
        (301, "PUT", "PUT", "body"),
        (302, "DELETE", "DELETE", "body"),
        (307, "POST", "POST", "body"),
        (308, "PATCH", "PATCH", "body"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(server.url("a.test", &format!("/?{status}=/then")))
            .header("content-type", "text/plain")
            .body(Bytes::from_static(b"body"))
            .unwrap();
        fetcher.fetch(request, &crate::scene::all()).await.unwrap();
        let seen = server.seen.lock().unwrap().pop().unwrap();
        let typed = seen.headers().contains_key("content-type");
        assert_eq!(
            (seen.method(), std::str::from_utf8(seen.body()).unwrap(), typed),
            (&Method::from_bytes(then.as_bytes()).unwrap(), body, !body.is_empty()),
            "{status} {method}"
        );
    }
}

#[tokio::test]
async fn s32_secrets_stay_with_the_origin_that_they_were_meant_for() {
    let (one, two) = (Server::start(redirect).await, Server::start(redirect).await);
    let fetcher = local(&Names::local(&["a.test", "b.test"])).build();
    let secret = |url: String| {
        let mut marked = HeaderValue::from_static("text/secret");
        marked.set_sensitive(true);
        Request::get(url)
            .header("authorization", "Bearer secret")
            .header("cookie", "secret=1")
            .header("x-api-key", "secret")
            .header("proxy-authorization", "secret")
            .header("accept", marked)
            .header("user-agent", "agent/1")
            .body(Bytes::new())
            .unwrap()
    };
    let last = |server: &Server| server.seen.lock().unwrap().pop().unwrap();

    fetcher.fetch(secret(one.url("a.test", "/?302=/same")), &crate::scene::all()).await.unwrap();
    let seen = last(&one);
    assert_eq!(
        (&seen.headers()["authorization"], &seen.headers()["x-api-key"]),
        (&"Bearer secret".parse().unwrap(), &"secret".parse().unwrap())
    );
    assert!(!seen.headers().contains_key("proxy-authorization"));

    // Another host, another port; and back again.
    let back = one.url("a.test", "/back");
    for location in
        [one.url("b.test", "/"), two.url("a.test", "/"), two.url("a.test", &format!("/?302={back}"))]
    {
        fetcher
            .fetch(secret(one.url("a.test", &format!("/?302={location}"))), &crate::scene::all())
            .await
            .unwrap();
        let seen =
            if location.contains("back") || location.contains("b.test") { last(&one) } else { last(&two) };
        assert!(!format!("{:?}", seen.headers()).contains("secret"), "{:?}", seen.headers());
        assert_eq!(seen.headers()["user-agent"], "agent/1");
    }
}
