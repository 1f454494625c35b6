//! HTTP under a lease (§9.2): `net.fetch`.

use std::sync::Arc;

use arcp_core::lease::Namespace;
use arcp_core::{Code, Error, Json};
use bytes::Bytes;
use http::{Request, Response};

use super::Job;
use crate::operation::{Answer, Asked, Operation};

impl Job {
    /// Sends a request with what the operator gave the runtime with
    /// [`Builder::fetcher`](crate::Builder::fetcher). Each redirect is asked of the lease again. Events
    /// show the method, the address and the status, and neither headers nor bodies.
    ///
    /// ```
    /// # use arcp_tower::{AgentError, Job};
    /// async fn page(job: &Job) -> Result<usize, AgentError> {
    ///     let request = http::Request::get("https://api.example.com/v1/items").body(Default::default())?;
    ///     Ok(job.fetch(request).await?.into_body().len())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Job::tool`]; `PERMISSION_DENIED` also where an address or a redirect is not granted, and
    /// `INTERNAL_ERROR` that can be retried for faults of the network.
    pub async fn fetch(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let (parts, body) = request.into_parts();
        let args = Json::of(&serde_json::json!({ "method": parts.method.as_str() }))?;
        let mut operation =
            Operation::new(Namespace::NetFetch, &parts.uri.to_string(), args)?.with_content(body);
        operation.extensions.insert(Asked(Arc::new(parts)));
        let output = self.operate(operation).await?;
        let answer = output.extensions.get::<Answer>().map(|Answer(parts)| Response::clone(parts));
        let answer = answer.ok_or_else(|| Error::new(Code::InternalError, "the backend fetched nothing"))?;
        Ok(answer.map(|()| output.content.unwrap_or_default()))
    }
}
