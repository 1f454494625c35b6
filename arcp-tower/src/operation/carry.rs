//! Files and HTTP as backends: from an operation to the library that carries it out.

use std::task::{Context, Poll};

use arcp_core::lease::{Namespace, Target};
use arcp_core::{Code, Error};
use futures_util::future::{BoxFuture, FutureExt as _};
use tower_service::Service;

use super::{Granted, Operation, Output};
use crate::telemetry;

/// What was asked for: a listing, and then what is in it.
#[cfg(all(feature = "fs", unix))]
#[derive(Debug, Clone)]
pub(crate) struct Listing(pub(crate) Vec<super::files::Entry>);

/// A request without its body, on its way to the backend.
#[cfg(feature = "fetch")]
#[derive(Debug, Clone)]
pub(crate) struct Asked(pub(crate) std::sync::Arc<http::request::Parts>);

/// A response without its body, on its way to the agent.
#[cfg(feature = "fetch")]
#[derive(Debug, Clone)]
pub(crate) struct Answer(pub(crate) std::sync::Arc<http::Response<()>>);

/// What the lease of an operation's job says of other targets: where a link leads, where a redirect
/// goes. Each is asked about as an operation is, after whatever this one waited for.
fn granted(operation: &Operation) -> Result<Granted, Error> {
    let unasked = || Error::new(Code::PermissionDenied, "no lease was asked for this operation");
    let job = operation.job().cloned().ok_or_else(unasked)?;
    let (namespace, asked) = (operation.namespace().clone(), operation.canonical().clone());
    Ok(Granted::asking(move |found| {
        let authority = job.authority();
        authority.in_force()?;
        let Ok(target) = Target::parse(&namespace, found) else { return Ok(false) };
        if authority.covers(&namespace, &target) {
            return Ok(true);
        }
        let already = target.as_str() == asked.as_str();
        let target = shown(&namespace, target.as_str());
        let message = format!("the lease has no {} for {target}", namespace.as_str());
        let denial = Error::new(Code::PermissionDenied, message);
        let audited = authority.only_audits(&denial);
        // What was asked for was counted, and told of, before it came here.
        if !already {
            telemetry::denied(&namespace, &denial);
            if audited {
                job.would_deny(&namespace, target, &denial);
            }
        }
        Ok(audited)
    }))
}

/// As much of a target that was found as may be told: the query of a redirect can be a key to what it
/// leads to.
fn shown<'a>(namespace: &Namespace, target: &'a str) -> &'a str {
    match target.split_once('?') {
        Some((address, _)) if *namespace == Namespace::NetFetch => address,
        _ => target,
    }
}

#[cfg(all(feature = "fs", unix))]
impl Service<Operation> for super::files::Files {
    type Response = Output;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Output, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        let files = self.clone();
        async move {
            let granted = granted(&operation)?;
            let path = operation.target();
            if *operation.namespace() == Namespace::FsWrite {
                let content = operation.content.clone().unwrap_or_default();
                let bytes = content.len();
                files.write(path, content, &granted).await?;
                return Output::of(&serde_json::json!({ "bytes": bytes }));
            }
            if operation.extensions.get::<Listing>().is_some() {
                let entries = files.list(path, &granted).await?;
                let mut output = Output::of(&serde_json::json!({ "entries": entries.len() }))?;
                output.extensions.insert(Listing(entries));
                return Ok(output);
            }
            let content = files.read(path, &granted).await?;
            let mut output = Output::of(&serde_json::json!({ "bytes": content.len() }))?;
            output.content = Some(content);
            Ok(output)
        }
        .boxed()
    }
}

#[cfg(feature = "fetch")]
impl Service<Operation> for super::fetch::Fetcher {
    type Response = Output;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Output, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        let fetcher = self.clone();
        async move {
            let granted = granted(&operation)?;
            let asked = operation.extensions.get::<Asked>();
            let Some(Asked(parts)) = asked else {
                return Err(Error::fault("operation", "is for Job::fetch to make"));
            };
            // The canonical address, and no other: clients disagree about the rest (§9.2).
            let uri: http::Uri =
                operation.target().parse().map_err(|_| Error::fault("operation", "must have an address"))?;
            let mut request = http::Request::new(operation.content.clone().unwrap_or_default());
            *request.method_mut() = parts.method.clone();
            *request.headers_mut() = parts.headers.clone();
            if let Some(job) = operation.job() {
                traced(request.headers_mut(), &job.trace_context());
            }
            *request.uri_mut() = uri;
            let response = fetcher.fetch(request, &granted).await?;
            let (parts, body) = response.into_parts();
            let said = serde_json::json!({ "status": parts.status.as_u16(), "bytes": body.len() });
            let mut output = Output::of(&said)?;
            output.content = Some(body);
            output.extensions.insert(Answer(std::sync::Arc::new(http::Response::from_parts(parts, ()))));
            Ok(output)
        }
        .boxed()
    }
}

/// Forwards the trace context (§11), unless the agent has a `traceparent` of its own.
#[cfg(feature = "fetch")]
fn traced(headers: &mut http::HeaderMap, context: &arcp_core::TraceContext) {
    let http::header::Entry::Vacant(free) = headers.entry("traceparent") else { return };
    let Ok(parent) = context.to_string().parse() else { return };
    free.insert(parent);
    if let Some(Ok(state)) = context.state().map(str::parse) {
        headers.insert("tracestate", state);
    }
}
