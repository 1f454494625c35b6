//! Tokens that an issuer signs: the runtime fetches the issuer's keys, and finds in each token who is
//! calling, and what for. Here the issuer is a route of the same server.

use std::time::{Duration, SystemTime};

use arcp_client::{Client, ConnectError, RequestError};
use arcp_tower::auth::jwks::{Jwks, JwksConfig};
use arcp_tower::auth::jwt::{Algorithm, JwtVerifier};
use arcp_tower::{AuthLayer, Job, Runtime, agent_fn};
use axum::{Json, Router, routing::get};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The issuer: a key, its public half where everybody can fetch it, and tokens for an hour.
    let key = rcgen::KeyPair::generate()?;
    let [x, y] = [1..33, 33..65].map(|half| BASE64_URL_SAFE_NO_PAD.encode(&key.public_key_raw()[half]));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "2026-w48", "x": x, "y": y });
    let exp = SystemTime::UNIX_EPOCH.elapsed()? + Duration::from_secs(3600);
    let sign = |audience: &str, scope: &str| {
        let header = Header { kid: Some("2026-w48".to_owned()), ..Header::new(Algorithm::ES256) };
        let claims = json!({ "iss": "https://issuer.example.com", "aud": audience, "scope": scope,
            "sub": "ann@example.com", "exp": exp.as_secs() });
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&key.serialize_der()))
    };

    // The runtime. An issuer elsewhere would have an address with https.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let verifier = JwtVerifier::builder()
        .issuer("https://issuer.example.com")
        .audience("arcp")
        .jwks(Jwks::new(&format!("http://{address}/jwks.json"), JwksConfig::default())?)
        .build()?;
    let whoami = agent_fn(|(): (), job: Job| async move { Ok(job.principal().name().to_owned()) });
    let runtime = Runtime::builder().agent("whoami", whoami).build()?.layer(AuthLayer::new(verifier));
    let keys = Json(json!({ "keys": [jwk] }));
    let app =
        Router::new().route("/jwks.json", get(|| async { keys })).route("/arcp", arcp_axum::handler(runtime));
    let served = tokio::spawn(async move { axum::serve(listener, app).await });

    let connect = |token: String| Client::builder(format!("ws://{address}/arcp")).token(token).connect();
    let client = connect(sign("arcp", "arcp:submit")?).await?;
    let mut job = client.submit("whoami").send().await?;
    println!("arcp:submit: {}", job.result().await?.decode::<String>()?);
    client.close().await;

    let observer = connect(sign("arcp", "openid arcp:observe")?).await?;
    match observer.submit("whoami").send().await {
        Err(RequestError::Refused(error)) => println!("arcp:observe: a submit is {}", error.code()),
        other => return Err(format!("{other:?}").into()),
    }
    observer.close().await;
    match connect(sign("another-service", "arcp:submit")?).await {
        Err(ConnectError::Refused(error)) => println!("for another service: {}", error.code()),
        other => return Err(format!("{other:?}").into()),
    }
    served.abort();
    Ok(())
}
