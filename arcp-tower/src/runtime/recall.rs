//! Sessions as a store remembers them (§6.3).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arcp_core::JobId;
use arcp_core::session::{Outbox, Run};
use arcp_core::store::{RunRow, SessionRow, Store, StoreError};
use futures_util::{StreamExt as _, TryStream, TryStreamExt as _, stream};

use super::{JobStream, Runtime};
use crate::auth::Principal;
use crate::config::Config;
use crate::observe::Access;
use crate::service::Remembered;

/// So many jobs are looked for at once.
const AT_ONCE: usize = 16;

/// Logs by their jobs.
pub(super) type Logs = HashMap<JobId, Arc<JobStream>>;

/// The numbers of a session. Those beyond what may be remembered are forgotten, oldest first.
pub(super) async fn outbox(
    store: &dyn Store,
    row: &SessionRow,
    config: &Config,
) -> Result<Outbox, StoreError> {
    let (mut runs, mut after) = (Vec::new(), 0);
    loop {
        let page = store.runs(&row.id, after, config.read_runs.max(1)).await?;
        after = page.items.last().map_or(after, |run| run.first + run.len - 1);
        runs.extend(page.items);
        if !page.more {
            break;
        }
    }
    let head = runs.last().map_or(row.head, |run: &RunRow| row.head.max(run.first + run.len - 1));
    let runs = runs.into_iter().map(|RunRow { first, len, job, from }| Run::new(first, len, job, from));
    let skip = runs.len().saturating_sub(config.max_runs);
    Ok(Outbox::restore(row.features, config.max_runs, head, row.acked, runs.skip(skip)))
}

/// The jobs of all that was numbered above `from`, if it can be sent again: nothing of it was forgotten or is
/// beyond what a session may remember.
pub(super) async fn replayable(
    store: &dyn Store,
    row: &SessionRow,
    from: u64,
    config: &Config,
) -> Result<Option<HashSet<JobId>>, StoreError> {
    let (mut next, mut many) = (from + 1, 0);
    let mut jobs = HashSet::new();
    // Only what was acknowledged may be gone: for each job, the first event that is asked for.
    let mut doubtful: HashMap<JobId, u64> = HashMap::new();
    loop {
        let page = store.runs(&row.id, next - 1, config.read_runs.max(1)).await?;
        if page.floor >= next {
            return Ok(None);
        }
        many += page.items.len();
        for run in page.items {
            if run.first > next {
                return Ok(None);
            }
            jobs.insert(run.job.clone());
            if next <= row.acked {
                doubtful.entry(run.job).or_insert(run.from + next - run.first);
            }
            next = run.first + run.len;
        }
        if !page.more {
            break;
        }
    }
    if next <= row.head || many > config.max_runs {
        return Ok(None);
    }
    for (job, first) in doubtful {
        let page = store.job_events(&job, first - 1, 1).await?;
        if page.floor >= first || page.items.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(jobs))
}

/// Everything that is needed to go on with a session from number `from`: only the logs that will be
/// replayed are looked up, since a session that does not acknowledge has any number of them. `principal` is
/// who goes on, with what it may do now; `logs` are those that are known already.
pub(super) async fn remembered(
    runtime: &Runtime,
    store: &dyn Store,
    row: &SessionRow,
    principal: &Principal,
    from: u64,
    mut logs: Logs,
) -> Result<Remembered, StoreError> {
    let outbox = outbox(store, row, &runtime.0.config).await?;
    let mut feeds = Vec::new();
    for feed in store.feeds(&row.id).await? {
        // One that it may not watch any more is not followed any more.
        let known = logs.get(&feed.job).cloned();
        let log = match known {
            Some(log) => Some(log),
            None => look(runtime, principal, &feed.job).await?,
        };
        if let Some(log) = log {
            logs.insert(feed.job, log.clone());
            feeds.push((log, feed.next, feed.own));
        }
    }
    let jobs: HashSet<JobId> = outbox.replay(from).into_iter().map(|run| run.job_id).collect();
    let jobs = jobs.into_iter().filter(|job| !logs.contains_key(job)).collect();
    // Of one that was forgotten meanwhile, the runs are there without it.
    let mut found = found(runtime, principal, jobs);
    while let Some(log) = found.try_next().await? {
        logs.extend(log.map(|log| (log.job_id().clone(), log)));
    }
    drop(found);
    Ok(Remembered { outbox, feeds, logs: logs.into_values().collect(), epoch: row.epoch })
}

/// The logs of all these jobs; `None` if one of them was forgotten, or may not be watched any more.
pub(super) async fn logs(
    runtime: &Runtime,
    principal: &Principal,
    jobs: HashSet<JobId>,
) -> Result<Option<Logs>, StoreError> {
    let mut logs = Logs::with_capacity(jobs.len());
    let mut found = found(runtime, principal, jobs);
    while let Some(log) = found.try_next().await? {
        let Some(log) = log else { return Ok(None) };
        logs.insert(log.job_id().clone(), log);
    }
    Ok(Some(logs))
}

/// The logs of jobs as they are found: several are looked for at once.
fn found(
    runtime: &Runtime,
    principal: &Principal,
    jobs: HashSet<JobId>,
) -> impl TryStream<Ok = Option<Arc<JobStream>>, Error = StoreError> + Unpin {
    let look = move |job| async move { look(runtime, principal, &job).await };
    Box::pin(stream::iter(jobs).map(look).buffer_unordered(AT_ONCE))
}

/// The log of a job: the one that is in memory, or one that reads from the store.
async fn look(
    runtime: &Runtime,
    principal: &Principal,
    job: &JobId,
) -> Result<Option<Arc<JobStream>>, StoreError> {
    // If it was forgotten, or may not be known of any more, what is left of it in the runs cannot be
    // replayed.
    let Some((record, Access::Watch)) = runtime.anywhere(principal, job).await? else { return Ok(None) };
    Ok(Some(record.log.clone()))
}
