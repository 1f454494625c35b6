//! Virtual keys of a gateway (§9.8), over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{CredentialQuery, CredentialState, Store};
use arcp_core::{Code, JobId, Timestamp};
use arcp_tests::gateway::{ADMIN, Fault, Gateway};
use arcp_tests::vault::{keyed_agents, lasting, wanting};
use arcp_tests::{ALICE, Memories, tokens};
use arcp_tower::credential::{
    CredentialProvisioner as _, Handle, Issue, Issued, ProvisionErrorKind, Revocation, Secret,
    budget_exhausted,
};
use arcp_tower::provision::litellm::LiteLlm;
use arcp_tower::{AuthLayer, Config, Principal, Runtime};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

fn issue(name: &str) -> Issue {
    let expires_at = Timestamp::from_millis(1_800_000_000_000);
    Issue::new(name, JobId::from_bits(1), Principal::new("ada"), expires_at, Duration::from_secs(90))
}

fn limited(name: &str, budget: &str, models: &[&str]) -> Issue {
    let mut issue = issue(name);
    issue.budget = [("USD".parse().unwrap(), arcp_core::money::Amount::parse_budget(budget).unwrap())].into();
    issue.models = Some(models.iter().map(|model| (*model).to_owned()).collect());
    issue
}

/// Calls a model with an issued key; the status and the text of the answer.
async fn call(issued: &Issued, model: &str, cost: f64) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<axum::body::Bytes>>();
    let request = http::Request::post(format!("{}/chat/completions", issued.endpoint))
        .header("authorization", format!("Bearer {}", issued.value.expose()))
        .body(Full::from(json!({ "model": model, "cost": cost }).to_string()))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_key_has_the_limits_of_the_lease_and_the_gateway_enforces_them() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner().with_models(["tier-fast/x", "tier-fast/y/z", "tier-slow/x"]);
    let issued =
        llm.issue(&limited("arcp-1", "0.30", &["gpt-4o", "tier-fast/**", "gpt-*", "(|)*"])).await.unwrap();
    let request = gateway.live()[0].request.clone();
    assert_eq!(request["key_alias"], "arcp-1");
    assert_eq!((&request["duration"], request["max_budget"].to_string()), (&json!("90s"), "0.3".to_owned()));
    let models = json!(["gpt-4o", "tier-fast/x", "tier-fast/y/z"]);
    assert_eq!(request["models"], models, "what would mean more is left out");
    assert_eq!(request["metadata"]["arcp_job_id"], JobId::from_bits(1).as_str());
    assert_eq!(issued.endpoint, format!("{}/v1", gateway.base()));
    let constraints: Value = serde_json::from_str(issued.constraints.to_json().unwrap().as_str()).unwrap();
    assert_eq!(constraints["cost.budget"], json!(["USD:0.3"]));
    assert_eq!(constraints["model.use"], models);

    assert_eq!(call(&issued, "gpt-4o", 0.2).await.0, 200);
    assert_eq!(call(&issued, "gpt-5", 0.2).await.0, 403, "a star goes past / there, and is left out");
    assert_eq!(call(&issued, "tier-fast/x", 0.2).await.0, 200);
    let (status, body) = call(&issued, "gpt-4o", 0.2).await;
    assert_eq!(budget_exhausted(status, &body).unwrap().code(), Code::BudgetExhausted);

    // Revoked, it opens nothing.
    let handle = Handle::new("arcp-1", issued.handle.clone());
    assert_eq!(llm.revoke(&handle).await, Ok(Revocation::Done));
    assert_eq!(call(&issued, "gpt-4o", 0.0).await.0, 401);
    assert_eq!(llm.revoke(&handle).await, Ok(Revocation::Absent), "it was already deleted");
    assert_eq!(llm.revoke(&Handle::new("arcp-1", None)).await, Ok(Revocation::Absent));
}

