//! What a session may do, as far as its token says.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::Store;
use arcp_core::transport::Memory;
use arcp_tests::agents;
use arcp_tests::issuer::{self, Key, but, claims, verifier};
use arcp_tests::sessions::{FEATURES, code, resume};
use arcp_tests::stores::stores;
use arcp_tests::{Memories, Peer, features};
use arcp_tower::auth::jwt::JwtVerifier;
use arcp_tower::layer::Auth;
use arcp_tower::{Access, AuthLayer, Config, Observed, Principal, Runtime, Scope};
use serde_json::{Value, json};

struct Scene {
    key: Key,
    server: Memories<Auth<JwtVerifier, Runtime>>,
}

impl Scene {
    /// A runtime where an admin may watch what `alice` does, and list what `carol` does.
    async fn new(store: Option<Arc<dyn Store>>) -> Self {
        Self::with(store, |_| {}).await
    }

    async fn with(store: Option<Arc<dyn Store>>, change: impl FnOnce(&mut Config)) -> Self {
        let key = Key::new("1");
        let observe = |observer: &Principal| {
            if !observer.scopes().allow(Scope::Admin) {
                return Vec::new();
            }
            let of = |name: &str, access| Observed::new(Principal::new(name), access);
            vec![of("alice", Access::Watch), of("carol", Access::List)]
        };
        let config = Config::default().with(|c| c.clock = issuer::clock()).with(change);
        let builder = agents::all(Runtime::builder()).config(config.clone()).observe(observe);
        let runtime = match store {
            Some(store) => builder.store(store).open().await.unwrap(),
            None => builder.build().unwrap(),
        };
        let verifier = verifier().key(key.public()).build().unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(verifier)), &config);
        Self { key, server }
    }

    fn token(&self, name: &str, scope: &str) -> String {
        self.key.sign(&but(claims(name), "scope", json!(scope)))
    }

    async fn open(&self, name: &str, scope: &str) -> (Peer<Memory>, Value) {
        let mut peer = self.server.connect();
        let welcome = peer.hello(&self.token(name, scope), &FEATURES).await;
        (peer, welcome)
    }
}

async fn asked(peer: &mut Peer<Memory>, kind: &str, payload: Value) -> Value {
    let id = peer.send(kind, payload).await;
    peer.reply(&id).await
}

