//! The same tests over every host: what holds in one holds in all, to the last close code.
#![allow(clippy::duplicate_mod, reason = "the point of it: each host has all of them")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod actix;
mod axum;
mod axum_http2;
mod hyper;
mod hyper_http2;
mod nested;
mod nested_http2;