#[tokio::test]
async fn a_pattern_opens_of_the_gateways_models_those_that_it_covers() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner().with_models(["tier-fast/a", "tier-fast/a/huge", "tier-slow/a"]);
    let issued = llm.issue(&limited("arcp-1", "1", &["tier-fast/*"])).await.unwrap();
    assert_eq!(call(&issued, "tier-fast/a", 0.0).await.0, 200);
    for wider in ["tier-fast/a/huge", "tier-slow/a", "tier-fast/b"] {
        assert_eq!(call(&issued, wider, 0.0).await.0, 403, "{wider}");
    }
    // Where nobody said which there are, it opens none rather than more.
    let issued = gateway.provisioner().issue(&limited("arcp-2", "1", &["tier-fast/*"])).await.unwrap();
    for model in ["tier-fast/a", "tier-fast/a/huge"] {
        assert_eq!(call(&issued, model, 0.0).await.0, 403, "{model}");
    }
}

#[tokio::test]
async fn a_key_for_a_providers_models_opens_none_that_the_lease_does_not_cover() {
    let gateway = Gateway::start().await;
    let there = ["openai/gpt-4o", "openai/a/b", "gpt-3.5/turbo", "gpt-3x5/turbo", "gpt-4o", "claude-opus"];
    let llm = gateway.provisioner().with_models(there);
    let leases: [(&[&str], &[&str]); 4] = [
        (&["openai/**"], &["openai/gpt-4o", "openai/a/b"]),
        (&["anthropic/**"], &[]),
        (&["gpt-3.5/**"], &["gpt-3.5/turbo"]),
        (&["**"], &there),
    ];
    for (number, (lease, opened)) in leases.into_iter().enumerate() {
        let issued = llm.issue(&limited(&format!("arcp-{number}"), "1", lease)).await.unwrap();
        for model in there {
            let status = if opened.contains(&model) { 200 } else { 403 };
            assert_eq!(call(&issued, model, 0.0).await.0, status, "{lease:?} {model}");
        }
        // Nor what nobody named: only what grants everything opens that.
        let status = if lease == ["**"] { 200 } else { 403 };
        assert_eq!(call(&issued, "openai/new", 0.0).await.0, status, "{lease:?}");
    }
    // What is granted everything says so as a lease does.
    let issued = llm.issue(&limited("arcp-all", "1", &["**"])).await.unwrap();
    let constraints: Value = serde_json::from_str(issued.constraints.to_json().unwrap().as_str()).unwrap();
    assert_eq!(constraints["model.use"], json!(["**"]));
}

#[tokio::test]
async fn a_lease_without_models_or_budget_says_nothing_of_them_and_one_with_none_opens_nothing() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner();
    llm.issue(&issue("arcp-1")).await.unwrap();
    let request = gateway.live()[0].request.clone();
    assert!(request.get("models").is_none() && request.get("max_budget").is_none(), "{request}");
    let issued = llm.issue(&limited("arcp-2", "1", &[])).await.unwrap();
    assert_eq!(call(&issued, "gpt-4o", 0.0).await.0, 403);
    let error = llm.issue(&limited("arcp-3", "0", &[])).await.unwrap_err();
    assert_eq!(error.kind(), ProvisionErrorKind::BudgetExhausted);
    assert_eq!(gateway.log().len(), 2, "the gateway was not asked");
}

#[tokio::test]
async fn what_one_key_spent_the_next_one_cannot() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner();
    let first = llm.issue(&limited("arcp-1", "1.00", &["m"])).await.unwrap();
    assert_eq!(call(&first, "m", 0.75).await.0, 200);
    let mut next = limited("arcp-2", "1.00", &["m"]);
    next.replaces = Some(Handle::new("arcp-1", first.handle.clone()));
    llm.issue(&next).await.unwrap();
    assert_eq!(gateway.live()[1].request["max_budget"].to_string(), "0.25");
    assert_eq!(call(&first, "m", 0.25).await.0, 200);
    next.name = "arcp-3".to_owned();
    assert_eq!(llm.issue(&next).await.unwrap_err().kind(), ProvisionErrorKind::BudgetExhausted);
}

