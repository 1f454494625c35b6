//! Tokens on the command line.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// `TOKEN` or `TOKEN=PRINCIPAL`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenArg {
    token: String,
    principal: Option<String>,
}

impl TokenArg {
    /// A token that nobody has heard of.
    pub(crate) fn made_up() -> anyhow::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self { token: hex(&bytes), principal: None })
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Whom it stands for: what it says, else `otherwise`, else a name of its own that does not
    /// give the token away.
    pub(crate) fn principal(&self, otherwise: Option<&str>) -> String {
        let own = || format!("token-{}", hex(&Sha256::digest(&self.token)[..4]));
        self.principal.clone().or_else(|| otherwise.map(str::to_owned)).unwrap_or_else(own)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Nobody can present a token that is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EmptyToken;

impl fmt::Display for EmptyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token must not be empty")
    }
}

impl std::error::Error for EmptyToken {}

/// A variable of the environment; one that is empty says nothing.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl FromStr for TokenArg {
    type Err = EmptyToken;

    /// Splits at the first `=` that a character of a name follows: base64 ends in `=`, too.
    fn from_str(text: &str) -> Result<Self, EmptyToken> {
        let named = |at: &usize| text[at + 1..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let at = text.match_indices('=').map(|(at, _)| at).find(named);
        let arg = match at {
            Some(at) => Self { token: text[..at].to_owned(), principal: Some(text[at + 1..].to_owned()) },
            None => Self { token: text.to_owned(), principal: None },
        };
        if arg.token.is_empty() { Err(EmptyToken) } else { Ok(arg) }
    }
}

impl fmt::Debug for TokenArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenArg").field("principal", &self.principal).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_splits_at_the_first_equals_sign_that_a_name_follows() {
        let cases = [
            ("demo=alice", "demo", "alice"),
            ("c2VjcmV0==alice@example.com", "c2VjcmV0=", "alice@example.com"),
            ("a=b=c", "a", "b=c"),
        ];
        for (text, token, principal) in cases {
            let arg: TokenArg = text.parse().unwrap();
            assert_eq!((arg.token(), arg.principal(None).as_str()), (token, principal), "{text}");
        }
    }

    #[test]
    fn an_empty_token_is_none() {
        for text in ["", "=alice"] {
            assert_eq!(text.parse::<TokenArg>(), Err(EmptyToken), "{text}");
        }
    }

    #[test]
    fn a_token_without_a_principal_is_one_of_its_own() {
        let arg: TokenArg = "c2VjcmV0==".parse().unwrap();
        assert_eq!(arg.token(), "c2VjcmV0==");
        assert_eq!(arg.principal(Some("me")), "me");
        let secret: TokenArg = "secret".parse().unwrap();
        assert_eq!(secret.principal(None), "token-2bb80d53");
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
