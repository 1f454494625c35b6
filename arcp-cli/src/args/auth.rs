//! Tokens that an issuer signs.

use std::path::PathBuf;

use arcp_tower::auth::jwt::Algorithm;
use clap::ValueEnum;

/// JSON Web Tokens, instead of a list of tokens.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Issuers {
    /// Accept JSON Web Tokens that this key verifies: a public key as PEM, a JWK or a set of them, or
    /// a secret if `--jwt-algorithm` is one of secrets; may be given several times.
    #[arg(long, value_name = "FILE", group = "jwt", conflicts_with = "tokens",
        requires_all = ["jwt_issuer", "jwt_audience"])]
    pub(crate) jwt_key: Vec<PathBuf>,
    /// Accept JSON Web Tokens that the keys at this address verify; they are fetched, and again as
    /// the issuer rotates them.
    #[arg(long, value_name = "URL", group = "jwt", conflicts_with = "tokens",
        requires_all = ["jwt_issuer", "jwt_audience"])]
    pub(crate) jwks: Option<String>,
    /// Who issued the tokens: their `iss`.
    #[arg(long, value_name = "ISS", requires = "jwt")]
    pub(crate) jwt_issuer: Vec<String>,
    /// Whom they are for: their `aud`.
    #[arg(long, value_name = "AUD", requires = "jwt")]
    pub(crate) jwt_audience: Vec<String>,
    /// What they are signed with; may be given several times. Without it a key is for RS256, ES256 or
    /// `EdDSA`, by its kind, and a key that is fetched or a JWK for what it says itself.
    #[arg(long, value_name = "ALG", requires = "jwt", value_parser = algorithm)]
    pub(crate) jwt_algorithm: Vec<Algorithm>,
    /// The claim that names the principal.
    #[arg(long, value_name = "CLAIM", requires = "jwt", default_value = "sub")]
    pub(crate) jwt_principal: String,
    /// What a token may do: what its claim `scope` or `scp` names of arcp:observe, arcp:submit and
    /// arcp:admin.
    #[arg(long, value_enum, requires = "jwt", default_value_t = Scopes::IfPresent)]
    pub(crate) jwt_scopes: Scopes,
    /// Certificates, as PEM, that the keys' server is trusted by, too.
    #[arg(long, value_name = "FILE", requires = "jwks")]
    pub(crate) jwks_ca: Option<PathBuf>,
}

impl Issuers {
    /// Whether there is any.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.jwt_key.is_empty() || self.jwks.is_some()
    }
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scopes {
    /// What its claim names; a token without the claim may submit and observe.
    IfPresent,
    /// What its claim names; a token without the claim may do nothing.
    Required,
    /// Submit and observe.
    Ignored,
}

fn algorithm(text: &str) -> Result<Algorithm, &'static str> {
    text.parse().map_err(|_| "must be EdDSA, or HS, RS or PS with 256, 384 or 512, or ES with 256 or 384")
}
