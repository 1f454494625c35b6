//! `session.resume` on a connection that said hello before, and with what the upgrade brought (§6.3).

use std::sync::Arc;

use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::{Memory, memory};
use arcp_tests::sessions::{Stack, code, open, resume, resumed, start};
use arcp_tests::{ALICE, BOB, Memories, Peer, guarded};
use arcp_tower::{Config, HttpInfo, serve};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Value, json};

async fn servers() -> Vec<Memories<Stack>> {
    let stores: [Option<Arc<dyn Store>>; 2] = [None, Some(Arc::new(MemoryStore::default()))];
    let mut servers = Vec::new();
    for store in stores {
        servers.push(start(store, &Config::default()).await);
    }
    servers
}

/// A session of Alice that was cut after it read nothing of a job, and all frames of the job.
async fn cut(server: &Memories<Stack>) -> (Value, String, Vec<Value>) {
    let (mut peer, welcome) = open(server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": 5 })).await;
    let frames = peer.job(&job).await;
    (welcome, job, frames)
}

fn claim(welcome: &Value, last_event_seq: u64) -> Value {
    let payload = &welcome["payload"];
    json!({
        "session_id": welcome["session_id"],
        "resume_token": payload["resume_token"],
        "last_event_seq": last_event_seq,
    })
}

/// Sends a resume as it is, and reads the answer to it.
async fn ask(peer: &mut Peer<Memory>, payload: Value) -> Value {
    peer.send("session.resume", payload).await;
    loop {
        let frame = peer.next().await;
        if frame["type"] != "job.event" {
            return frame;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_said_hello_goes_on_with_the_session_that_it_resumes() {
    for server in servers().await {
        let (welcome, job, frames) = cut(&server).await;
        let (mut peer, fresh) = open(&server, ALICE).await;
        assert_ne!(fresh["session_id"], welcome["session_id"]);
        let again = ask(&mut peer, claim(&welcome, 2)).await;
        assert_eq!(again["type"], "session.welcome", "{again}");
        assert_eq!(again["session_id"], welcome["session_id"]);
        peer.welcomed(again.clone());
        assert!(peer.job(&job).await == frames[2..]);
        peer.works().await;
        // The token that came with it is the one that works from now on.
        drop(peer);
        resumed(&server, ALICE, &again, 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_before_a_late_resume_is_answered_before_it() {
    for server in servers().await {
        let (welcome, ..) = cut(&server).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let asked = peer.send("session.list_jobs", json!({})).await;
        peer.send("session.resume", claim(&welcome, 6)).await;
        assert_eq!(peer.next().await["payload"]["request_id"], json!(asked));
        assert_eq!(peer.next().await["type"], "session.welcome");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_resume_that_is_refused_leaves_both_sessions_as_they_were() {
    for server in servers().await {
        let (welcome, ..) = cut(&server).await;
        // Not Bob's session, not the token, not from there.
        let mut wrong = claim(&welcome, 2);
        wrong["resume_token"] = json!("rt_0000000000000000000000000000000000000000000000000000");
        for (token, payload, refusal) in [
            (BOB, claim(&welcome, 2), "RESUME_WINDOW_EXPIRED"),
            (ALICE, wrong, "RESUME_WINDOW_EXPIRED"),
            (ALICE, claim(&welcome, 99), "INVALID_REQUEST"),
            (ALICE, json!({ "last_event_seq": 1 }), "INVALID_REQUEST"),
        ] {
            let (mut peer, fresh) = open(&server, token).await;
            let answer = ask(&mut peer, payload).await;
            assert_eq!(code(&answer), refusal, "{answer}");
            peer.works().await;
            drop(peer);
            resumed(&server, token, &fresh, 0).await;
        }
        resumed(&server, ALICE, &welcome, 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_session_that_a_late_resume_leaves_keeps_its_jobs_and_can_be_resumed() {
    for server in servers().await {
        let (welcome, ..) = cut(&server).await;
        let (mut peer, fresh) = open(&server, ALICE).await;
        let job = peer.submit("echo", json!("mine")).await;
        let frames = peer.job(&job).await;
        assert_eq!(ask(&mut peer, claim(&welcome, 6)).await["type"], "session.welcome");
        let (mut other, _) = resumed(&server, ALICE, &fresh, 0).await;
        assert!(other.job(&job).await == frames);
    }
}

#[tokio::test(start_paused = true)]
async fn t11_bad_input_17_a_second_hello_is_refused_even_with_a_resume_in_it() {
    for server in servers().await {
        let (welcome, ..) = cut(&server).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let id = peer.send("session.hello", resume(ALICE, &welcome, 0)).await;
        assert_eq!(code(&peer.reply(&id).await), "INVALID_REQUEST");
        peer.works().await;
    }
}

/// A connection whose upgrade had this `Authorization`.
fn upgraded(stack: &Stack, authorization: &str) -> Peer<Memory> {
    let (client, server) = memory(64);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(authorization).unwrap());
    let mut extensions = http::Extensions::new();
    extensions.insert(HttpInfo::copied(&Uri::from_static("/arcp"), &headers));
    tokio::spawn(serve(server, stack.clone(), extensions, Config::default()));
    Peer::new(client, std::time::Duration::from_secs(10))
}

#[tokio::test(start_paused = true)]
async fn a_resume_without_a_bearer_is_let_in_with_the_upgrades_and_a_hello_is_not() {
    let stack = guarded(&Config::default());
    let server = Memories::of(stack.clone(), &Config::default());
    let (welcome, ..) = cut(&server).await;
    let mut hello = resume(ALICE, &welcome, 0);
    hello.as_object_mut().unwrap().remove("auth");
    for (authorization, kind, payload, expected) in [
        (format!("Bearer {BOB}"), "session.resume", claim(&welcome, 6), "RESUME_WINDOW_EXPIRED"),
        ("Bearer wrong".to_owned(), "session.resume", claim(&welcome, 6), "UNAUTHENTICATED"),
        (format!("Basic {ALICE}"), "session.resume", claim(&welcome, 6), "UNAUTHENTICATED"),
        (format!("Bearer {ALICE}"), "session.hello", json!({ "capabilities": {} }), "UNAUTHENTICATED"),
        (format!("Bearer {ALICE}"), "session.hello", hello, ""),
        (format!("bearer {ALICE}"), "session.resume", claim(&welcome, 6), ""),
    ] {
        let mut peer = upgraded(&stack, &authorization);
        peer.send(kind, payload).await;
        let answer = peer.next().await;
        assert_eq!(code(&answer), expected, "{authorization} {kind}: {answer}");
    }
    // What the frame says goes before what the upgrade said.
    let mut payload = claim(&welcome, 6);
    payload["auth"] = json!({ "scheme": "bearer", "token": BOB });
    let mut peer = upgraded(&stack, &format!("Bearer {ALICE}"));
    peer.send("session.resume", payload).await;
    assert_eq!(code(&peer.next().await), "RESUME_WINDOW_EXPIRED");
}
