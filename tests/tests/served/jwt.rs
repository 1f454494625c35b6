//! `arcp serve` with tokens that an issuer signs, and what of them is written anywhere (S41).

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};

use arcp_tests::authority::Authority;
use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::issuer::{AUDIENCE, ISSUER, Key, but, claims_at, set, today};
use arcp_tests::jwks::{Answer, JwksServer};
use serde_json::json;

const ASKED: [&str; 4] = ["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE];

/// `arcp serve`; what it logs goes to a file, with all there is.
fn serve(dir: &Path, args: &[&str]) -> Serving {
    let store = format!("sqlite:{}", dir.join("arcp.db").display());
    let mut serve = arcp(&["serve", "--port", "0", "--demo-agents", "--store", &store]);
    serve.args(args).env("RUST_LOG", "trace").stderr(File::create(dir.join("log")).unwrap());
    Serving::of(serve, false)
}

fn submit(server: &Serving, token: &str) -> Output {
    let mut submit = arcp(&["submit", "--url", &server.url, "--agent", "echo", "--input", "7", "--json"]);
    submit.env("ARCP_TOKEN", token).stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn a_key_in_a_file_says_who_is_let_in_and_scopes_what_for() {
    let (key, dir) = (Key::new("1"), tempfile::tempdir().unwrap());
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let claims = claims_at(today(), "alice");
    for (name, keys) in [("pem", key.pem()), ("jwk", key.jwk().to_string()), ("set", set(&[&key]))] {
        let server = serve(dir.path(), &[&["--jwt-key", &file(name, &keys)][..], &ASKED].concat());
        let done = submit(&server, &key.sign(&claims));
        assert_eq!(code(&done), Some(0), "{name}: {}", text(&done.stderr));
        let other = Key::new("1").sign(&claims);
        assert_eq!(code(&submit(&server, &other)), Some(4), "{name}");
        let elsewhere = key.sign(&but(claims.clone(), "aud", json!("other")));
        assert_eq!(code(&submit(&server, &elsewhere)), Some(4), "{name}");
    }
    let file = file("pem", &key.pem());
    let server = serve(dir.path(), &[&["--jwt-key", &file, "--jwt-scopes", "required"][..], &ASKED].concat());
    let observer = key.sign(&but(claims.clone(), "scope", json!("arcp:observe")));
    let refused = submit(&server, &observer);
    assert!(text(&refused.stdout).contains("PERMISSION_DENIED"), "{}", text(&refused.stdout));
    let jobs = arcp(&["jobs", "--url", &server.url]).env("ARCP_TOKEN", &observer).output().unwrap();
    assert_eq!(code(&jobs), Some(0), "{}", text(&jobs.stderr));
    assert_eq!(code(&submit(&server, &key.sign(&claims))), Some(4), "it has no scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_over_https_and_rotate_while_it_serves() {
    let (key, authority, dir) = (Key::new("1"), Authority::default(), tempfile::tempdir().unwrap());
    let keys = JwksServer::secure(set(&[&key]), &authority).await;
    let ca = authority.file(dir.path());
    let (url, ca) = (keys.url(), ca.to_str().unwrap());
    let server = serve(dir.path(), &[&["--jwks", &url, "--jwks-ca", ca][..], &ASKED].concat());
    let token = key.sign(&claims_at(today(), "alice"));
    let first = submit(&server, &token);
    assert_eq!(code(&first), Some(0), "{}", text(&first.stderr));
    // Down, it goes on with what it has.
    keys.answer(Answer::Status(500));
    assert_eq!(code(&submit(&server, &token)), Some(0));
    assert_eq!(code(&submit(&server, &Key::new("2").sign(&claims_at(today(), "alice")))), Some(4));
    assert_eq!(keys.requests(), 1);
}

#[test]
fn a_command_line_that_would_let_too_many_in_is_refused() {
    let (key, dir) = (Key::new("1"), tempfile::tempdir().unwrap());
    let file = dir.path().join("key.pem");
    std::fs::write(&file, key.pem()).unwrap();
    let file = file.to_str().unwrap();
    let base = ["serve", "--port", "0", "--store", "memory"];
    let short = dir.path().join("short");
    std::fs::write(&short, "too short").unwrap();
    for wrong in [
        &["--jwt-key", file][..],
        &["--jwt-key", file, "--jwt-issuer", ISSUER],
        &["--jwt-key", file, "--jwt-audience", AUDIENCE],
        &["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE],
        &[&["--jwt-key", file, "--token", "secret"][..], &ASKED].concat(),
        &[&["--jwt-key", file, "--jwt-algorithm", "none"][..], &ASKED].concat(),
        // A public key is no secret.
        &[&["--jwt-key", file, "--jwt-algorithm", "HS256"][..], &ASKED].concat(),
        &[&["--jwt-key", short.to_str().unwrap(), "--jwt-algorithm", "HS256"][..], &ASKED].concat(),
        &[&["--jwks", "http://login.example.com/jwks.json"][..], &ASKED].concat(),
    ] {
        let refused = run(&[&base[..], wrong].concat());
        assert_eq!(code(&refused), Some(2), "{wrong:?}: {}", text(&refused.stderr));
    }
}

#[test]
fn s41_no_bearer_token_is_in_the_log_the_store_or_the_output_whether_it_is_good_or_not() {
    let (key, dir) = (Key::new("1"), tempfile::tempdir().unwrap());
    let file = dir.path().join("key.pem");
    std::fs::write(&file, key.pem()).unwrap();
    let claims = claims_at(today(), "alice");
    let good = key.sign(&claims);
    let bad = Key::new("1").sign(&claims);
    let expired = key.sign(&but(claims.clone(), "exp", json!(today() - 3600)));
    let junk = "canary-cafe-0123456789.canary-cafe-0123456789";
    let mut said = Vec::new();
    let jwt = [&["--jwt-key", file.to_str().unwrap()][..], &ASKED].concat();
    for args in [&jwt[..], &["--token", "canary-static-0123456789=alice"]] {
        let mut server = serve(dir.path(), args);
        for token in [&good, &bad, &expired, junk, "canary-static-0123456789"] {
            let output = submit(&server, token);
            said.extend([output.stdout, output.stderr]);
        }
        server.signal("TERM");
        server.ended();
        said.push(std::fs::read(dir.path().join("log")).unwrap());
    }
    let log = said.last().unwrap().clone();
    assert!(String::from_utf8_lossy(&log).contains("session opened"), "it logs all there is");
    let kept = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    said.extend(kept.filter(|path| !path.ends_with("key.pem")).map(|path| std::fs::read(path).unwrap()));
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    for canary in [&signature(&good), &signature(&bad), &signature(&expired), "canary-"] {
        for text in &said {
            let found = text.windows(canary.len()).position(|window| window == canary.as_bytes());
            let around =
                found.map(|at| String::from_utf8_lossy(&text[at.saturating_sub(200)..at]).into_owned());
            assert!(found.is_none(), "{canary} after {around:?}");
        }
    }
}
