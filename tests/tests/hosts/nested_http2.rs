//! Over a nested axum app with layers, on streams of HTTP/2.

#[path = "exercise.rs"]
mod exercise;
#[path = "rfc6455.rs"]
mod rfc6455;
