//! What is still to be said of an operation, whatever becomes of the agent that waits for it.

use std::collections::VecDeque;

use arcp_core::id::CallId;
use arcp_core::wire::event::ToolResult;
use arcp_core::{Code, Error};

use super::Job;
use crate::fault;
use crate::operation::{Cost, Output};

/// The result of a call, and what it cost. An agent that gives up waiting drops this, and it is said all the
/// same: without waiting for room, since there is nobody left to wait.
pub(super) struct Unsaid<'a> {
    job: &'a Job,
    /// Until the result was said.
    call_id: Option<CallId>,
    /// Once it is there.
    result: Option<ToolResult>,
    costs: VecDeque<Cost>,
    metric: &'static str,
    target: String,
}

impl<'a> Unsaid<'a> {
    pub(super) fn of(job: &'a Job, call_id: CallId, metric: &'static str, target: String) -> Self {
        Self { job, call_id: Some(call_id), result: None, costs: VecDeque::new(), metric, target }
    }

    /// The operation is over.
    pub(super) fn came(&mut self, outcome: &Result<Output, Error>) {
        let Some(call_id) = &self.call_id else { return };
        let (result, error) = match outcome {
            Ok(output) => {
                self.costs.extend(output.costs.iter().cloned());
                (Some(self.job.shown(&output.result)), None)
            }
            Err(error) => (None, Some(fault::cut(error.clone(), self.job.config()).body())),
        };
        self.result = Some(ToolResult { call_id: call_id.to_string(), result, error });
    }

    /// Says it, as there is room.
    pub(super) async fn say(mut self) -> Result<(), Error> {
        if let Some(result) = &self.result {
            let said = self.job.emit_body("tool_result", result).await;
            self.call_id = None;
            said?;
        }
        // One that is being reported is said by the report, and is none of what is left here.
        while let Some(Cost { currency, amount, .. }) = self.costs.pop_front() {
            self.job.report(self.metric, &self.target, &currency, amount).await?;
        }
        Ok(())
    }
}

impl Drop for Unsaid<'_> {
    fn drop(&mut self) {
        if let Some(call_id) = self.call_id.take() {
            let given_up = || {
                let error = Error::new(Code::Cancelled, "the agent gave the call up");
                ToolResult { call_id: call_id.to_string(), result: None, error: Some(error.body()) }
            };
            let result = self.result.take().unwrap_or_else(given_up);
            self.job.append("tool_result", &result);
        }
        for Cost { currency, amount, .. } in self.costs.drain(..) {
            self.job.report_now(self.metric, &self.target, &currency, amount);
        }
    }
}
