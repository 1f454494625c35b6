//! What a session may do, as far as its authenticator says.

use std::fmt;

use arcp_core::{Code, Error};

/// A right over commands. The runtime enforces them itself, below every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// List jobs, and watch them (§6.6, §7.6): its principal's, and those that the
    /// [`ObservePolicy`](crate::ObservePolicy) adds.
    Observe,
    /// Submit jobs (§7.1), and cancel those that its session submitted (§7.4).
    Submit,
    /// Both, and cancel every job that it may watch, whichever session submitted it.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Submit, Self::Admin];

    /// Its name: `observe`, `submit` or `admin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Observe => 1,
            Self::Submit => 2,
            Self::Admin => 4,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes. By default [`Scope::Observe`] and [`Scope::Submit`]: what whoever has a token of
/// an authenticator without scopes may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// None at all: such a principal gets no session.
    pub const NONE: Self = Self(0);

    /// Whether these allow what `scope` is for. [`Scope::Admin`] allows everything.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and `scope`.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// The scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// `PERMISSION_DENIED` unless these allow what `scope` is for.
    pub(crate) fn require(self, scope: Scope) -> Result<(), Error> {
        if self.allow(scope) {
            return Ok(());
        }
        let error = Error::new(Code::PermissionDenied, format!("this session has not the scope {scope}"));
        Err(error.with_detail("scope", scope.as_str()))
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::NONE.with(Scope::Observe).with(Scope::Submit)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<const N: usize> From<[Scope; N]> for Scopes {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_everything_and_the_others_only_what_they_are_for() {
        let allowed = |scopes: Scopes| Scope::ALL.map(|scope| scopes.allow(scope));
        assert_eq!(allowed([Scope::Observe].into()), [true, false, false]);
        assert_eq!(allowed([Scope::Submit].into()), [false, true, false]);
        assert_eq!(allowed([Scope::Admin].into()), [true; 3]);
        assert_eq!(allowed(Scopes::default()), [true, true, false]);
        assert_eq!(allowed(Scopes::NONE), [false; 3]);
    }
}
