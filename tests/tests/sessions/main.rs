//! Sessions: opening, cutting, resuming and ending them, and what strangers do to one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bad_input;
mod client;
mod control_frames;
mod floods;
mod forgetting;
mod late_resume;
mod not_negotiated;
mod profiles;
mod protection;
mod resume;
mod resume_audits;
mod resume_bounds;
mod take_over;
mod tokens;
mod transport_failures;
mod watched_again;
