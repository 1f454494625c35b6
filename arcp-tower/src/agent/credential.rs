//! What an agent does with its job's credentials (§9.8).

use arcp_core::Error;
use arcp_core::id::CredentialId;

use super::Job;
use crate::credential::Credential;

impl Job {
    /// The credentials that were issued for the job, one of each provisioner that covers it. They are
    /// to be presented at their own [`endpoint`](Credential::endpoint) only, and asked for again rather
    /// than kept: the runtime rotates those of jobs that run for long. Once the job ends there are none.
    ///
    /// ```
    /// # fn f(job: &arcp_tower::Job) {
    /// for credential in job.credentials() {
    ///     let bearer = format!("Bearer {}", credential.value.expose());
    ///     // ... a request to `credential.endpoint` with it.
    /// #   let _ = bearer;
    /// }
    /// # }
    /// ```
    pub fn credentials(&self) -> Vec<Credential> {
        self.0.parts.credentials.of_job(self.id())
    }

    /// Has a credential replaced by a new one of the same id, and revokes the old one. Its submitter
    /// is told the new value, and whoever else watches only that there is one.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the job has no such credential; otherwise the new one was not issued, and
    /// the old one is still in force. `INTERNAL_ERROR` with the reason `limit` after more than
    /// [`Config::max_rotations`](crate::Config::max_rotations), or
    /// [`Config::rotation_rate`](crate::Config::rotation_rate) within a minute.
    pub async fn rotate_credential(&self, id: &CredentialId) -> Result<Credential, Error> {
        self.0.parts.credentials.rotate_for_agent(self.id(), id).await
    }
}