#[tokio::test]
async fn a_key_whose_spending_the_gateway_does_not_say_is_not_replaced_and_stays() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner();
    let first = llm.issue(&limited("arcp-1", "1.00", &["m"])).await.unwrap();
    assert_eq!(call(&first, "m", 0.75).await.0, 200);
    let mut next = limited("arcp-2", "1.00", &["m"]);
    next.replaces = Some(Handle::new("arcp-1", first.handle.clone()));
    for unsaid in [
        json!({}),
        json!({ "spend": 0.75 }),
        json!({ "spend": 0.75, "max_budget": null }),
        json!({ "spend": 0.75, "max_budget": "unlimited" }),
        json!({ "max_budget": 1.0 }),
        json!({ "spend": null, "max_budget": 1.0 }),
        json!({ "spend": "much", "max_budget": 1.0 }),
        json!({ "spend": -3, "max_budget": 1.0 }),
        json!("nothing"),
    ] {
        gateway.tell(Some(unsaid.clone()));
        let error = llm.issue(&next).await.expect_err(&unsaid.to_string());
        assert_eq!(error.kind(), ProvisionErrorKind::Transient, "{unsaid}");
        assert_eq!(gateway.live().len(), 1, "{unsaid}");
    }
    assert_eq!(call(&first, "m", 0.0).await.0, 200);
    // A text with a number says it.
    gateway.tell(Some(json!({ "spend": "0.75", "max_budget": "1.0" })));
    llm.issue(&next).await.unwrap();
    assert_eq!(gateway.live()[1].request["max_budget"].to_string(), "0.25");
}

#[tokio::test]
async fn what_was_spent_with_a_key_is_the_gateways_own_count_and_never_made_up() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner();
    let issued = llm.issue(&limited("arcp-1", "1.00", &["m"])).await.unwrap();
    assert_eq!(call(&issued, "m", 0.75).await.0, 200);
    for handle in [issued.handle.clone(), None] {
        let spent = llm.spent(&Handle::new("arcp-1", handle)).await.unwrap().unwrap();
        assert_eq!(spent, [("USD".parse().unwrap(), "0.75".parse().unwrap())].into());
    }
    gateway.tell(Some(json!({ "max_budget": 1.0 })));
    let unsaid = llm.spent(&Handle::new("arcp-1", issued.handle.clone())).await.unwrap_err();
    assert_eq!(unsaid.kind(), ProvisionErrorKind::Transient);
    gateway.tell(None);
    llm.revoke(&Handle::new("arcp-1", issued.handle.clone())).await.unwrap();
    assert!(llm.spent(&Handle::new("arcp-1", issued.handle)).await.is_err());
}

#[tokio::test]
async fn what_a_key_spent_whose_handle_the_gateway_did_not_say_is_asked_by_its_name() {
    let gateway = Gateway::start().await;
    gateway.be_terse();
    for other in ["arcp-0", "arcp-1-of-another", "arcp-2-of-another"] {
        gateway.put(other);
    }
    let llm = gateway.provisioner();
    let first = llm.issue(&limited("arcp-1", "1.00", &["m"])).await.unwrap();
    assert_eq!(first.handle, None);
    assert_eq!(call(&first, "m", 0.75).await.0, 200);
    let mut next = limited("arcp-2", "1.00", &["m"]);
    next.replaces = Some(Handle::new("arcp-1", None));
    llm.issue(&next).await.unwrap();
    let budget = |name: &str| gateway.live().into_iter().find(|key| key.alias == name).unwrap().request;
    assert_eq!(budget("arcp-2")["max_budget"].to_string(), "0.25");
    // One that is not there has spent nobody knows what.
    next.name = "arcp-3".to_owned();
    next.replaces = Some(Handle::new("arcp-gone", None));
    assert_eq!(llm.issue(&next).await.unwrap_err().kind(), ProvisionErrorKind::Transient);
}

