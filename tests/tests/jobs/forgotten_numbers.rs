//! Watching on from a number of a session that is gone (§7.6): refused, and never the whole history again.

use std::time::Duration;

use arcp_tests::peer::numbers;
use arcp_tests::sessions::{code, open, start};
use arcp_tests::stores::kept;
use arcp_tests::{ALICE, timed};
use serde_json::json;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn who_watches_from_a_number_that_nobody_remembers_is_refused_and_from_nothing_has_all() {
    let config = timed(|c| {
        c.resume_window = Duration::from_secs(60);
        c.sweep = Duration::from_secs(10);
    });
    for restarted in [false, true] {
        for store in kept() {
            let mut server = start(Some(store.clone()), &config).await;
            let (mut owner, _) = open(&server, ALICE).await;
            let job = owner.submit("chatty", json!({ "count": 30, "delay_ms": 1 })).await;
            assert_eq!(owner.job(&job).await.len(), 31);
            owner.ack(31).await;
            sleep(Duration::from_secs(1)).await;
            drop(owner);
            // Everything was acknowledged: the session goes after its window, and the job stays for its time.
            sleep(Duration::from_secs(300)).await;
            if restarted {
                server = start(Some(store), &config).await;
            }
            let (mut watcher, _) = open(&server, ALICE).await;
            let asked = json!({ "job_id": job, "history": true, "from_event_seq": 20 });
            let id = watcher.send("job.subscribe", asked).await;
            let answer = watcher.reply(&id).await;
            let events = if code(&answer) == "RESUME_WINDOW_EXPIRED" {
                assert!(numbers(&watcher.during(Duration::from_secs(1)).await).is_empty());
                watcher.subscribe(&job, true).await;
                31
            } else {
                // The process that ran it may know its session's numbers still.
                assert!(!restarted, "{answer}");
                11
            };
            assert_eq!(watcher.job(&job).await.len(), events, "{restarted}");
        }
    }
}
