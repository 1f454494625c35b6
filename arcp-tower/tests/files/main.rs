//! Files that an agent opens under a lease, and how it would get out of it.
#![cfg(all(feature = "fs", target_os = "linux"))]
#![allow(missing_docs)]

mod attacks;
mod bounds;
mod race;
mod scene;
mod uses;
