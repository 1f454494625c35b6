//! Does what is due: revocations whose turn has come, intents that nobody made good, and credentials
//! that are about to expire while their job runs.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arcp_core::store::{CredentialQuery, CredentialRow, CredentialState, StoreError};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout};

use super::{Credentials, revoke};
use crate::clock::now as clock_now;
use crate::credential::{Handle, ProvisionError};

/// Rows of one read.
const PAGE: usize = 256;
/// The shortest time between two rounds.
const LEAST: Duration = Duration::from_millis(10);
/// How long the store is left alone when it does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the credentials of a runtime for as long as there is one.
pub(in crate::runtime) async fn keep(credentials: Weak<Credentials>) {
    let mut reconcile = Reconcile { at: Instant::now(), tries: 0 };
    loop {
        let Some(keeper) = credentials.upgrade() else { return };
        let mut wait = keeper.round().await;
        if Instant::now() >= reconcile.at {
            reconcile.done(keeper.reconcile().await, keeper.config.reconcile, keeper.config.revoke_backoff);
        }
        wait = wait.min(reconcile.at.saturating_duration_since(Instant::now())).max(LEAST);
        let wake = keeper.wake.clone();
        drop(keeper);
        let _ = timeout(wait, wake.notified()).await;
    }
}

/// When what is there is compared with what should be.
struct Reconcile {
    at: Instant,
    tries: u32,
}

impl Reconcile {
    fn done(&mut self, whole: bool, every: Duration, most: Duration) {
        self.tries = if whole { 0 } else { self.tries + 1 };
        let wait = if whole { every } else { revoke::backoff(self.tries, most) };
        self.at = Instant::from_std(clock_now()) + wait;
    }
}

impl Credentials {
    /// Does what is due; returns how long nothing will be.
    async fn round(self: &Arc<Self>) -> Duration {
        let longest = self.config.sweep.max(LEAST);
        let open = self.take_up_loose().await;
        let now = self.ledger.now();
        let query = CredentialQuery::Due { until: now.plus(longest), limit: PAGE };
        let page = match self.ledger.read(query).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "which credentials are due is not known");
                return RETRY;
            }
        };
        let (due, later): (Vec<_>, Vec<_>) = page.items.into_iter().partition(|row| row.due <= Some(now));
        let next = later.iter().filter_map(|row| row.due).min();
        let many = due.len() == PAGE;
        stream::iter(due)
            .for_each_concurrent(self.config.credential_calls.max(1), |row| self.see_to(row))
            .await;
        match next {
            _ if many => LEAST,
            _ if open => RETRY,
            Some(next) => {
                let millis = next.as_millis() - self.ledger.now().as_millis();
                Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(longest)
            }
            None => longest,
        }
    }

    async fn see_to(self: &Arc<Self>, row: CredentialRow) {
        if row.owner > self.ledger.owner {
            // A newer process has it.
            return;
        }
        match row.state {
            CredentialState::Revoking => self.try_row(&row).await,
            CredentialState::Live if self.held(&row.job).is_some() => self.refresh(&row).await,
            CredentialState::Intent | CredentialState::Live => self.revoke_loose(row).await,
            CredentialState::Revoked | CredentialState::Stuck => {}
        }
    }

    /// Revokes what services have under our names and we do not. `false` if that is not known of all.
    async fn reconcile(self: &Arc<Self>) -> bool {
        let mut whole = true;
        for (profile, provisioner) in &self.provisioners {
            let prefix = self.names.prefix();
            let listed = timeout(self.config.provision_timeout, provisioner.list(prefix)).await;
            let listed =
                listed.unwrap_or_else(|_| Err(ProvisionError::transient("the service was too slow")));
            // Read after it was listed: whatever was issued by then has its row.
            match (listed, self.open_names().await) {
                (Ok(listed), Ok(open)) => {
                    let strays =
                        listed.iter().filter(|h| h.name.starts_with(prefix) && !open.contains(&h.name));
                    for stray in strays {
                        whole &= self.revoke_stray(profile, stray).await;
                    }
                }
                (Err(error), _) => {
                    tracing::warn!(profile, %error, "which credentials a service has is not known");
                    whole = false;
                }
                (_, Err(error)) => {
                    tracing::warn!(profile, %error, "which credentials there should be is not known");
                    whole = false;
                }
            }
        }
        whole
    }

    async fn revoke_stray(&self, profile: &str, stray: &Handle) -> bool {
        let Some(provisioner) = self.provisioners.get(profile) else { return false };
        let said = timeout(self.config.provision_timeout, provisioner.revoke(stray)).await;
        match said.unwrap_or_else(|_| Err(ProvisionError::transient("the service was too slow"))) {
            Ok(_) => {
                tracing::warn!(name = stray.name, profile, "a credential that no job has was revoked");
                true
            }
            Err(error) => {
                tracing::warn!(name = stray.name, profile, %error, "a credential that no job has is not revoked yet");
                false
            }
        }
    }

    /// The names of credentials that may be in force.
    async fn open_names(&self) -> Result<HashSet<String>, StoreError> {
        let mut names = HashSet::new();
        self.each(|row| {
            if !matches!(row.state, CredentialState::Revoked) {
                names.insert(row.name);
            }
        })
        .await?;
        Ok(names)
    }

    /// Every row of the ledger.
    pub(super) async fn each(&self, mut see: impl FnMut(CredentialRow)) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.ledger.read(CredentialQuery::All { after: after.take(), limit: PAGE }).await?;
            after = page.items.last().map(|row| row.name.clone());
            page.items.into_iter().for_each(&mut see);
            if !page.more {
                return Ok(());
            }
        }
    }
}
