//! What auditors read of resumes (§6.3), and how much of it there may be.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_tests::sessions::{code, cut_after, resume, resumed, say, start};
use arcp_tests::{ALICE, BOB};
use arcp_tower::Config;
use serde_json::{Value, json};

use super::tokens::GONE;

/// What a store keeps of resumes: who, whether, and why not.
fn resumes(store: &MemoryStore) -> Vec<Value> {
    let records = store.audit().into_iter().map(|(_, record)| record.decode::<Value>().unwrap());
    records.filter(|record| record["what"] == "session.resume").collect()
}

#[tokio::test(start_paused = true)]
async fn s45_every_resume_leaves_one_record_for_auditors_and_a_refusal_says_why_there_alone() {
    let store = Arc::new(MemoryStore::default());
    let server = start(Some(store.clone()), &Config::default()).await;
    let (welcome, ..) = cut_after(&server, 3).await;
    let wrong = |field: &str, value: &str| {
        let mut hello = resume(ALICE, &welcome, 0);
        hello["resume"][field] = json!(value);
        hello
    };
    let cases = [
        (wrong("resume_token", "rt_wrong"), "alice", "token"),
        (wrong("session_id", "sess_00000000000000000000000000"), "alice", "unknown"),
        (resume(BOB, &welcome, 0), "bob", "principal"),
        (resume(ALICE, &welcome, 99), "alice", "ahead"),
    ];
    for (hello, who, why) in cases {
        let before = resumes(&store).len();
        say(&server, hello.clone()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let records = resumes(&store);
        assert_eq!(records.len(), before + 1);
        let record = records.last().unwrap();
        assert_eq!(
            (&record["principal"], &record["allowed"], &record["why"]),
            (&json!(who), &json!(false), &json!(why))
        );
        assert_eq!(record["session_id"], hello["resume"]["session_id"]);
        assert!(!record.to_string().contains("rt_"), "no token is written down");
    }
    resumed(&server, ALICE, &welcome, 2).await;
    let record = resumes(&store).pop().unwrap();
    assert_eq!(
        record,
        json!({
            "what": "session.resume", "principal": "alice", "session_id": welcome["session_id"],
            "last_event_seq": 2, "allowed": true,
        })
    );
    assert_eq!(resumes(&store).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_trying_to_resume_does_not_fill_the_store_and_silences_nobody() {
    let store = Arc::new(MemoryStore::default());
    let server = start(Some(store.clone()), &Config::default().with(|c| c.audit_rate = 3)).await;
    let (welcome, ..) = cut_after(&server, 1).await;
    for _ in 0..50 {
        let (_, refused) = say(&server, resume(BOB, &welcome, 0)).await;
        assert_eq!(code(&refused), GONE, "refused all the same");
    }
    let (_, welcome) = resumed(&server, ALICE, &welcome, 0).await;
    let of = |who: &str| {
        resumes(&store).into_iter().filter(|record| record["principal"] == who).collect::<Vec<_>>()
    };
    assert_eq!((of("bob").len(), of("alice").len()), (3, 1));
    assert_eq!(of("alice")[0]["unrecorded"], 47, "how many left none is said");
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&server, resume(BOB, &welcome, 0)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(of("bob").len(), 4);
}
