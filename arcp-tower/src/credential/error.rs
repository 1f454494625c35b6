//! Why a provisioner did not do what it was asked.

use std::fmt;

use arcp_core::{Code, Error};

/// Characters that are kept of a message: the texts of services are data, and may be anything.
const MOST: usize = 512;

/// Why a provisioner did not do what it was asked. The message is for operators, who find it in the
/// log and in the ledger; clients are never told. It must not name a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionError {
    kind: ProvisionErrorKind,
    message: String,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProvisionErrorKind {
    /// It may work later: the service could not be reached, was too slow, or had a fault.
    Transient,
    /// It will not work until somebody sees to it.
    Permanent,
    /// The service will spend no more.
    BudgetExhausted,
}

impl ProvisionError {
    /// It may work later.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::new(ProvisionErrorKind::Transient, message)
    }

    /// It will not work until somebody sees to it.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::new(ProvisionErrorKind::Permanent, message)
    }

    /// The service will spend no more.
    pub fn budget_exhausted(message: impl fmt::Display) -> Self {
        Self::new(ProvisionErrorKind::BudgetExhausted, message)
    }

    fn new(kind: ProvisionErrorKind, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let printable = message.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c });
        Self { kind, message: printable.collect() }
    }

    /// What follows from it.
    pub fn kind(&self) -> ProvisionErrorKind {
        self.kind
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.kind == ProvisionErrorKind::Transient
    }

    /// The text for operators: at most 512 characters, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a client is told.
    pub(crate) fn refusal(&self) -> Error {
        let refusal = match self.kind {
            ProvisionErrorKind::BudgetExhausted => {
                return Error::new(Code::BudgetExhausted, "the service's budget is exhausted");
            }
            // `INTERNAL_ERROR` says that a retry may help (§12), and this one does not.
            ProvisionErrorKind::Permanent => Error::new(
                Code::AgentNotAvailable,
                "the job's credentials cannot be issued until an operator has seen to it",
            ),
            ProvisionErrorKind::Transient => {
                Error::new(Code::InternalError, "the job's credentials could not be issued")
            }
        };
        refusal.with_detail("reason", "credentials")
    }
}

impl fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ProvisionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_service_is_one_short_line_and_no_client_sees_it() {
        let error = ProvisionError::transient(format!("a\nb\u{1b}[31m{}", "x".repeat(10_000)));
        assert!(error.message().starts_with("a b [31m") && error.message().len() == MOST);
        let refusal = error.refusal();
        assert!(refusal.retryable() && !refusal.message().contains("31m"));
        let refusal = ProvisionError::permanent("403 at https://gateway").refusal();
        assert!(!refusal.retryable() && !refusal.message().contains("403"));
        assert_eq!(refusal.code(), Code::AgentNotAvailable);
        assert_eq!(ProvisionError::budget_exhausted("").refusal().code(), Code::BudgetExhausted);
    }
}
