//! The budget of a child comes out of that of its parent (§10).

use std::collections::BTreeMap;
use std::sync::Arc;

use arcp_core::Error;
use arcp_core::money::{Amount, Currency};

use crate::runtime::JobAuthority;

/// Money on its way from a parent to a child.
pub(super) struct Given<'a> {
    parent: &'a Arc<JobAuthority>,
    pub(super) money: BTreeMap<Currency, Amount>,
    kept: bool,
}

impl<'a> Given<'a> {
    /// Takes all of it, or nothing.
    pub(super) fn take(
        parent: &'a Arc<JobAuthority>,
        money: BTreeMap<Currency, Amount>,
    ) -> Result<Self, Error> {
        let mut given = Self { parent, money: BTreeMap::new(), kept: false };
        for (currency, amount) in money {
            parent.give(&currency, amount)?;
            given.money.insert(currency, amount);
        }
        Ok(given)
    }

    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if !self.kept {
            for (currency, amount) in &self.money {
                self.parent.take_back(currency, *amount, Amount::ZERO);
            }
        }
    }
}