#[tokio::test(start_paused = true)]
async fn an_observer_lists_and_watches_and_can_neither_submit_nor_cancel() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let (mut owner, _) = scene.open("alice", "arcp:submit arcp:observe").await;
        let job = owner.submit("slow", json!({ "ms": 60_000 })).await;
        let (mut observer, _) = scene.open("alice", "arcp:observe").await;
        let refused = asked(&mut observer, "job.submit", json!({ "agent": "echo", "input": 1 })).await;
        assert_eq!(code(&refused), "PERMISSION_DENIED", "{refused}");
        // Whether the job is there or not: the same.
        for job in [job.as_str(), "job_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert_eq!(code(&observer.cancel(job).await), "PERMISSION_DENIED");
        }
        let jobs = asked(&mut observer, "session.list_jobs", json!({})).await;
        assert_eq!(jobs["payload"]["jobs"][0]["job_id"], job, "{jobs}");
        observer.subscribe(&job, true).await;
        assert_eq!(observer.job(&job).await.last().unwrap()["payload"]["result"], "slept");
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_only_submit_follows_its_own_jobs_and_sees_no_others() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let (mut other, _) = scene.open("alice", "arcp:submit").await;
        let theirs = other.submit("slow", json!({ "ms": 60_000 })).await;
        let (mut peer, _) = scene.open("alice", "arcp:submit").await;
        let listed = asked(&mut peer, "session.list_jobs", json!({})).await;
        assert_eq!(code(&listed), "PERMISSION_DENIED");
        let watched = asked(&mut peer, "job.subscribe", json!({ "job_id": theirs })).await;
        assert_eq!(code(&watched), "PERMISSION_DENIED");
        let job = peer.submit("echo", json!(7)).await;
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], 7);
        let job = peer.submit("slow", json!({ "ms": 60_000 })).await;
        assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn an_admin_cancels_what_it_may_watch_and_nothing_else() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let (mut alice, _) = scene.open("alice", "arcp:submit").await;
        let (mut bob, _) = scene.open("bob", "arcp:submit").await;
        let (mut carol, _) = scene.open("carol", "arcp:submit").await;
        let hers = alice.submit("slow", json!({ "ms": 60_000 })).await;
        let his = bob.submit("slow", json!({ "ms": 60_000 })).await;
        let listed = carol.submit("slow", json!({ "ms": 60_000 })).await;
        let (mut admin, _) = scene.open("root", "arcp:admin").await;
        assert_eq!(admin.cancel(&hers).await["type"], "job.cancelled");
        let end = alice.job(&hers).await.pop().unwrap();
        assert_eq!(end["payload"]["code"], "CANCELLED", "{end}");
        assert_eq!(code(&admin.cancel(&his).await), "JOB_NOT_FOUND");
        assert_eq!(code(&admin.cancel(&listed).await), "PERMISSION_DENIED");
        // One of his own principal's, of another session.
        let (mut second, _) = scene.open("root", "arcp:submit arcp:observe").await;
        let job = second.submit("slow", json!({ "ms": 60_000 })).await;
        let (mut third, _) = scene.open("root", "arcp:submit arcp:observe").await;
        assert_eq!(code(&third.cancel(&job).await), "PERMISSION_DENIED");
        assert_eq!(admin.cancel(&job).await["type"], "job.cancelled");
        // And it submits and lists as anybody.
        let job = admin.submit("echo", json!(7)).await;
        assert_eq!(admin.job(&job).await.last().unwrap()["payload"]["result"], 7);
        let jobs = asked(&mut admin, "session.list_jobs", json!({})).await;
        assert!(jobs.to_string().contains(&listed) && !jobs.to_string().contains(&his), "{jobs}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_scope_of_ours_opens_no_session_and_one_without_scopes_does_the_usual() {
    let scene = Scene::new(None).await;
    let mut peer = scene.server.connect();
    peer.send("session.hello", features(&scene.token("alice", "openid profile"), &[])).await;
    assert_eq!(code(&peer.next().await), "PERMISSION_DENIED");
    let mut peer = scene.server.connect();
    peer.hello(&scene.key.sign(&claims("alice")), &FEATURES).await;
    let job = peer.submit("echo", json!(7)).await;
    assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], 7);
    assert_eq!(asked(&mut peer, "session.list_jobs", json!({})).await["type"], "session.jobs");
}

