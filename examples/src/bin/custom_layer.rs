//! A layer of one's own: it counts the commands of every session, and lets nobody use one agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use arcp_client::{Client, RequestError};
use arcp_tower::core::wire::job::Submit;
use arcp_tower::core::{Code, Error, MessageType};
use arcp_tower::{AuthLayer, BearerTokens, Job, Request, Response, Runtime, Service, agent_fn, each_session};
use axum::Router;
use futures_util::future::{Either, Ready, ready};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower::layer::layer_fn;

#[derive(Clone)]
struct Gate<S> {
    inner: S,
    commands: Arc<AtomicU64>,
}

impl<S: Service<Request, Response = Response, Error = Error>> Service<Request> for Gate<S> {
    type Response = Response;
    type Error = Error;
    type Future = Either<Ready<Result<Response, Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.commands.fetch_add(1, Ordering::Relaxed);
        let submit = request.message.kind == MessageType::Submit;
        match request.message.payload.decode::<Submit>() {
            Ok(asked) if submit && asked.agent.name() == "shred" => {
                Either::Left(ready(Err(Error::new(Code::PermissionDenied, "nobody may shred"))))
            }
            // What cannot be read is refused further in, and by name.
            _ => Either::Right(self.inner.call(request)),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let commands = Arc::new(AtomicU64::new(0));
    let counter = commands.clone();
    let upper = agent_fn(|text: String, _: Job| async move { Ok(text.to_uppercase()) });
    let shred = agent_fn(|(): (), _: Job| async move { Ok("gone") });
    let runtime = ServiceBuilder::new()
        .layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])))
        .layer(each_session(layer_fn(move |inner| Gate { inner, commands: counter.clone() })))
        .service(Runtime::builder().agent("upper", upper).agent("shred", shred).build()?);
    let app = Router::new().route("/arcp", arcp_axum::handler(runtime));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    let served = tokio::spawn(async move { axum::serve(listener, app).await });

    let client = Client::builder(url).token("secret").connect().await?;
    for text in ["one", "two"] {
        let mut job = client.submit("upper").input(text).send().await?;
        println!("upper: {}", job.result().await?.decode::<String>()?);
    }
    match client.submit("shred").send().await {
        Err(RequestError::Refused(error)) => println!("shred: refused with {}", error.code()),
        Err(other) => return Err(other.into()),
        Ok(job) => return Err(format!("{} should have been refused", job.id()).into()),
    }
    client.close().await;
    println!("commands: {}", commands.load(Ordering::Relaxed));
    served.abort();
    Ok(())
}
