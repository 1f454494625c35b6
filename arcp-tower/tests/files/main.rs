//! Files that an agent opens under a lease, and how it would get out of it.
#![cfg(all(feature = "fs", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacks;
mod bounds;
mod race;
mod scene;
mod uses;