#[tokio::test]
async fn bad_input_60_what_a_gateway_answers_and_that_it_is_not_there_say_whether_it_may_work_later() {
    let gateway = Gateway::start().await;
    let llm = gateway.provisioner();
    let (transient, permanent) = (ProvisionErrorKind::Transient, ProvisionErrorKind::Permanent);
    for (fault, kind) in [
        (Fault::Status(500), transient),
        (Fault::Status(503), transient),
        (Fault::Status(429), transient),
        (Fault::Status(403), permanent),
        (Fault::LostReply, transient),
    ] {
        gateway.plan("generate", fault);
        assert_eq!(llm.issue(&issue("arcp-1")).await.unwrap_err().kind(), kind, "{fault:?}");
    }
    // What was lost was done: its name is taken, and by its name it is revoked.
    let taken = llm.issue(&issue("arcp-1")).await.unwrap_err();
    assert!(taken.kind() == transient && taken.message().contains("already exists"), "{taken}");
    assert_eq!(llm.revoke(&Handle::new("arcp-1", None)).await, Ok(Revocation::Done));

    let wrong = LiteLlm::new(&gateway.base(), &Secret::new("sk-wrong")).unwrap();
    assert_eq!(wrong.issue(&issue("arcp-1")).await.unwrap_err().kind(), permanent);
    assert!(!format!("{wrong:?}").contains("sk-wrong"));
    let nobody = LiteLlm::new("http://127.0.0.1:1", &Secret::new(ADMIN)).unwrap();
    assert_eq!(nobody.issue(&issue("arcp-1")).await.unwrap_err().kind(), transient);
    gateway.plan("generate", Fault::Hang);
    assert!(timeout(Duration::from_millis(200), llm.issue(&issue("arcp-1"))).await.is_err());
    assert!(gateway.live().is_empty());
}

#[tokio::test]
async fn keys_are_listed_by_the_beginning_of_their_name_page_by_page() {
    let gateway = Gateway::start().await;
    for alias in ["arcp-a-1", "somebody's", "arcp-a-2", "arcp-b-1", "arcp-a-3"] {
        gateway.put(alias);
    }
    let mut names: Vec<_> =
        gateway.provisioner().list("arcp-a-").await.unwrap().into_iter().map(|h| h.name).collect();
    names.sort();
    assert_eq!(names, ["arcp-a-1", "arcp-a-2", "arcp-a-3"]);
}

#[tokio::test]
async fn jobs_get_keys_of_the_gateway_and_none_is_left_whatever_it_answers() {
    let (gateway, store) = (Gateway::start().await, lasting() as Arc<dyn Store>);
    let config = Config::default().with(|config| {
        config.private_transport = true;
        config.provision_timeout = Duration::from_millis(400);
        config.revoke_wait = Duration::from_millis(200);
        config.credential_settle = Duration::from_millis(800);
    });
    let builder = keyed_agents(Runtime::builder()).config(config.clone());
    let builder = builder.credentials("openai", gateway.provisioner()).store(store.clone());
    let runtime = builder.open().await.unwrap().layer(AuthLayer::new(tokens()));
    let server = Memories::of(runtime, &config);
    let mut peer = server.open(ALICE, &wanting()).await;
    for (what, fault) in [
        ("list", None),
        ("generate", Some(Fault::Status(500))),
        ("generate", Some(Fault::Hang)),
        ("generate", Some(Fault::LostReply)),
        ("generate", Some(Fault::Slow(Duration::from_millis(600)))),
        ("delete", Some(Fault::Status(500))),
        ("delete", Some(Fault::Hang)),
        ("delete", Some(Fault::LostReply)),
        ("delete", Some(Fault::Slow(Duration::from_millis(600)))),
    ] {
        if let Some(fault) = fault {
            gateway.plan(what, fault);
        }
        let id = peer.send("job.submit", json!({ "agent": "keyed", "input": { "rotate": 0 } })).await;
        let answer = peer.reply(&id).await;
        // What fails is tried again, while there is time.
        if what == "generate" && matches!(fault, Some(Fault::Hang | Fault::Slow(_))) {
            assert_eq!(answer["payload"]["code"], "INTERNAL_ERROR", "{fault:?}: {answer}");
            continue;
        }
        let value = answer["payload"]["credentials"][0]["value"].as_str().unwrap();
        assert!(value.starts_with("sk-canary-"), "{answer}");
        peer.job(answer["job_id"].as_str().unwrap()).await;
    }
    let over = async {
        loop {
            let rows =
                store.credentials(CredentialQuery::All { after: None, limit: 100 }).await.unwrap().items;
            if gateway.live().is_empty() && rows.iter().all(|row| row.state == CredentialState::Revoked) {
                return rows.len();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let rows = timeout(Duration::from_secs(30), over).await.expect("every key is revoked");
    assert!(rows >= 9, "{rows}");
}
