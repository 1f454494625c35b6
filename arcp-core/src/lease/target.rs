//! What an operation is about, in its canonical form (§9.3).

use std::borrow::Cow;
use std::fmt;

use super::Namespace;
use super::canonical::{Unfit, name, other, path, url};
use crate::{Code, Error, Json};

/// The longest target, in bytes.
pub const MAX_TARGET: usize = 8 << 10;

/// The target of an operation: a path, a URL or a name in its one spelling.
///
/// The operation must then be carried out on [`Target::as_str`], not on the text that was parsed:
/// only that was checked. Names and canonical paths are borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a>(Kind<'a>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Name(Cow<'a, str>),
    Path(Cow<'a, str>),
    Url(Box<Located>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) text: String,
    pub(super) parts: url::Parts,
}

impl<'a> Target<'a> {
    /// Makes `text` canonical by the rules of `namespace`.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, since no lease covers what cannot be made canonical; the message and
    /// `details` name the namespace and the rule.
    pub fn parse(namespace: &Namespace, text: &'a str) -> Result<Self, Error> {
        Self::new(namespace, text).map_err(|unfit| {
            #[derive(serde::Serialize)]
            struct Details<'a> {
                namespace: &'a Namespace,
                rule: String,
            }
            let rule = unfit.to_string();
            let message = format!("a target of {} {rule}", namespace.as_str());
            let error = Error::new(Code::PermissionDenied, message);
            Json::of(&Details { namespace, rule }).into_iter().fold(error, Error::with_details)
        })
    }

    fn new(namespace: &Namespace, text: &'a str) -> Result<Self, Unfit> {
        if text.len() > MAX_TARGET {
            return Err(Unfit("must have at most 8192 bytes"));
        }
        Ok(Self(match namespace {
            Namespace::FsRead | Namespace::FsWrite => Kind::Path(path::canonical(text)?),
            Namespace::NetFetch => {
                if let Some(address) = other::canonical(text) {
                    return address.map(|address| Self(Kind::Name(address.into())));
                }
                let (text, parts) = url::canonical(text)?;
                Kind::Url(Box::new(Located { text, parts }))
            }
            Namespace::AgentDelegate => Kind::Name(name::bare(text)?.into()),
            _ => {
                name::check(text)?;
                Kind::Name(text.into())
            }
        }))
    }

    /// The canonical text: what the operation must use.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Name(text) | Kind::Path(text) => text,
            Kind::Url(url) => &url.text,
        }
    }

    /// The same, kept for itself.
    pub fn into_owned(self) -> Target<'static> {
        Target(match self.0 {
            Kind::Name(text) => Kind::Name(text.into_owned().into()),
            Kind::Path(text) => Kind::Path(text.into_owned().into()),
            Kind::Url(url) => Kind::Url(url),
        })
    }

    pub(super) fn kind(&self) -> &Kind<'a> {
        &self.0
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_has_no_canonical_form_is_denied_by_its_rule() {
        let denied = Target::parse(&Namespace::FsRead, "/ws/../../etc").unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        assert_eq!(denied.message(), "a target of fs.read must not lead above the root");
        let details = denied.details().unwrap().as_str();
        assert_eq!(details, r#"{"namespace":"fs.read","rule":"must not lead above the root"}"#);
        assert!(Target::parse(&Namespace::ToolCall, &"x".repeat(MAX_TARGET + 1)).is_err());
    }

    #[test]
    fn names_and_canonical_paths_are_borrowed() {
        let borrowed = |namespace, text| match Target::parse(&namespace, text).unwrap().0 {
            Kind::Name(text) | Kind::Path(text) => matches!(text, Cow::Borrowed(_)),
            Kind::Url(_) => false,
        };
        assert!(borrowed(Namespace::ToolCall, "search.web"));
        assert!(borrowed(Namespace::AgentDelegate, "web@1.0.0"));
        assert!(borrowed(Namespace::FsRead, "/ws/a"));
        assert!(!borrowed(Namespace::FsRead, "/ws/a/"));
    }
}
