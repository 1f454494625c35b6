//! Files under a lease (§9.2): `fs.read` and `fs.write`.

use arcp_core::lease::Namespace;
use arcp_core::{Code, Error, Json};
use bytes::Bytes;

use super::Job;
use crate::operation::files::Entry;
use crate::operation::{Listing, Operation};

/// The files that a job's lease grants; see [`Job::fs`].
#[derive(Debug, Clone, Copy)]
pub struct JobFiles<'a>(&'a Job);

impl Job {
    /// Files, below what the operator gave the runtime with
    /// [`Builder::files`](crate::Builder::files). Paths are absolute.
    ///
    /// ```
    /// # use arcp_tower::{AgentError, Job};
    /// async fn copy(job: &Job) -> Result<(), AgentError> {
    ///     let text = job.fs().read("/workspace/README.md").await?;
    ///     Ok(job.fs().write("/workspace/COPY.md", text).await?)
    /// }
    /// ```
    pub fn fs(&self) -> JobFiles<'_> {
        JobFiles(self)
    }
}

impl JobFiles<'_> {
    /// What is in a file. Needs `fs.read`.
    ///
    /// # Errors
    /// As [`Job::tool`]; `PERMISSION_DENIED` also where the path leads out of what is granted, and
    /// `INVALID_REQUEST` with reason `not_found` where there is nothing.
    pub async fn read(&self, path: &str) -> Result<Bytes, Error> {
        let output = self.0.operate(Operation::new(Namespace::FsRead, path, Json::empty_object())?).await?;
        output.content.ok_or_else(|| Error::new(Code::InternalError, "the backend read nothing"))
    }

    /// Makes a file have this in it; its folder has to be there. Needs `fs.write`.
    ///
    /// # Errors
    /// As [`JobFiles::read`].
    pub async fn write(&self, path: &str, content: impl Into<Bytes>) -> Result<(), Error> {
        let operation = Operation::new(Namespace::FsWrite, path, Json::empty_object())?;
        self.0.operate(operation.with_content(content)).await.map(drop)
    }

    /// What is in a folder, in the order of the names. Needs `fs.read` for the folder.
    ///
    /// # Errors
    /// As [`JobFiles::read`].
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>, Error> {
        let mut operation =
            Operation::new(Namespace::FsRead, path, Json::of(&serde_json::json!({ "list": true }))?)?;
        operation.extensions.insert(Listing(Vec::new()));
        let output = self.0.operate(operation).await?;
        let listing = output.extensions.get::<Listing>().cloned();
        listing
            .map(|Listing(entries)| entries)
            .ok_or_else(|| Error::new(Code::InternalError, "the backend listed nothing"))
    }
}
