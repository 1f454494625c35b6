//! The contract of a [`Store`] as tests, one function per rule: every store passes all of them.
//!
//! ```
//! # use std::sync::Arc;
//! # use arcp_core::store::{MemoryStore, Store, kit::{self, Bed}};
//! struct Memory;
//! impl Bed for Memory {
//!     fn fresh(&self) -> kit::Made<'_> {
//!         Box::pin(async { Arc::new(MemoryStore::default()) as Arc<dyn Store> })
//!     }
//! }
//! // As one test each: `arcp_core::contract_tests!(Memory);`, or all at once:
//! kit::block_on(kit::run_all(&Memory));
//! ```
// These are tests: what does not hold has to end them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod batches;
mod bounds;
mod credentials;
mod keys;
mod lab;
mod listing;
mod logs;
mod restart;
mod rests;
mod sessions;
mod trim;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_core::future::BoxFuture;

use super::Store;

pub use batches::*;
pub use bounds::*;
pub use credentials::*;
pub use keys::*;
pub use listing::*;
pub use logs::*;
pub use restart::*;
pub use rests::*;
pub use sessions::*;
pub use trim::*;

/// A store, when it is made.
pub type Made<'a> = BoxFuture<'a, Arc<dyn Store>>;

/// Makes the stores that are tested.
pub trait Bed: Sync {
    /// A store with nothing in it.
    fn fresh(&self) -> Made<'_>;

    /// Closes `store`, of which this is the only handle, and opens what it left. `None` if it leaves
    /// nothing.
    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
        drop(store);
        Box::pin(std::future::ready(None))
    }
}

/// Waits for `future` on this thread, without a runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Every rule, handed to a macro of the crate together with what it needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_rules {
    ($then:ident, $($with:tt)*) => {
        $crate::$then! { ($($with)*)
            a_batch_happens_as_a_whole_or_not_at_all,
            operations_of_a_batch_see_those_before_them,
            a_batch_has_an_effect_once_however_often_it_is_repeated,
            a_batch_that_was_refused_may_be_repeated,
            a_batch_beyond_the_caps_is_refused,
            an_owner_is_newer_than_any_before,
            all_that_join_share_a_secret,
            a_new_session_is_there_and_a_second_one_of_its_name_is_fenced,
            an_older_epoch_writes_nothing,
            a_session_of_another_principal_cannot_be_written,
            taking_a_session_over_leaves_its_numbers_alone,
            sessions_of_a_process_that_is_gone_lapse,
            a_session_is_found_by_its_current_and_its_previous_token,
            numbers_are_contiguous_and_begin_at_the_head,
                a_run_beyond_the_last_event_of_its_job_is_a_conflict,
            runs_come_in_pages_that_say_whether_there_is_more,
            an_ack_moves_forward_only_and_never_past_the_head,
            runs_that_were_acknowledged_are_below_the_floor,
            a_job_tells_its_last_number_in_the_session_that_submitted_it,
            a_feed_is_put_moves_and_is_dropped,
            a_job_is_put_once,
            a_job_of_another_principal_is_not_found,
            events_are_appended_at_the_head_by_the_owner_only,
            the_terminal_closes_the_log,
            events_come_back_as_they_were,
            events_come_in_pages_by_bytes_with_at_least_one,
            a_job_is_taken_over_from_the_owner_that_is_gone,
            that_a_job_will_be_cancelled_is_kept,
            what_was_noted_of_a_job_is_kept,
            orphans_are_jobs_of_older_owners_that_have_not_ended,
            a_key_that_is_there_comes_back_and_nothing_else_happens,
            a_key_belongs_to_its_principal,
            an_expired_key_is_free,
            a_dropped_key_is_free,
            a_credential_moves_from_state_to_state_by_compare_and_set,
            a_credential_of_somebody_else_or_of_another_job_is_not_written,
            credentials_are_found_by_job_by_what_is_due_and_by_name,
            revoked_credentials_go_and_stuck_ones_stay_longer,
            jobs_are_listed_newest_first_and_pages_do_not_overlap,
            a_listing_is_filtered_by_agent_status_and_time,
            a_listing_shows_nobody_elses_jobs,
            expired_sessions_go_with_all_they_have,
            expired_keys_go,
            ended_jobs_go_and_running_ones_stay,
            a_run_does_not_go_on_across_one_that_was_forgotten,
            acknowledged_events_go_and_the_floor_says_so,
            events_that_a_session_has_not_acknowledged_stay,
            events_that_a_session_has_yet_to_be_sent_stay,
            an_expired_session_holds_nothing_back,
            a_trim_keeps_to_its_limit_and_gets_done_in_the_end,
            ids_of_batches_are_forgotten_in_time,
            what_is_beyond_the_bytes_goes_oldest_first,
            what_went_for_one_bound_counts_for_the_next,
            what_nobody_needs_goes_before_what_was_not_acknowledged,
            what_is_forced_out_lifts_the_floor_of_who_was_sent_it,
            a_session_that_has_yet_to_be_sent_what_is_forced_out_goes,
            a_session_has_so_many_runs_at_the_most,
            ended_jobs_beyond_the_bytes_go_whole_and_running_ones_never,
            what_runs_drives_nothing_out,
            an_ended_job_that_a_session_needs_goes_after_those_that_none_does,
            an_ended_job_that_is_forced_out_lifts_the_floor_of_who_was_sent_it,
            ended_jobs_without_events_go_before_any_event,
            what_was_accepted_and_is_over_fills_no_store,
            everything_is_there_after_reopening,
            a_repeat_after_reopening_has_no_effect,
            fences_and_owners_hold_after_reopening,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_run_all {
    (($bed:ident) $($rule:ident,)*) => { $($rule($bed).await;)* };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    (($bed:expr, $block_on:path) $($rule:ident,)*) => {
        $(#[test]
        fn $rule() {
            $block_on($crate::store::kit::$rule(&$bed));
        })*
    };
}

/// One `#[test]` per rule of the contract, for the stores of a [`Bed`](crate::store::kit::Bed). A
/// store that needs a runtime names its own `block_on` as the second argument.
#[macro_export]
macro_rules! contract_tests {
    ($bed:expr) => {
        $crate::contract_tests!($bed, $crate::store::kit::block_on);
    };
    ($bed:expr, $block_on:path) => {
        $crate::__store_rules! { __store_tests, $bed, $block_on }
    };
}

/// Runs every rule, one after the other.
///
/// # Panics
/// If one does not hold.
pub async fn run_all(bed: &dyn Bed) {
    crate::__store_rules! { __store_run_all, bed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::store::flaky::FlakyStore;

    struct Memory;

    impl Bed for Memory {
        fn fresh(&self) -> Made<'_> {
            Box::pin(std::future::ready(Arc::new(MemoryStore::default()) as Arc<dyn Store>))
        }
    }

    /// The process ends, and what is behind the wrapper stays.
    struct Flaky;

    impl Bed for Flaky {
        fn fresh(&self) -> Made<'_> {
            let store = FlakyStore::new(MemoryStore::default());
            Box::pin(std::future::ready(Arc::new(store) as Arc<dyn Store>))
        }

        fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
            let store = FlakyStore::new(store);
            Box::pin(std::future::ready(Some(Arc::new(store) as Arc<dyn Store>)))
        }
    }

    mod memory {
        crate::contract_tests!(super::Memory);
    }

    mod flaky_without_a_plan {
        crate::contract_tests!(super::Flaky);
    }
}
