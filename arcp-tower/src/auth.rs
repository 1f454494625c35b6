//! Who is calling, and what for (§6.1).

mod bearer;
mod credentials;
mod function;
mod host;
#[cfg(all(feature = "jwks", any(feature = "jwt-aws-lc-rs", feature = "jwt-rust-crypto")))]
pub mod jwks;
#[cfg(any(feature = "jwt-aws-lc-rs", feature = "jwt-rust-crypto"))]
pub mod jwt;
mod principal;
mod scope;

pub use bearer::BearerTokens;
pub use credentials::Credentials;
pub use function::{AuthFn, auth_fn};
pub use host::{HostSession, HostSessionOr};
pub use principal::Principal;
pub use scope::{Scope, Scopes};
