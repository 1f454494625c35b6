//! What services say that was spent with the credentials of a delegated job: it decides what goes back to
//! the job that delegated it, whatever the agent reported (§10, §14).

use std::collections::BTreeMap;

use arcp_core::money::{Amount, Currency};
use arcp_core::store::CredentialRow;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::Credentials;
use super::held::Held;
use crate::credential::Handle;
use crate::lock::lock;

/// What was spent, currency by currency; `None` if nobody can say.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Spent(Option<BTreeMap<Currency, Amount>>);

impl Default for Spent {
    fn default() -> Self {
        Self(Some(BTreeMap::new()))
    }
}

impl Spent {
    pub(in crate::runtime) const UNKNOWN: Self = Self(None);

    pub(super) fn add(&mut self, more: Self) {
        let (Some(spent), Some(more)) = (&mut self.0, more.0) else { return *self = Self::UNKNOWN };
        for (currency, more) in more {
            let spent = spent.entry(currency).or_default();
            // Beyond what can be counted it is more than anybody has.
            *spent = spent.checked_add(more).unwrap_or(more.max(*spent));
        }
    }

    /// How much of `given` was, at the least; all of it if nobody can say.
    pub(in crate::runtime) fn of(&self, currency: &Currency, given: Amount) -> Amount {
        match &self.0 {
            Some(spent) => spent.get(currency).copied().unwrap_or_default(),
            None => given,
        }
    }

    pub(in crate::runtime) fn iter(&self) -> impl Iterator<Item = (&Currency, Amount)> {
        self.0.iter().flatten().map(|(currency, amount)| (currency, *amount))
    }
}

impl Credentials {
    /// What was spent with a credential that is still in force. Nobody is asked for a job that was not
    /// delegated: nothing goes back to anybody.
    pub(super) async fn spent_with(&self, held: &Held, row: &CredentialRow) -> Spent {
        if held.record.parent.is_none() {
            return Spent::default();
        }
        let Some(provisioner) = self.provisioners.get(&row.profile) else { return Spent::UNKNOWN };
        let handle = Handle::new(row.name.as_str(), row.handle.clone());
        // A service that hangs leaves time to revoke.
        let patience = self.config.provision_timeout.min(self.config.revoke_wait / 2);
        match timeout(patience, provisioner.spent(&handle)).await {
            Ok(Ok(spent)) => Spent(Some(spent.unwrap_or_default())),
            Ok(Err(error)) => {
                let error = error.message();
                tracing::warn!(name = row.name, error, "what was spent with a credential is not known");
                Spent::UNKNOWN
            }
            Err(_) => {
                tracing::warn!(name = row.name, "what was spent with a credential was not said in time");
                Spent::UNKNOWN
            }
        }
    }

    /// Asks for what was spent with the last credentials of a job.
    pub(super) async fn add_up(&self, held: &Held, rows: &[CredentialRow]) {
        let mut total = lock(&held.before).clone();
        for spent in join_all(rows.iter().map(|row| self.spent_with(held, row))).await {
            total.add(spent);
        }
        *lock(&held.total) = Some(total);
    }

    /// What was spent with all credentials that a job ever had. Until it is known, nobody can say.
    pub(super) fn total(held: &Held) -> Spent {
        lock(&held.total).clone().unwrap_or(Spent::UNKNOWN)
    }
}
