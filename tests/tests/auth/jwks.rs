//! Keys that are fetched: rotation, outages, and servers that mean no good (S23, S24).

use std::time::Duration;

use arcp_core::Code;
use arcp_core::transport::Close;
use arcp_tests::authority::Authority;
use arcp_tests::issuer::{Key, claims, claims_at, clock, set, verifier};
use arcp_tests::jwks::{Answer, JwksServer};
use arcp_tests::sessions::{FEATURES, code, resume};
use arcp_tests::{Memories, agents};
use arcp_tower::auth::jwks::{Jwks, JwksConfig};
use arcp_tower::auth::jwt::{Algorithm, JwtKey, JwtVerifier};
use arcp_tower::{AuthLayer, Config, Runtime};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

/// The default bounds. The machine may be busy, so that an answer may take its time.
fn bounds() -> JwksConfig {
    JwksConfig::default().with(|c| c.timeout = Duration::from_secs(60))
}

fn of(url: &str, config: JwksConfig) -> JwtVerifier {
    verifier().jwks(Jwks::new(url, config).unwrap()).build().unwrap()
}

async fn name(verifier: &JwtVerifier, token: &str) -> Result<String, Code> {
    let principal = verifier.verify(token).await;
    principal.map(|principal| principal.name().to_owned()).map_err(|e| e.code())
}

async fn accepted(verifier: &JwtVerifier, key: &Key) -> bool {
    match name(verifier, &key.sign(&claims("alice"))).await {
        Ok(name) => name == "alice",
        Err(code) => {
            assert_eq!(code, Code::Unauthenticated);
            false
        }
    }
}

