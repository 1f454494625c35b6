//! Who is calling, and what for (§6.1).
//!
//! | authenticator | lets in who |
//! |---|---|
//! | [`BearerTokens`] | has one of a list of tokens |
//! | `jwt::JwtVerifier`, with `jwks::Jwks` | has a JSON Web Token of an issuer's |
//! | [`HostSession`] | is signed in to the host, by its middleware |
//! | [`auth_fn`], or any `Service<`[`Credentials`]`>` | you say |
//!
//! # Cookies
//!
//! A browser lets any page open a WebSocket to any host, sends the host's cookies along, and asks nobody: CORS
//! does not apply. What is done in such a session is done in the name of the user, by a page that is not the
//! user's (cross-site WebSocket hijacking, CWE-1385). Two lists stand against it, and both are empty by
//! default:
//!
//! - [`Config::allowed_origins`](crate::Config::allowed_origins): pages of other origins are refused at the
//!   upgrade with 403, whatever they present.
//! - The origins of [`HostSession`]: of those pages, the ones that may do without a token. An authenticator of
//!   your own that reads a cookie from [`HttpInfo`](crate::HttpInfo) relies on the first list alone: put only
//!   origins on it whose pages may act for whoever is signed in.

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
mod validity;

pub use bearer::BearerTokens;
pub use credentials::Credentials;
pub use function::{AuthFn, auth_fn};
pub use host::{HostSession, HostSessionOr};
pub use principal::Principal;
pub use scope::{Scope, Scopes};
pub(crate) use validity::Validity;
