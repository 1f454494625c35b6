//! Tokens that are no good, each in its own way (S21 to S23, S25).

use arcp_core::{Code, Error};
use arcp_tests::issuer::{Key, NOW, RSA_PEM, RSA_TOKEN, but, claims, part, verifier};
use arcp_tests::sessions::code;
use arcp_tests::{Memories, features, runtime};
use arcp_tower::auth::jwt::{Algorithm, InvalidJwt, InvalidKey, JwtKey, JwtVerifier};
use arcp_tower::{AuthLayer, Config};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The name that a token stands for, or the code of its refusal.
async fn name(verifier: &JwtVerifier, token: &str) -> Result<String, Code> {
    let principal = verifier.verify(token).await;
    principal.map(|principal| principal.name().to_owned()).map_err(|e: Error| e.code())
}

/// What a client is answered that says hello with a token.
async fn knock(verifier: &JwtVerifier, token: &str) -> Value {
    let config = Config::default();
    let server = Memories::of(runtime(&config).layer(AuthLayer::new(verifier.clone())), &config);
    let mut peer = server.connect();
    peer.send("session.hello", features(token, &[])).await;
    peer.next().await
}

/// Nobody is let in with a token, and nobody is told of it.
async fn is_refused(verifier: &JwtVerifier, token: &str) {
    assert_eq!(name(verifier, token).await, Err(Code::Unauthenticated), "{token}");
    let answer = knock(verifier, token).await;
    assert_eq!(code(&answer), "UNAUTHENTICATED", "{answer}");
    assert!(!answer.to_string().contains(token), "{answer}");
}

fn es256(key: &Key) -> JwtVerifier {
    verifier().key(key.public()).build().unwrap()
}

/// A token by hand.
fn token(header: &Value, claims: &Value, signature: &str) -> String {
    format!("{}.{}.{signature}", part(header.to_string()), part(claims.to_string()))
}

#[tokio::test(start_paused = true)]
async fn s21_a_good_token_is_accepted_by_the_key_that_it_names_and_by_one_without_a_name() {
    let (key, other) = (Key::new("1"), Key::new("2"));
    let verifier = verifier().key(key.public()).key(other.public()).build().unwrap();
    for key in [&key, &other] {
        assert_eq!(name(&verifier, &key.sign(&claims("alice"))).await.unwrap(), "alice");
    }
    assert_eq!(knock(&verifier, &key.sign(&claims("alice"))).await["type"], "session.welcome");
    let nameless = JwtKey::pem([Algorithm::ES256], key.pem().as_bytes()).unwrap();
    let nameless = arcp_tests::issuer::verifier().key(nameless).build().unwrap();
    assert_eq!(name(&nameless, &key.sign(&claims("alice"))).await.unwrap(), "alice");
    is_refused(&nameless, &other.sign(&claims("alice"))).await;
}

#[tokio::test(start_paused = true)]
async fn s21_alg_none_is_refused_however_it_is_written() {
    let verifier = es256(&Key::new("1"));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "AAAA"] {
            is_refused(&verifier, &token(&json!({ "alg": none, "kid": "1" }), &claims("alice"), signature))
                .await;
        }
    }
    is_refused(&verifier, &token(&json!({ "kid": "1" }), &claims("alice"), "")).await;
}

