//! A tool behind layers of its own: a time-out, a limit on how many calls run at once, and a layer of the
//! user's that refuses an operation. The agent reads what each of them said.

use std::task::{Context, Poll};
use std::time::Duration;

use arcp_examples::{Done, connect, serve};
use arcp_tower::core::{Code, Error};
use arcp_tower::operation::{Call, Operation, Output};
use arcp_tower::{BoxError, Job, Runtime, Service, agent_fn, tool_fn};
use futures_util::future::{Either, Ready, ready};
use tower::ServiceBuilder;

/// Refuses calls whose arguments have a word in them.
#[derive(Clone)]
struct Forbid<S> {
    inner: S,
    word: &'static str,
}

impl<S: Service<Operation, Response = Output, Error = BoxError>> Service<Operation> for Forbid<S> {
    type Response = Output;
    type Error = BoxError;
    type Future = Either<Ready<Result<Output, BoxError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        if operation.args.as_str().contains(self.word) {
            let refusal = Error::new(Code::PermissionDenied, format!("{} is not searched for", self.word));
            return Either::Left(ready(Err(refusal.into())));
        }
        Either::Right(self.inner.call(operation))
    }
}

#[tokio::main]
async fn main() -> Done {
    let search = tool_fn(|query: String, _: Call| async move {
        if query == "everything" {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Ok(format!("hits for {query}"))
    });
    let search = ServiceBuilder::new()
        .layer_fn(|inner| Forbid { inner, word: "passwords" })
        .timeout(Duration::from_millis(200))
        .concurrency_limit(2)
        .service(search);
    let agent = agent_fn(|(): (), job: Job| async move {
        let mut said = Vec::new();
        for query in ["tides", "passwords", "everything"] {
            said.push(match job.tool("search.web", query).await {
                Ok(found) => found.decode::<String>()?,
                Err(error) => format!("{query}: {error}"),
            });
        }
        Ok(said)
    });
    let url = serve(Runtime::builder().tool("search.web", search).agent("agent", agent)).await?;

    let client = connect(&url).await?;
    let mut job = client.submit("agent").lease("tool.call", ["search.web"]).send().await?;
    for line in job.result().await?.decode::<Vec<String>>()? {
        println!("{line}");
    }
    client.close().await;
    Ok(())
}
