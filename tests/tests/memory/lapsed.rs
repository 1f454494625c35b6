//! What a session leaves behind that lapsed while its store had not answered yet.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_tests::{ALICE, ALL, features, sessions, timed};
use serde_json::json;
use tokio::time::sleep;

use super::floods::timeless;
use super::{alone, held};

#[test]
fn a_refusal_that_is_kept_after_its_session_lapsed_holds_nothing_of_it() {
    let _alone = alone();
    timeless().block_on(async {
        let config = timed(|c| {
            c.resume_window = Duration::from_secs(60);
            c.retention = Duration::from_secs(60);
            c.sweep = Duration::from_secs(10);
        });
        let store = Arc::new(FlakyStore::new(MemoryStore::default()));
        let server = sessions::start(Some(store.clone()), &config).await;
        let mut after = Vec::new();
        for round in 0..60 {
            let mut peer = server.connect();
            // So says the Python SDK, which is told of a refusal as of a job that ends at once, if it has others.
            let mut hello = features(ALICE, &ALL);
            hello["capabilities"]["agents"] = json!([]);
            let welcome = peer.say_hello(hello).await;
            peer.welcomed(welcome);
            peer.submit("slow", json!({ "ms": 120_000 })).await;
            sleep(Duration::from_secs(1)).await;
            let (step, hold) = Step::pass().answer_held();
            store.plan_commit(step);
            peer.submit("nobody", json!(round)).await;
            drop(peer);
            sleep(Duration::from_secs(600)).await;
            assert_eq!(store.inner().sessions(), 0, "it lapsed");
            hold.release();
            sleep(Duration::from_secs(3600)).await;
            after.push(held());
        }
        let more = after[59].saturating_sub(after[19]);
        assert!(more < 8 << 10, "{more} bytes more for 40 sessions that are gone");
    });
}
