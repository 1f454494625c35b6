//! What jobs that ended hold, where no store has them.

use std::time::Duration;

use arcp_tests::{ALICE, sessions, timed};
use serde_json::json;
use tokio::time::sleep;

use super::floods::timeless;
use super::{alone, drain, held};

#[test]
fn logs_that_outlive_their_jobs_for_a_session_are_bounded_by_their_bytes_too() {
    const BOUND: usize = 1 << 20;
    let _alone = alone();
    timeless().block_on(async {
        let config = timed(|c| {
            c.retention = Duration::from_secs(60);
            c.sweep = Duration::from_secs(10);
            c.max_ended_bytes = BOUND;
        });
        let server = sessions::start(None, &config).await;
        let (mut peer, _) = sessions::open(&server, ALICE).await;
        let mut before = 0;
        for round in 0..50 {
            peer.send("job.submit", json!({ "agent": "chatty", "input": { "count": 100, "bytes": 2000 } }))
                .await;
            assert!(drain(&mut peer).await >= 100);
            // Its time is over, and the session goes on.
            sleep(Duration::from_secs(90)).await;
            peer.ping("still here").await;
            if round == 0 {
                before = held();
            }
        }
        let more = held().saturating_sub(before);
        assert!(more < 2 * BOUND, "{more} bytes more");
    });
}
