//! What the runtime carries out itself under a lease (§9).

#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(all(feature = "fs", unix))]
pub mod files;
#[cfg(any(feature = "fetch", feature = "fs"))]
mod granted;

#[cfg(any(feature = "fetch", feature = "fs"))]
pub use granted::Granted;
