//! Resume tokens (§6.3): who may come back, how often, and what a refusal tells. Each on no store, on
//! one in memory, and on a file.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_core::store::flaky::FlakyStore;
use arcp_core::transport::Close;
use arcp_core::{Code, Error};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{
    FEATURES, code, contiguous_from, cut_after, first, open, resume, resumed, say, start,
};
use arcp_tests::stores::{kept, servers, stores};
use arcp_tests::{ALICE, BOB, Memories, agents, features, timed};
use arcp_tower::{AuthLayer, Config, Credentials, Principal, Runtime};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

pub(crate) const GONE: &str = "RESUME_WINDOW_EXPIRED";

#[tokio::test(start_paused = true)]
async fn s12_a_token_alone_lets_nobody_in() {
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
async fn s9_t30_bad_input_21_every_refusal_of_a_resume_is_the_same_and_the_session_stays() {
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
        let mut unnamed = resume(BOB, &welcome, 0);
        unnamed["resume"].as_object_mut().unwrap().remove("session_id");
        cases.push(unnamed);
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
async fn s10_t23_the_token_that_was_presented_works_until_a_message_arrives_under_the_next() {
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

fn token(welcome: &Value) -> String {
    welcome["payload"]["resume_token"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn s8_each_welcome_has_a_token_of_256_random_bits() {
    let server = start(None, &Config::default()).await;
    let (mut first, mut next) = (HashSet::new(), HashSet::new());
    for _ in 0..30 {
        let (peer, welcome) = open(&server, ALICE).await;
        drop(peer);
        let (_, again) = resumed(&server, ALICE, &welcome, 0).await;
        first.insert(token(&welcome));
        next.insert(token(&again));
    }
    assert!(first.is_disjoint(&next));
    for tokens in [first, next] {
        assert_eq!(tokens.len(), 30);
        assert!(tokens.iter().all(|token| token.starts_with("rt_") && token.len() == "rt_".len() + 2 * 26));
        for place in 3..55 {
            let there: HashSet<u8> = tokens.iter().map(|token| token.as_bytes()[place]).collect();
            assert!(there.len() > 2, "place {place}: {there:?}");
        }
    }
}

#[tokio::test]
async fn s8_s41_a_file_holds_no_token_and_no_bearer_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default()).unwrap();
    let server = start(Some(Arc::new(store)), &Config::default()).await;
    let (mut peer, first) = open(&server, ALICE).await;
    peer.works().await;
    drop(peer);
    let (mut peer, second) = resumed(&server, ALICE, &first, 1).await;
    peer.works().await;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        files.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| files.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds(first["session_id"].as_str().unwrap()), "it is kept there");
    for secret in [&token(&first)[3..], &token(&second)[3..], ALICE] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test(start_paused = true)]
async fn s9_a_refusal_asks_the_store_the_same_whatever_is_wrong() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &Config::default()).await;
    let (welcome, ..) = cut_after(&server, 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut wrong = resume(ALICE, &welcome, 0);
    wrong["resume"]["resume_token"] = json!("rt_wrong");
    let mut unknown = resume(ALICE, &welcome, 0);
    unknown["resume"]["session_id"] = json!("sess_00000000000000000000000000");
    let mut costs = Vec::new();
    for hello in [wrong, unknown, resume(BOB, &welcome, 0)] {
        let before = store.calls();
        assert_eq!(code(&say(&server, hello).await.1), GONE);
        let after = store.calls();
        costs.push((after.reads - before.reads, after.commits - before.commits));
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[tokio::test(start_paused = true)]
async fn s11_bad_input_21_a_token_that_was_superseded_is_refused_and_disturbs_nobody() {
    for server in servers(&Config::default()).await {
        let (first, ..) = cut_after(&server, 3).await;
        let (mut live, second) = resumed(&server, ALICE, &first, 4).await;
        let job = live.submit("chatty", json!({ "count": 20, "delay_ms": 100 })).await;
        for _ in 0..3 {
            let (_, refused) = say(&server, resume(ALICE, &first, 4)).await;
            assert_eq!(code(&refused), GONE);
        }
        assert!(contiguous_from(5, &live.job(&job).await), "the connection that has it goes on");
        drop(live);
        resumed(&server, ALICE, &second, 25).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p5_the_token_and_the_one_before_it_both_outlive_a_restart() {
    for store in kept() {
        for lost in [true, false] {
            let server = start(Some(store.clone()), &Config::default()).await;
            let (first, ..) = cut_after(&server, 3).await;
            // Whether the client read the second welcome, nobody knows: no message came after it.
            let (peer, second) = resumed(&server, ALICE, &first, 4).await;
            drop((peer, server));
            let server = start(Some(store.clone()), &Config::default()).await;
            let (mut peer, _) = resumed(&server, ALICE, if lost { &first } else { &second }, 4).await;
            peer.works().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_token_was_confirmed_by_outlives_a_restart() {
    for store in kept() {
        let server = start(Some(store.clone()), &Config::default()).await;
        let (first, ..) = cut_after(&server, 3).await;
        let (mut peer, second) = resumed(&server, ALICE, &first, 4).await;
        peer.works().await;
        drop((peer, server));
        let server = start(Some(store), &Config::default()).await;
        assert_eq!(code(&say(&server, resume(ALICE, &first, 4)).await.1), GONE);
        resumed(&server, ALICE, &second, 4).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s12_the_bearer_is_asked_for_anew_at_each_resume() {
    for store in stores() {
        let valid = Arc::new(AtomicBool::new(true));
        let asked = valid.clone();
        let authenticator = service_fn(move |_: Credentials| {
            let valid = asked.load(Ordering::SeqCst);
            let known = valid.then(|| Principal::new("alice"));
            std::future::ready(known.ok_or_else(|| Error::new(Code::Unauthenticated, "it was revoked")))
        });
        let builder = agents::all(Runtime::builder());
        let runtime = match store {
            Some(store) => builder.store(store).open().await.unwrap(),
            None => builder.build().unwrap(),
        };
        let server = Memories::of(runtime.layer(AuthLayer::new(authenticator)), &Config::default());
        let mut peer = server.connect();
        let welcome = peer.hello(ALICE, &FEATURES).await;
        drop(peer);
        for (now, answer) in [(false, "UNAUTHENTICATED"), (true, ""), (false, "UNAUTHENTICATED")] {
            valid.store(now, Ordering::SeqCst);
            let said = server.connect().say_hello(resume(ALICE, &welcome, 0)).await;
            assert_eq!(code(&said), answer);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s12_a_connection_is_closed_when_its_credentials_end_and_resumed_with_others() {
    for store in stores() {
        let config = timed(|_| {});
        // Each is good for a minute from when it is seen.
        let clock = config.clock.clone();
        let authenticator = service_fn(move |_: Credentials| {
            let until = clock.wall().plus(Duration::from_secs(60));
            std::future::ready(Ok::<_, Error>(Principal::new("alice").until(until)))
        });
        let builder = agents::all(Runtime::builder()).config(config.clone());
        let runtime = match store {
            Some(store) => builder.store(store).open().await.unwrap(),
            None => builder.build().unwrap(),
        };
        let server = Memories::of(runtime.layer(AuthLayer::new(authenticator)), &config);
        let mut peer = server.connect();
        let mut welcome = peer.hello(ALICE, &FEATURES).await;
        let job = peer.submit("chatty", json!({ "count": 15, "delay_ms": 10_000 })).await;
        let mut seen = 0;
        for _ in 0..2 {
            let began = Instant::now();
            let close = peer.closed().await;
            assert_eq!((close.code, close.reason.as_str()), (Close::POLICY, "UNAUTHENTICATED"));
            assert!((60..62).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
            let said = peer.during(Duration::ZERO).await;
            assert_eq!(code(said.last().unwrap()), "UNAUTHENTICATED");
            seen = numbers(&said).last().copied().unwrap();
            peer = server.connect();
            let again = peer.say_hello(resume(ALICE, &welcome, seen)).await;
            welcome = peer.welcomed(again);
        }
        let rest = peer.job(&job).await;
        assert!(contiguous_from(seen + 1, &rest), "the job went on");
        assert_eq!(rest.last().unwrap()["payload"]["result"]["emitted"], 15);
    }
}

#[tokio::test(start_paused = true)]
async fn s12_credentials_that_are_taken_back_close_every_connection_that_they_opened_at_once() {
    let (login, other) = (CancellationToken::new(), CancellationToken::new());
    let (first, second) = (login.clone(), other.clone());
    let authenticator = service_fn(move |credentials: Credentials| {
        let alice = credentials.bearer() == Ok(ALICE);
        let (name, login) = if alice { ("alice", &first) } else { ("bob", &second) };
        std::future::ready(Ok::<_, Error>(Principal::new(name).until_cancelled(login.clone())))
    });
    let config = timed(|_| {});
    let runtime = agents::all(Runtime::builder()).config(config.clone()).build().unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(authenticator)), &config);
    let (mut one, mut two, mut bob) = (server.connect(), server.connect(), server.connect());
    for (peer, token) in [(&mut one, ALICE), (&mut two, ALICE), (&mut bob, BOB)] {
        peer.hello(token, &FEATURES).await;
    }
    let began = Instant::now();
    login.cancel();
    for peer in [&mut one, &mut two] {
        let close = peer.closed().await;
        assert_eq!((close.code, close.reason.as_str()), (Close::POLICY, "UNAUTHENTICATED"));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    bob.ping("is no affair of his").await;
    // Who comes with what was taken back already is not let stay.
    let mut late = server.connect();
    late.hello(ALICE, &FEATURES).await;
    assert_eq!(late.closed().await.code, Close::POLICY);
}

#[tokio::test(start_paused = true)]
async fn s13_a_hello_cannot_choose_its_session() {
    for server in servers(&Config::default()).await {
        let (mut victim, hers) = open(&server, ALICE).await;
        for chosen in [hers["session_id"].clone(), json!("sess_0CHOSEN0BY0THE0CLIENT0000")] {
            let mut peer = server.connect();
            let mut hello = features(ALICE, &FEATURES);
            hello["session_id"] = chosen.clone();
            let (_, mut message) = peer.message("session.hello", &hello);
            message["session_id"] = chosen.clone();
            peer.send_text(message.to_string()).await;
            let welcome = peer.next().await;
            assert_eq!(welcome["type"], "session.welcome");
            assert!(welcome["session_id"] != chosen && welcome["session_id"] != hers["session_id"]);
        }
        victim.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn s10_both_tokens_end_with_the_session() {
    for server in servers(&Config::default().with(|c| c.resume_window = Duration::ZERO)).await {
        let (mut peer, first) = open(&server, ALICE).await;
        // Taken over, so that it never was without a connection.
        let (second, again) = resumed(&server, ALICE, &first, 0).await;
        assert_eq!(peer.closed().await.code, Close::TAKEN_OVER);
        drop(second);
        tokio::time::sleep(Duration::from_secs(1)).await;
        for known in [&first, &again] {
            assert_eq!(code(&say(&server, resume(ALICE, known, 0)).await.1), GONE);
        }
    }
}
