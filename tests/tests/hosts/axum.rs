//! Over axum.

#[path = "exercise.rs"]
mod exercise;
#[path = "rfc6455.rs"]
mod rfc6455;
