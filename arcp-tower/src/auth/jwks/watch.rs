//! Keys that are withdrawn while sessions of their tokens go on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Jwks, Shared};
use crate::lock::lock;

impl Jwks {
    /// Somebody was let in: from now on it is looked at whether the keys are still there, as long as
    /// anybody is.
    pub(in crate::auth) fn watch(&self) {
        let mut watch = lock(&self.0.watch);
        // It ends with the runtime that it was begun on, too: a host may have several.
        if watch.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            *watch = Some(tokio::spawn(watching(Arc::downgrade(&self.0), self.0.config.withdrawal)));
        }
    }
}

async fn watching(shared: Weak<Shared>, every: Duration) {
    let mut wait = every;
    loop {
        sleep(wait).await;
        let Some(shared) = shared.upgrade() else { return };
        {
            let mut watch = lock(&shared.watch);
            if !lock(&shared.cache).is_in_use() {
                *watch = None;
                return;
            }
        }
        let _alone = shared.flight.lock().await;
        // A token that came meanwhile may have had them fetched.
        wait = lock(&shared.cache).wait(Instant::now(), every);
        if wait.is_zero() {
            shared.fetch().await;
            wait = every;
        }
    }
}
