//! How a job ended, from its last message.

use std::sync::Arc;

use arcp_core::id::ResultId;
use arcp_core::job::FinalStatus;
use arcp_core::wire::job::{JobError as ErrorPayload, JobResult};
use arcp_core::{Code, Error, JobId, Json, Timestamp};
use serde::de::DeserializeOwned;

use crate::error::JobFailure;

/// What came of a job that succeeded: an inline result, or a streamed one (§8.4).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JobOutcome {
    /// The job.
    pub job_id: JobId,
    /// The inline result; none if it is `null`, absent, or was streamed.
    pub result: Option<Json>,
    /// The streamed result's id.
    pub result_id: Option<ResultId>,
    /// The streamed result's size in bytes, as the runtime counts it.
    pub result_size: Option<u64>,
    /// A line for people.
    pub summary: Option<String>,
    /// When it ended, by the runtime's clock.
    pub completed_at: Option<Timestamp>,
    pub(crate) streamed: Option<Arc<Vec<u8>>>,
}

impl JobOutcome {
    /// The streamed result, assembled, if there was one.
    pub fn streamed(&self) -> Option<&[u8]> {
        self.streamed.as_deref().map(Vec::as_slice)
    }

    /// The streamed result, assembled; copied only if a clone of the outcome holds it too.
    pub fn into_streamed(self) -> Option<Vec<u8>> {
        self.streamed.map(Arc::unwrap_or_clone)
    }

    /// Decodes the result, inline or streamed, from its JSON. No result is `null`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the result is no JSON, or not a `T`; it names the place.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json = match (self.streamed(), &self.result) {
            (Some(bytes), _) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Error::fault("result", "must be UTF-8"))?;
                Json::parse(text).map_err(|_| Error::fault("result", "must be one JSON value"))?
            }
            (None, Some(json)) => json.clone(),
            (None, None) => Json::null(),
        };
        json.decode_at("result")
    }
}

/// The last message of a job.
#[derive(Debug, Clone)]
pub(crate) enum Terminal {
    Success(Box<JobResult>),
    Failure(JobFailure),
    /// There was one, so the job has ended, but it cannot be read.
    Unreadable(Error),
}

impl Terminal {
    /// Reads a `job.result`. Some runtimes send one for jobs that did not succeed.
    pub(crate) fn of_result(payload: &Json) -> Self {
        let result: JobResult = match payload.decode() {
            Ok(result) => result,
            Err(error) => return Self::Unreadable(error),
        };
        let (code, text) = match result.final_status {
            FinalStatus::Success => return Self::Success(Box::new(result)),
            FinalStatus::Cancelled => (Code::Cancelled, "the job was cancelled"),
            FinalStatus::TimedOut => (Code::Timeout, "the job's time was up"),
            FinalStatus::Error => (Code::InternalError, "the job ended with an error"),
        };
        let error = match result.summary {
            Some(summary) => Error::new(code, summary),
            None => Error::new(code, text),
        };
        Self::Failure(JobFailure { final_status: result.final_status, error })
    }

    /// Reads a `job.error` that ends a job. `cancelled`: the runtime said that it would cancel the
    /// job, and some then report the agent's own error.
    pub(crate) fn of_error(payload: &Json, cancelled: bool) -> Self {
        let payload: ErrorPayload = match payload.decode() {
            Ok(payload) => payload,
            Err(error) => return Self::Unreadable(error),
        };
        let error = payload.error();
        let final_status = match (payload.final_status, error.code()) {
            (FinalStatus::Error, Code::InternalError) if cancelled => FinalStatus::Cancelled,
            (FinalStatus::Error | FinalStatus::Success, Code::Cancelled) => FinalStatus::Cancelled,
            (FinalStatus::Error | FinalStatus::Success, Code::Timeout) => FinalStatus::TimedOut,
            (FinalStatus::Success, _) => FinalStatus::Error,
            (said, _) => said,
        };
        Self::Failure(JobFailure { final_status, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn outcome(result: Option<&str>, streamed: Option<&[u8]>) -> JobOutcome {
        JobOutcome {
            job_id: JobId::from_bits(1),
            result: result.map(json),
            result_id: None,
            result_size: None,
            summary: None,
            completed_at: None,
            streamed: streamed.map(|bytes| Arc::new(bytes.to_vec())),
        }
    }

    #[test]
    fn a_result_decodes_wherever_it_was() {
        assert_eq!(outcome(Some("[1,2]"), None).decode::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(outcome(None, Some(b"[1,2]")).decode::<Vec<u8>>().unwrap(), [1, 2]);
        outcome(None, None).decode::<()>().unwrap();
        assert!(outcome(None, Some(b"no json")).decode::<String>().is_err());
        assert!(outcome(None, Some(&[0xff])).decode::<String>().is_err());
    }

    #[test]
    fn a_result_that_is_no_success_is_a_failure() {
        for (status, code) in [("cancelled", Code::Cancelled), ("timed_out", Code::Timeout)] {
            let Terminal::Failure(failure) =
                Terminal::of_result(&json(&format!(r#"{{"final_status":"{status}"}}"#)))
            else {
                panic!("{status} must be a failure")
            };
            assert_eq!(failure.error.code(), code);
        }
    }

    #[test]
    fn after_a_cancellation_the_agents_own_error_counts_as_cancelled() {
        let payload = json(r#"{"code":"INTERNAL_ERROR","message":"aborted","retryable":true}"#);
        for (cancelled, wanted) in [(true, FinalStatus::Cancelled), (false, FinalStatus::Error)] {
            let Terminal::Failure(failure) = Terminal::of_error(&payload, cancelled) else {
                panic!("must be a failure")
            };
            assert_eq!(failure.final_status, wanted);
        }
    }
}
