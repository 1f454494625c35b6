//! `arcp serve --litellm`: a server with a gateway's keys, as a process that is killed.
#![cfg(unix)]

use std::path::Path;
use std::time::Duration;

use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::gateway::{ADMIN, Fault, Gateway};
use arcp_tests::vault::wanting;
use serde_json::json;
use tokio::time::{sleep, timeout};

fn serving(file: &Path, gateway: &Gateway) -> Serving {
    serving_with(file, gateway, &[])
}

fn serving_with(file: &Path, gateway: &Gateway, more: &[&str]) -> Serving {
    let (store, base) = (format!("sqlite:{}", file.display()), gateway.base());
    let mut serve = arcp(&["serve", "--port", "0", "--demo-agents", "--token", "secret=me@example.com"]);
    serve.args(["--store", &store, "--litellm", &base]).args(more).env("LITELLM_MASTER_KEY", ADMIN);
    Serving::of(serve, false)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(60), async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

fn asked(gateway: &Gateway, what: &str) -> usize {
    gateway.log().iter().filter(|(asked, _)| asked == what).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_between_issue_and_revocation_leaves_no_key_after_the_restart() {
    let (dir, gateway) = (tempfile::tempdir().unwrap(), Gateway::start().await);
    let file = dir.path().join("arcp.db");

    // A job runs with its key.
    let mut server = serving(&file, &gateway);
    let mut peer = server.connect().await;
    peer.hello("secret", &wanting()).await;
    let id = peer.send("job.submit", json!({ "agent": "slow", "input": { "seconds": 3600 } })).await;
    let accepted = peer.reply(&id).await;
    assert_eq!(accepted["payload"]["credentials"][0]["value"], gateway.live()[0].value, "{accepted}");
    server.signal("KILL");
    server.ended();
    assert_eq!(gateway.live().len(), 1);

    // It is revoked, and another one has ended and is not revoked yet.
    let mut server = serving(&file, &gateway);
    until("the key of a job that is gone is revoked", || gateway.live().is_empty()).await;
    let mut peer = server.connect().await;
    peer.hello("secret", &wanting()).await;
    let before = asked(&gateway, "delete");
    gateway.plan("delete", Fault::Hang);
    peer.submit("echo", json!(1)).await;
    until("it is asked to revoke it", || asked(&gateway, "delete") > before).await;
    server.signal("KILL");
    server.ended();
    assert_eq!(gateway.live().len(), 1);

    // The gateway makes a key while nobody is there any more to hear of it.
    let mut server = serving(&file, &gateway);
    until("the key of a job that ended is revoked", || gateway.live().is_empty()).await;
    let mut peer = server.connect().await;
    peer.hello("secret", &wanting()).await;
    let before = asked(&gateway, "generate");
    gateway.plan("generate", Fault::Hang);
    peer.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
    until("it is asked for a key", || asked(&gateway, "generate") > before).await;
    server.signal("KILL");
    server.ended();
    let request = gateway.log().into_iter().rfind(|(asked, _)| asked == "generate").unwrap().1;
    gateway.put(request["key_alias"].as_str().unwrap());

    let _server = serving(&file, &gateway);
    until("a key that nobody heard of is revoked", || gateway.live().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_of_a_lease_opens_the_models_that_the_command_names_and_it_covers() {
    let (dir, gateway) = (tempfile::tempdir().unwrap(), Gateway::start().await);
    let named = ["--litellm-model", "openai/gpt-4o", "--litellm-model", "gpt-4o"];
    let server = serving_with(&dir.path().join("arcp.db"), &gateway, &named);
    let mut peer = server.connect().await;
    peer.hello("secret", &[&wanting()[..], &["model.use"]].concat()).await;
    for (lease, models) in [
        (json!(["openai/**"]), json!(["openai/gpt-4o"])),
        (json!(["anthropic/**"]), json!(["no-default-models"])),
        (json!(["**"]), json!(["*"])),
    ] {
        let lease = json!({ "model.use": lease });
        let submit = json!({ "agent": "echo", "input": 1, "lease_request": lease });
        let id = peer.send("job.submit", submit).await;
        let accepted = peer.reply(&id).await;
        assert_eq!(accepted["type"], "job.accepted", "{accepted}");
        let request = gateway.log().into_iter().rfind(|(asked, _)| asked == "generate").unwrap().1;
        assert_eq!(request["models"], models, "{lease}");
    }
}

#[test]
fn a_gateway_without_the_key_that_manages_it_is_a_mistake_in_the_command() {
    for args in [
        &["serve", "--port", "0", "--store", "memory", "--litellm", "http://127.0.0.1:1"][..],
        &["serve", "--port", "0", "--store", "memory", "--litellm-key-file", "key"],
    ] {
        let ended = run(args);
        assert_eq!(ended.status.code(), Some(2), "{}", text(&ended.stderr));
    }
}
