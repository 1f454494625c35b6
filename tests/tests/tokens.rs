//! Resume tokens (§6.3): who may come back, how often, and what a refusal tells. Each on no store, on
//! one in memory, and on a file.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use arcp_core::transport::Close;
use arcp_tests::sessions::{code, cut_after, first, open, resume, resumed, say};
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, BOB};
use arcp_tower::Config;
use serde_json::{Value, json};

const GONE: &str = "RESUME_WINDOW_EXPIRED";

#[tokio::test(start_paused = true)]
async fn a_token_alone_lets_nobody_in() {
    for server in servers(&Config::default()).await {
        let (welcome, ..) = cut_after(&server, 1).await;
        let token = &welcome["payload"]["resume_token"];
        for auth in [json!(null), json!({ "scheme": "bearer", "token": "" })] {
            let payload = json!({
                "session_id": welcome["session_id"], "resume_token": token, "last_event_seq": 0, "auth": auth,
            });
            let (_, answer) = first(&server, "session.resume", payload).await;
            assert_eq!(code(&answer), "UNAUTHENTICATED");
        }
        resumed(&server, ALICE, &welcome, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_resume_is_the_same_and_the_session_stays() {
    for server in servers(&Config::default()).await {
        let (welcome, ..) = cut_after(&server, 3).await;
        let (_other, others) = open(&server, ALICE).await;
        let token = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
        let flipped =
            format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' });
        let mut cases: Vec<Value> = Vec::new();
        for wrong in [json!("rt_wrong"), json!(flipped), others["payload"]["resume_token"].clone(), json!("")]
        {
            let mut hello = resume(ALICE, &welcome, 0);
            hello["resume"]["resume_token"] = wrong;
            cases.push(hello);
        }
        let mut unknown = resume(ALICE, &welcome, 0);
        unknown["resume"]["session_id"] = json!("sess_00000000000000000000000000");
        cases.push(unknown);
        cases.push(resume(BOB, &welcome, 0));
        let mut seen = Vec::new();
        for hello in cases {
            let (mut peer, mut answer) = say(&server, hello).await;
            assert_eq!(peer.closed().await.code, Close::POLICY);
            // What differs by chance, and what the request said itself.
            for field in ["id", "session_id", "timestamp"] {
                answer.as_object_mut().unwrap().remove(field);
            }
            answer["payload"].as_object_mut().unwrap().remove("request_id");
            seen.push(answer.to_string());
        }
        assert!(seen[0].contains(GONE), "{}", seen[0]);
        assert!(seen.iter().all(|answer| *answer == seen[0]));
        resumed(&server, ALICE, &welcome, 4).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_that_was_presented_works_until_a_message_arrives_under_the_next() {
    for server in servers(&Config::default()).await {
        let (first, ..) = cut_after(&server, 3).await;
        // Any number of times.
        for _ in 0..5 {
            resumed(&server, ALICE, &first, 2).await;
        }
        let (mut peer, second) = resumed(&server, ALICE, &first, 2).await;
        peer.ping("under the second").await;
        drop(peer);
        let (_, refused) = say(&server, resume(ALICE, &first, 2)).await;
        assert_eq!(code(&refused), GONE);
        resumed(&server, ALICE, &second, 2).await;
    }
}
