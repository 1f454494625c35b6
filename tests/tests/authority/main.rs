//! What an agent may do: leases, budgets, delegation, credentials and the operations they guard.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod after_the_end;
mod budget_restart;
mod budgets;
mod credential_issue;
mod credential_restart;
mod credential_revocation;
mod credential_rotation;
mod credential_spent;
mod credentials;
mod delegation;
mod delegation_session;
mod files_and_requests;
mod lease_expiry;
mod litellm;
mod operations;