/// Lets time pass. It is real while something is fetched.
async fn pass(seconds: u64) {
    // Whoever was spawned begins to wait now, and not afterwards.
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn s24_keys_are_fetched_once_for_all_tokens_that_wait_for_them() {
    let key = Key::new("1");
    let server = JwksServer::start(set(&[&key])).await;
    let verifier = of(&server.url(), bounds());
    assert_eq!(server.requests(), 0, "nothing is fetched before a token comes");
    let token = key.sign(&claims("alice"));
    let all = (0..50).map(|_| name(&verifier, &token));
    for each in futures_util::future::join_all(all).await {
        assert_eq!(each.unwrap(), "alice");
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn s24_keys_come_over_tls_from_a_server_that_is_trusted() {
    let (key, authority) = (Key::new("1"), Authority::default());
    let server = JwksServer::secure(set(&[&key]), &authority).await;
    assert!(server.url().starts_with("https://"));
    let trusting = bounds().with(|c| c.root_certificates = authority.pem().into());
    assert!(accepted(&of(&server.url(), trusting), &key).await);
    // By another authority, nobody is let in, and it is no fault of the token.
    let other = Authority::default();
    for roots in [Vec::new(), other.pem().into()] {
        let config = bounds().with(|c| c.root_certificates = roots);
        let refused = name(&of(&server.url(), config), &key.sign(&claims("alice"))).await;
        assert_eq!(refused, Err(Code::InternalError));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn s24_a_new_key_is_accepted_within_a_minute_and_one_rotated_away_refused_after_the_refresh() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let server = JwksServer::start(set(&[&old])).await;
    let verifier = of(&server.url(), bounds());
    assert!(accepted(&verifier, &old).await);
    server.answer(Answer::Keys(set(&[&old, &new])));
    pass(59).await;
    assert!(!accepted(&verifier, &new).await, "not before its time");
    pass(1).await;
    assert!(accepted(&verifier, &new).await);
    assert!(accepted(&verifier, &old).await);
    server.answer(Answer::Keys(set(&[&new])));
    pass(299).await;
    assert!(accepted(&verifier, &old).await, "until the keys are old");
    pass(1).await;
    assert!(!accepted(&verifier, &old).await);
    assert!(accepted(&verifier, &new).await);
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn s12_a_connection_is_closed_within_a_minute_after_its_key_was_withdrawn_and_no_other_one() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let keys = JwksServer::start(set(&[&old, &new])).await;
    let config = Config::default().with(|c| c.clock = clock());
    let runtime = agents::all(Runtime::builder()).config(config.clone()).build().unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(of(&keys.url(), bounds()))), &config);
    let token = |key: &Key| key.sign(&claims("alice"));
    let (mut theirs, mut others) = (server.connect(), server.connect());
    let welcome = theirs.hello(&token(&old), &FEATURES).await;
    others.hello(&token(&new), &FEATURES).await;
    // Nobody comes with a token meanwhile.
    pass(50).await;
    until("they are fetched", || keys.requests() == 2).await;
    theirs.ping("both are still there").await;
    keys.answer(Answer::Keys(set(&[&new])));
    pass(50).await;
    let close = theirs.closed().await;
    assert_eq!((close.code, close.reason.as_str()), (Close::POLICY, "UNAUTHENTICATED"));
    assert_eq!(keys.requests(), 3);
    others.ping("its key is still there").await;
    // The session is still theirs, with a token of another key.
    let mut again = server.connect();
    let refused = again.say_hello(resume(&token(&old), &welcome, 0)).await;
    assert_eq!(code(&refused), "UNAUTHENTICATED");
    let mut again = server.connect();
    let resumed = again.say_hello(resume(&token(&new), &welcome, 0)).await;
    assert_eq!(resumed["payload"]["session_id"], welcome["session_id"]);
}

#[tokio::test]
async fn keys_are_not_fetched_for_nobody() {
    let key = Key::new("1");
    let server = JwksServer::start(set(&[&key])).await;
    let verifier = of(&server.url(), bounds());
    let principal = verifier.verify(&key.sign(&claims("alice"))).await.unwrap();
    for fetched in [2, 3] {
        pass(50).await;
        until("they are fetched", || server.requests() == fetched).await;
    }
    drop(principal);
    for _ in 0..3 {
        pass(50).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn s23_unknown_kids_have_keys_fetched_once_a_minute_in_all_and_bad_ones_never() {
    let key = Key::new("1");
    let server = JwksServer::start(set(&[&key])).await;
    let verifier = of(&server.url(), bounds());
    let signed_as = |kid: &str| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        key.sign_as(&header, &claims("alice"))
    };
    let long = "k".repeat(1000);
    for kid in ["../../etc/passwd", "https://evil.test/k", "x' OR '1'='1", &long] {
        assert_eq!(name(&verifier, &signed_as(kid)).await, Err(Code::Unauthenticated));
    }
    let nameless = key.sign_as(&Header::new(Algorithm::ES256), &claims("alice"));
    assert_eq!(name(&verifier, &nameless).await, Err(Code::Unauthenticated));
    assert_eq!(server.requests(), 0, "nobody is asked for a kid that is none");
    assert!(accepted(&verifier, &key).await);
    for minute in 0..3 {
        for n in 0..100 {
            let token = signed_as(&format!("unknown-{minute}-{n}"));
            assert_eq!(name(&verifier, &token).await, Err(Code::Unauthenticated));
        }
        assert_eq!(server.requests(), 1 + minute);
        pass(60).await;
    }
    assert!(accepted(&verifier, &key).await);
}

#[tokio::test]
async fn s24_while_the_jwks_is_down_the_keys_of_before_count_for_a_day() {
    let (key, new) = (Key::new("1"), Key::new("2"));
    let server = JwksServer::start(set(&[&key])).await;
    let verifier = of(&server.url(), bounds());
    assert!(accepted(&verifier, &key).await);
    server.answer(Answer::Status(503));
    pass(300).await;
    assert!(accepted(&verifier, &key).await);
    assert_eq!(server.requests(), 2);
    // It is not asked again for each token.
    assert!(accepted(&verifier, &key).await);
    assert_eq!(server.requests(), 2);
    // A key that may be new is not refused for good.
    assert_eq!(name(&verifier, &new.sign(&claims("alice"))).await, Err(Code::InternalError));
    pass(86_400 - 301).await;
    assert!(accepted(&verifier, &key).await);
    pass(1).await;
    assert_eq!(name(&verifier, &key.sign(&claims("alice"))).await, Err(Code::InternalError));
    // And back.
    server.answer(Answer::Keys(set(&[&key, &new])));
    pass(10).await;
    assert!(accepted(&verifier, &key).await && accepted(&verifier, &new).await);
}

#[tokio::test]
async fn s24_a_jwks_that_is_down_from_the_beginning_is_told_as_what_may_pass() {
    let key = Key::new("1");
    let server = JwksServer::start(set(&[&key])).await;
    let verifier = of(&server.url(), bounds());
    server.answer(Answer::Silence);
    let (asks, token) = (verifier.clone(), key.sign(&claims("alice")));
    let asked = tokio::spawn(async move { asks.verify(&token).await });
    while server.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pass(60).await;
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.retryable()), (Code::InternalError, true));
    assert!(!error.message().contains("localhost"), "{error}");
    server.answer(Answer::Keys(set(&[&key])));
    pass(10).await;
    assert!(accepted(&verifier, &key).await);
}

#[tokio::test]
async fn s24_a_jwks_of_ten_megabytes_is_refused_whether_or_not_it_says_its_length() {
    let key = Key::new("1");
    let server = JwksServer::start(set(&[&key])).await;
    let verifier = of(&server.url(), bounds());
    assert!(accepted(&verifier, &key).await);
    for told in [true, false] {
        server.answer(Answer::Long(10 << 20, told));
        pass(300).await;
        // Its keys would be none.
        assert!(accepted(&verifier, &key).await);
    }
    assert_eq!(server.requests(), 3);
    server.answer(Answer::Long(200 << 10, false));
    pass(10).await;
    assert!(!accepted(&verifier, &key).await, "one of 200 KiB is taken as it is");
}

#[tokio::test]
async fn s24_a_redirect_is_no_key_set() {
    let (key, evil) = (Key::new("1"), Key::new("1"));
    let (server, elsewhere) = (JwksServer::start(set(&[&key])).await, JwksServer::start(set(&[&evil])).await);
    server.answer(Answer::Redirect(elsewhere.url()));
    let verifier = of(&server.url(), bounds());
    assert_eq!(name(&verifier, &evil.sign(&claims("alice"))).await, Err(Code::InternalError));
    assert_eq!((server.requests(), elsewhere.requests()), (1, 0));
}

#[tokio::test]
async fn s24_what_is_no_key_for_signatures_is_left_out_of_a_key_set() {
    let key = Key::new("good");
    let but = |name: &str, value: serde_json::Value| {
        let mut jwk = Key::new(&format!("bad-{name}")).jwk();
        jwk[name] = value;
        jwk
    };
    let secret = [7; 32];
    let keys = json!({ "keys": [
        but("use", json!("enc")),
        but("kty", json!("??")),
        but("crv", json!("P-521")),
        but("alg", json!("RS256")),
        but("kid", json!("../k")),
        { "kty": "oct", "kid": "shared", "alg": "HS256", "k": arcp_tests::issuer::part(secret) },
        7,
        key.jwk(),
    ] });
    let server = JwksServer::start(keys.to_string()).await;
    let verifier = of(&server.url(), bounds());
    assert!(accepted(&verifier, &key).await);
    // A secret that anybody can fetch is none.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("shared".to_owned());
    let token = jsonwebtoken::encode(&header, &claims("alice"), &EncodingKey::from_secret(&secret)).unwrap();
    assert_eq!(name(&verifier, &token).await, Err(Code::Unauthenticated));
    // Nor are other algorithms than the operator wants.
    let config = bounds().with(|c| c.algorithms = vec![Algorithm::RS256]);
    assert!(!accepted(&of(&server.url(), config), &key).await);
    // And too many keys are none at all.
    let config = bounds().with(|c| c.keys = 7);
    let refused = name(&of(&server.url(), config), &key.sign(&claims("alice"))).await;
    assert_eq!(refused, Err(Code::InternalError));
}

#[tokio::test]
async fn a_key_of_our_own_without_a_name_does_not_stand_before_those_of_an_issuer() {
    let (own, theirs) = (Key::new("1"), Key::new("2"));
    let server = JwksServer::start(set(&[&theirs])).await;
    let static_key = JwtKey::pem([Algorithm::ES256], own.pem().as_bytes()).unwrap();
    let verifier =
        verifier().key(static_key).jwks(Jwks::new(&server.url(), bounds()).unwrap()).build().unwrap();
    assert!(accepted(&verifier, &own).await && accepted(&verifier, &theirs).await);
    assert!(!accepted(&verifier, &Key::new("2")).await, "a stranger's of the same name");
    // Why one is refused is said by the key that signed it.
    for key in [&own, &theirs] {
        let refused = verifier.verify(&key.sign(&claims_at(1, "alice"))).await.unwrap_err();
        assert_eq!(refused.message(), "the token has expired");
    }
}

#[tokio::test]
async fn s12_a_key_that_is_replaced_under_its_name_is_withdrawn() {
    let (old, new) = (Key::new("same"), Key::new("same"));
    let keys = JwksServer::start(set(&[&old])).await;
    let config = Config::default().with(|c| c.clock = clock());
    let runtime = agents::all(Runtime::builder()).config(config.clone()).build().unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(of(&keys.url(), bounds()))), &config);
    let mut peer = server.open(&old.sign(&claims("alice")), &FEATURES).await;
    let before = keys.requests();
    keys.answer(Answer::Keys(set(&[&new])));
    pass(60).await;
    until("the keys are fetched again", || keys.requests() > before).await;
    assert_eq!(peer.closed().await.code, Close::POLICY);
    let mut peer = server.open(&new.sign(&claims("alice")), &FEATURES).await;
    peer.works().await;
}
