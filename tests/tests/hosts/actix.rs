//! Over actix-web.

#[path = "../sessions/bad_input/mod.rs"]
mod bad_input;
#[path = "exercise.rs"]
mod exercise;
#[path = "rfc6455.rs"]
mod rfc6455;
