//! Over axum, on streams of HTTP/2.

#[path = "../sessions/bad_input/mod.rs"]
mod bad_input;
#[path = "exercise.rs"]
mod exercise;
#[path = "rfc6455.rs"]
mod rfc6455;
#[path = "rfc8441.rs"]
mod rfc8441;
