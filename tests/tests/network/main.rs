//! Faults of the network, on virtual time: a runtime behind axum, this project's client, which
//! reconnects by itself, and between them a proxy on a simulated network. Whatever happens on the
//! way, what a client's user sees has no gap, nothing twice, and each job's end once.
//!
//! Each test runs with several seeds. The schedule of a fault follows from the seed; a test that
//! fails says which it was, and `ARCP_NETWORK_SEED` runs that one alone; `ARCP_NETWORK_MORE=10` runs ten
//! times as many.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]
#![allow(unreachable_pub, reason = "rooms of one test")]

mod cut;
mod faults;
mod half_open;
mod herd;
mod plan;
mod proxy;
mod pump;
mod reorder;
mod replay;
mod rng;
mod schedule;
mod silence;
mod sim;
mod slow;
mod tap;
mod user;