#[tokio::test(start_paused = true)]
async fn a_resume_has_the_scopes_of_its_own_token() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let (mut peer, mut welcome) = scene.open("alice", "arcp:submit arcp:observe").await;
        peer.works().await;
        for (scope, submit, list) in [
            ("arcp:observe", "PERMISSION_DENIED", ""),
            ("arcp:submit", "", "PERMISSION_DENIED"),
            ("arcp:admin", "", ""),
        ] {
            let mut again = scene.server.connect();
            let hello = resume(&scene.token("alice", scope), &welcome, 0);
            again.send("session.hello", hello).await;
            let answer = again.next().await;
            assert_eq!(answer["type"], "session.welcome", "{answer}");
            welcome = again.welcomed(answer);
            let listed = asked(&mut again, "session.list_jobs", json!({})).await;
            assert_eq!(code(&listed), list, "{scope}: {listed}");
            let job = json!({ "agent": "unknown-agent", "input": 1 });
            let submitted = asked(&mut again, "job.submit", job).await;
            let expected = if submit.is_empty() { "AGENT_NOT_AVAILABLE" } else { submit };
            assert_eq!(code(&submitted), expected, "{scope}: {submitted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_with_a_token_that_grants_less_watches_only_what_that_one_allows() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let all = "arcp:submit arcp:observe arcp:admin";
        for (scope, watches) in [(all, true), ("arcp:submit arcp:observe", false), ("arcp:submit", false)] {
            let (mut alice, _) = scene.open("alice", "arcp:submit").await;
            let hers = alice.submit("chatty", json!({ "count": 10, "delay_ms": 1000 })).await;
            let (mut root, welcome) = scene.open("root", all).await;
            root.subscribe(&hers, false).await;
            let own = root.submit("slow", json!({ "ms": 3000 })).await;
            let seen = root.pick(|frame| frame["job_id"] == hers && frame["event_seq"].is_u64()).await;
            let last = seen["event_seq"].as_u64().unwrap();
            drop(root);
            let mut root = scene.server.connect();
            let again = root.say_hello(resume(&scene.token("root", scope), &welcome, last)).await;
            root.welcomed(again);
            let frames = root.during(Duration::from_secs(30)).await;
            let of = |job: &str| frames.iter().filter(|frame| frame["job_id"] == job).count();
            assert!(of(&own) > 0, "{scope}");
            assert_eq!(of(&hers) > 0, watches, "{scope}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_watched_any_more_is_not_replayed_either() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let (mut alice, _) = scene.open("alice", "arcp:submit").await;
        let hers = alice.submit("chatty", json!({ "count": 3 })).await;
        let (mut root, welcome) = scene.open("root", "arcp:submit arcp:admin").await;
        root.subscribe(&hers, true).await;
        let frames = root.job(&hers).await;
        drop(root);
        let mut root = scene.server.connect();
        let lesser = scene.token("root", "arcp:submit arcp:observe");
        root.send("session.hello", resume(&lesser, &welcome, 1)).await;
        assert_eq!(code(&root.next().await), "RESUME_WINDOW_EXPIRED");
        let mut root = scene.server.connect();
        let again = root.say_hello(resume(&scene.token("root", "arcp:admin"), &welcome, 1)).await;
        root.welcomed(again);
        assert_eq!(root.job(&hers).await, frames[1..]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_only_submit_keeps_the_job_that_repeating_a_submit_gave_it_over_a_resume() {
    for store in stores() {
        let scene = Scene::new(store).await;
        let submit = json!({ "agent": "slow", "input": { "ms": 60_000 }, "idempotency_key": "k" });
        let (mut first, _) = scene.open("alice", "arcp:submit").await;
        let job = first.submit_with(submit.clone()).await;
        drop(first);
        let (mut second, welcome) = scene.open("alice", "arcp:submit").await;
        assert_eq!(second.submit_with(submit).await, job);
        drop(second);
        let mut second = scene.server.connect();
        let again = second.say_hello(resume(&scene.token("alice", "arcp:submit"), &welcome, 0)).await;
        second.welcomed(again);
        assert_eq!(second.job(&job).await.last().unwrap()["payload"]["result"], "slept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_is_refused_for_what_it_may_watch_disturbs_nobody_and_leaves_nothing() {
    for store in stores() {
        let config = |c: &mut Config| c.max_sessions = 1;
        let scene = Scene::with(store.clone(), config).await;
        let (mut alice, _) = scene.open("alice", "arcp:submit").await;
        let hers = alice.submit("chatty", json!({ "count": 3 })).await;
        let (mut root, welcome) = scene.open("root", "arcp:submit arcp:admin").await;
        root.subscribe(&hers, true).await;
        root.job(&hers).await;
        let lesser = resume(&scene.token("root", "arcp:submit arcp:observe"), &welcome, 1);
        let mut other = scene.server.connect();
        other.send("session.hello", lesser).await;
        assert_eq!(code(&other.next().await), "RESUME_WINDOW_EXPIRED");
        root.works().await;
        if store.is_none() {
            continue;
        }
        // By another process, which does not know the session yet.
        let scene = Scene::with(store, config).await;
        let mut other = scene.server.connect();
        let lesser = resume(&scene.token("root", "arcp:submit arcp:observe"), &welcome, 1);
        other.send("session.hello", lesser).await;
        assert_eq!(code(&other.next().await), "RESUME_WINDOW_EXPIRED");
        let (mut fresh, _) = scene.open("root", "arcp:submit").await;
        fresh.works().await;
    }
}