#[tokio::test(start_paused = true)]
async fn s21_hs256_signed_with_the_rsa_public_key_is_refused() {
    let rsa = JwtKey::pem([Algorithm::RS256], RSA_PEM.as_bytes()).unwrap();
    let verifier = verifier().key(rsa).build().unwrap();
    assert_eq!(name(&verifier, RSA_TOKEN).await.unwrap(), "alice");
    let body: String = RSA_PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let der = EncodingKey::from_base64_secret(&body).unwrap();
    let pem = [RSA_PEM, RSA_PEM.trim_end()].map(|pem| EncodingKey::from_secret(pem.as_bytes()));
    for secret in pem.iter().chain([&der]) {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header::new(algorithm);
            is_refused(&verifier, &jsonwebtoken::encode(&header, &claims("alice"), secret).unwrap()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s21_hs256_signed_with_the_ec_public_key_is_refused() {
    let key = Key::new("1");
    let secret = EncodingKey::from_secret(key.pem().as_bytes());
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("1".to_owned());
    is_refused(&es256(&key), &jsonwebtoken::encode(&header, &claims("alice"), &secret).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn s21_an_algorithm_of_the_keys_kind_that_it_is_not_for_is_refused() {
    // The signature is right, and the operator wants PS256.
    let rsa = JwtKey::pem([Algorithm::PS256], RSA_PEM.as_bytes()).unwrap();
    is_refused(&verifier().key(rsa).build().unwrap(), RSA_TOKEN).await;
}

#[tokio::test(start_paused = true)]
async fn s21_a_signature_that_is_missing_or_of_another_key_or_of_other_claims_is_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    let good = key.sign(&claims("alice"));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    is_refused(&verifier, &format!("{signed}.")).await;
    is_refused(&verifier, signed).await;
    is_refused(&verifier, &format!("{signed}.{}", &signature[..signature.len() - 4])).await;
    is_refused(&verifier, &Key::new("1").sign(&claims("alice"))).await;
    let (header, _) = signed.split_once('.').unwrap();
    is_refused(&verifier, &format!("{header}.{}.{signature}", part(claims("bob").to_string()))).await;
}

#[tokio::test(start_paused = true)]
async fn s21_a_token_that_brings_its_key_or_has_critical_extensions_is_refused() {
    let (key, evil) = (Key::new("1"), Key::new("1"));
    let verifier = es256(&key);
    let header = |change: fn(&mut Header, &Key)| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("1".to_owned());
        change(&mut header, &evil);
        header
    };
    let headers = [
        header(|h, evil| h.jwk = serde_json::from_value(evil.jwk()).unwrap()),
        header(|h, _| h.jku = Some("https://evil.test/jwks.json".to_owned())),
        header(|h, _| h.x5u = Some("https://evil.test/cert.pem".to_owned())),
        header(|h, _| h.x5c = Some(vec!["AAAA".to_owned()])),
        header(|h, _| h.crit = Some(vec!["exp".to_owned()])),
    ];
    for header in headers {
        // Neither with the key that it brings, nor with the one that is known.
        is_refused(&verifier, &evil.sign_as(&header, &claims("alice"))).await;
        is_refused(&verifier, &key.sign_as(&header, &claims("alice"))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s22_no_audience_another_one_and_one_that_is_not_asked_for_are_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    for audience in
        [Value::Null, json!("other"), json!(["a", "b"]), json!([]), json!(""), json!(7), json!({})]
    {
        is_refused(&verifier, &key.sign(&but(claims("alice"), "aud", audience))).await;
    }
    let several = but(claims("alice"), "aud", json!(["other", "arcp"]));
    assert_eq!(name(&verifier, &key.sign(&several)).await.unwrap(), "alice");
    // A token for somebody else, where no audience is asked for.
    let anyones = JwtVerifier::builder().key(key.public()).build().unwrap();
    is_refused(&anyones, &key.sign(&but(claims("alice"), "exp", json!(4_102_444_800_u64)))).await;
}

#[tokio::test(start_paused = true)]
async fn s22_a_wrong_issuer_and_none_are_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    for issuer in [Value::Null, json!("https://evil.test"), json!("https://issuer.test/"), json!(7)] {
        is_refused(&verifier, &key.sign(&but(claims("alice"), "iss", issuer))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s22_an_expired_token_is_refused_after_the_leeway_and_says_so() {
    let key = Key::new("1");
    let verifier = es256(&key);
    let expires = |exp: Value| key.sign(&but(claims("alice"), "exp", exp));
    assert_eq!(name(&verifier, &expires(json!(NOW - 29))).await.unwrap(), "alice");
    // One that is good says until when, leeway included; at the latest that is the end of the year 9999.
    for (exp, until) in [(json!(NOW + 7), (NOW + 37) * 1000), (json!(1e15), 253_402_300_799_999)] {
        let principal = verifier.verify(&expires(exp)).await.unwrap();
        assert_eq!(u64::try_from(principal.valid_until().unwrap().as_millis()).unwrap(), until);
    }
    for exp in [json!(NOW - 30), json!(NOW - 3600), json!(0), json!(-1), json!(NOW - 31), Value::Null] {
        is_refused(&verifier, &expires(exp)).await;
    }
    let answer = knock(&verifier, &expires(json!(NOW - 3600))).await;
    assert_eq!(answer["payload"]["message"], "the token has expired", "{answer}");
}

#[tokio::test(start_paused = true)]
async fn s22_a_token_that_is_not_yet_valid_is_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    for claim in ["nbf", "iat"] {
        let begins = |at: u64| key.sign(&but(claims("alice"), claim, json!(at)));
        assert_eq!(name(&verifier, &begins(NOW + 30)).await.unwrap(), "alice");
        is_refused(&verifier, &begins(NOW + 31)).await;
        is_refused(&verifier, &begins(NOW + 3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s22_a_time_that_is_a_string_is_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    for claim in ["exp", "nbf", "iat"] {
        for time in [json!(format!("{NOW}")), json!(""), json!([NOW]), json!({}), json!(true)] {
            is_refused(&verifier, &key.sign(&but(claims("alice"), claim, time))).await;
        }
        let twice = json!({ "iss": "https://issuer.test" }).to_string();
        let both = format!("{},\"{claim}\":{NOW},\"{claim}\":\"1\"}}", &twice[..twice.len() - 1]);
        is_refused(&verifier, &format!("{}.{}.AAAA", part(r#"{"alg":"ES256","kid":"1"}"#), part(both))).await;
    }
    let fraction = but(claims("alice"), "exp", json!(1_800_000_000.5));
    assert_eq!(name(&verifier, &key.sign(&fraction)).await.unwrap(), "alice");
}

#[tokio::test(start_paused = true)]
async fn s22_a_token_of_nobody_is_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    let subjects =
        [Value::Null, json!(""), json!(7), json!(["alice"]), json!("a\nb"), json!("x".repeat(257))];
    for subject in subjects {
        is_refused(&verifier, &key.sign(&but(claims("alice"), "sub", subject))).await;
    }
    let by_mail = arcp_tests::issuer::verifier().key(key.public()).principal_claim("email").build().unwrap();
    let mail = but(claims("4711"), "email", json!("alice@example.com"));
    assert_eq!(name(&by_mail, &key.sign(&mail)).await.unwrap(), "alice@example.com");
    is_refused(&by_mail, &key.sign(&claims("4711"))).await;
}

#[tokio::test(start_paused = true)]
async fn s23_an_unknown_kid_and_one_with_path_sql_url_or_a_megabyte_are_refused() {
    let key = Key::new("1");
    let verifier = es256(&key);
    let megabyte = "k".repeat(1 << 20);
    for kid in ["2", "../../dev/null", "x' UNION SELECT '1", "https://evil.test/k", "", "1\0", &megabyte] {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        let token = key.sign_as(&header, &claims("alice"));
        assert_eq!(name(&verifier, &token).await, Err(Code::Unauthenticated), "{kid:.40}");
    }
    // A key with a name is for tokens that name it.
    is_refused(&verifier, &key.sign_as(&Header::new(Algorithm::ES256), &claims("alice"))).await;
}

#[tokio::test(start_paused = true)]
async fn s25_a_token_of_nine_kib_is_refused_and_one_of_eight_is_not() {
    let key = Key::new("1");
    let verifier = es256(&key);
    let padded = |bytes: usize| key.sign(&but(claims("alice"), "pad", json!("x".repeat(bytes))));
    let nine = padded(6600);
    assert!((8 << 10..10 << 10).contains(&nine.len()), "{}", nine.len());
    is_refused(&verifier, &nine).await;
    let eight = padded(5800);
    assert!((7 << 10..=8 << 10).contains(&eight.len()), "{}", eight.len());
    assert_eq!(name(&verifier, &eight).await.unwrap(), "alice");
}

#[tokio::test(start_paused = true)]
async fn s25_a_token_has_three_parts() {
    let key = Key::new("1");
    let verifier = es256(&key);
    let good = key.sign(&claims("alice"));
    for bad in
        [format!("{good}."), format!(".{good}"), good.replace('.', ""), "...".to_owned(), ".".repeat(8000)]
    {
        assert_eq!(name(&verifier, &bad).await, Err(Code::Unauthenticated), "{bad:.40}");
    }
}

#[test]
fn a_key_needs_algorithms_of_its_own_kind_and_a_secret_its_length() {
    let key = Key::new("1");
    let pem = key.pem();
    let of = |algorithms: &[Algorithm]| JwtKey::pem(algorithms, pem.as_bytes()).map(|_| ());
    assert_eq!(of(&[]), Err(InvalidKey::Algorithms));
    assert_eq!(of(&[Algorithm::HS256]), Err(InvalidKey::Algorithms));
    assert_eq!(of(&[Algorithm::ES256, Algorithm::RS256]), Err(InvalidKey::Algorithms));
    assert_eq!(of(&[Algorithm::RS256]), Err(InvalidKey::Unreadable));
    let secret = |bytes: usize, algorithm| JwtKey::secret([algorithm], &vec![7; bytes]).map(|_| ());
    assert_eq!(secret(31, Algorithm::HS256), Err(InvalidKey::Short));
    assert_eq!(secret(32, Algorithm::HS256), Ok(()));
    assert_eq!(secret(63, Algorithm::HS512), Err(InvalidKey::Short));
    assert_eq!(secret(64, Algorithm::RS256), Err(InvalidKey::Algorithms));
    assert_eq!(key.public().kid("../1").map(|_| ()), Err(InvalidKey::Kid));
    assert_eq!(verifier().build().map(|_| ()), Err(InvalidJwt::NoKey));
    let lenient = verifier().key(key.public()).leeway(std::time::Duration::from_secs(61));
    assert_eq!(lenient.build().map(|_| ()), Err(InvalidJwt::Leeway));
    assert!(!format!("{:?}", JwtKey::secret([Algorithm::HS256], &[b'z'; 32]).unwrap()).contains("zz"));
}

#[tokio::test(start_paused = true)]
async fn keys_come_as_jwk_too_and_a_secret_signs_for_those_who_share_it() {
    let key = Key::new("1");
    let jwk = JwtKey::jwk(&key.jwk().to_string()).unwrap();
    let by_jwk = verifier().key(jwk).build().unwrap();
    assert_eq!(name(&by_jwk, &key.sign(&claims("alice"))).await.unwrap(), "alice");
    let secret = [7; 32];
    let shared = verifier().key(JwtKey::secret([Algorithm::HS256], &secret).unwrap()).build().unwrap();
    let sign = |secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::default(), &claims("alice"), &key).unwrap()
    };
    assert_eq!(name(&shared, &sign(&secret)).await.unwrap(), "alice");
    is_refused(&shared, &sign(&[8; 32])).await;
}

proptest! {
    /// Whatever is presented, it is refused, and nothing panics.
    #[test]
    fn s25_no_text_is_accepted_by_chance(
        text in prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}"],
        flip in any::<prop::sample::Index>(),
    ) {
        let key = Key::new("1");
        let verifier = es256(&key);
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let name = |token: &str| tokio.block_on(name(&verifier, token));
        prop_assert_eq!(name(&text), Err(Code::Unauthenticated));
        // A good one with one letter changed.
        let mut token = key.sign(&claims("alice")).into_bytes();
        let at = flip.index(token.len() - 1);
        token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        prop_assert_eq!(name(std::str::from_utf8(&token).unwrap()), Err(Code::Unauthenticated));
    }
}
