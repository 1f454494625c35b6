//! How a job ended, as JSON.

use std::borrow::Cow;

use arcp_client::{JobError, JobOutcome};
use arcp_tower::core::{Json, job::FinalStatus};
use serde::Serialize;

/// The last line, or the only one.
#[derive(Serialize)]
pub(crate) struct End<'a> {
    job_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_status: Option<FinalStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
}

/// What went wrong.
#[derive(Serialize)]
pub(crate) struct ErrorLine<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: Cow<'a, str>,
    pub(crate) retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<&'a str>,
}

impl<'a> End<'a> {
    /// How `job_id` ended, which `session_id` submitted.
    pub(crate) fn of(
        job_id: &'a str,
        session_id: Option<&'a str>,
        end: &'a Result<JobOutcome, JobError>,
    ) -> Self {
        let mut line = Self {
            job_id,
            session_id,
            final_status: None,
            result: None,
            result_text: None,
            result_size: None,
            summary: None,
            error: None,
        };
        match end {
            Ok(outcome) => {
                line.final_status = Some(FinalStatus::Success);
                line.result = outcome.result.as_ref();
                line.result_text = outcome.streamed().map(String::from_utf8_lossy);
                line.result_size = outcome.result_size;
                line.summary = outcome.summary.as_deref();
            }
            Err(JobError::Ended(failure)) => {
                line.final_status = Some(failure.final_status);
                line.error = Some(ErrorLine {
                    code: failure.error.code().as_str(),
                    message: failure.error.message().into(),
                    retryable: failure.error.retryable(),
                    hint: None,
                });
            }
            Err(JobError::Damaged(why)) => {
                line.error = Some(ErrorLine {
                    code: why.code().as_str(),
                    message: why.message().into(),
                    retryable: false,
                    hint: None,
                });
            }
            Err(other) => {
                line.error = Some(ErrorLine {
                    code: "DISCONNECTED",
                    message: other.to_string().into(),
                    retryable: true,
                    hint: Some("the job may still run"),
                });
            }
        }
        line
    }
}
