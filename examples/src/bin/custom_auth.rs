//! An authenticator of one's own: API keys with what each may do, looked up by an async function, with
//! an ordinary layer around it.

use std::time::Duration;

use arcp_client::{Client, ConnectError, JobsFilter, RequestError};
use arcp_tower::core::{Code, Error};
use arcp_tower::{AuthLayer, Credentials, Job, Principal, Runtime, Scope, Scopes, agent_fn, auth_fn};
use axum::Router;
use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tower::ServiceBuilder;

/// Could be a query to a database.
async fn look_up(api_key: &str) -> Option<(&'static str, Scopes)> {
    tokio::task::yield_now().await;
    match api_key {
        "key-of-the-app" => Some(("acme", Scopes::default())),
        "key-of-the-dashboard" => Some(("acme", Scopes::from([Scope::Observe]))),
        _ => None,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let check = auth_fn(|credentials: Credentials| async move {
        let (name, scopes) = look_up(credentials.bearer()?)
            .await
            .ok_or_else(|| Error::new(Code::Unauthenticated, "no such key"))?;
        Ok::<_, Error>(Principal::new(name).with_scopes(scopes))
    });
    let patient = ServiceBuilder::new().timeout(Duration::from_secs(2)).service(check);
    let greet = agent_fn(|name: String, _: Job| async move { Ok(format!("hello {name}")) });
    let runtime = Runtime::builder().agent("greet", greet).build()?.layer(AuthLayer::new(patient));
    let app = Router::new().route("/arcp", arcp_axum::handler(runtime));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    let served = tokio::spawn(async move { axum::serve(listener, app).await });

    let client = Client::builder(&url).token("key-of-the-app").connect().await?;
    let mut job = client.submit("greet").input("world").send().await?;
    println!("app: {}", job.result().await?.decode::<String>()?);

    let dashboard = Client::builder(&url).token("key-of-the-dashboard").connect().await?;
    let jobs = dashboard.list_jobs(JobsFilter::new());
    println!("dashboard: sees {} job", jobs.count().await);
    match dashboard.submit("greet").input("world").send().await {
        Err(RequestError::Refused(error)) => println!("dashboard: a submit is {}", error.code()),
        other => return Err(format!("{other:?}").into()),
    }
    match Client::builder(&url).token("a-guess").connect().await {
        Err(ConnectError::Refused(error)) => println!("a guess: {}", error.code()),
        other => return Err(format!("{other:?}").into()),
    }
    client.close().await;
    dashboard.close().await;
    served.abort();
    Ok(())
}
