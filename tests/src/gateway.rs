//! A gateway with virtual keys, as `LiteLLM` has them: aliases are unique, budgets and models are
//! enforced, a key's stars mean as much as they do there, and it fails when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arcp_tower::credential::Secret;
use arcp_tower::provision::litellm::LiteLlm;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What manages the gateway's keys.
pub const ADMIN: &str = "sk-admin";

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and nothing is done.
    Status(u16),
    /// It is never answered, and nothing is done.
    Hang,
    /// It is done, after a while.
    Slow(Duration),
    /// It is done, and the answer breaks off.
    LostReply,
}

/// A key of the gateway.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name.
    pub alias: String,
    /// The secret.
    pub value: String,
    /// What it spent.
    pub spend: f64,
    /// What it was asked for with.
    pub request: Value,
}

#[derive(Debug, Default)]
struct Keys {
    /// By what the gateway calls them.
    live: BTreeMap<String, Key>,
    made: usize,
    log: Vec<(String, Value)>,
    faults: VecDeque<(&'static str, Fault)>,
    /// What it says of any key, instead of what it spent.
    told: Option<Value>,
    /// Whether it says what it calls a key when it makes one.
    terse: bool,
}

type Shared = Arc<Mutex<Keys>>;

/// A gateway on a free port of loopback; it ends when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    keys: Shared,
    served: JoinHandle<()>,
}

impl Gateway {
    /// Starts one without keys.
    pub async fn start() -> Self {
        let keys = Shared::default();
        let app = Router::new()
            .route("/key/generate", post(generate))
            .route("/key/delete", post(delete))
            .route("/key/list", get(list))
            .route("/key/info", get(info))
            .route("/v1/chat/completions", post(chat))
            .with_state(keys.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, keys, served }
    }

    /// Its address.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A provisioner for it.
    pub fn provisioner(&self) -> LiteLlm {
        LiteLlm::new(&self.base(), &Secret::new(ADMIN)).unwrap()
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap()
    }

    /// The keys in force.
    pub fn live(&self) -> Vec<Key> {
        self.keys().live.values().cloned().collect()
    }

    /// What it was asked for, and with what.
    pub fn log(&self) -> Vec<(String, Value)> {
        self.keys().log.clone()
    }

    /// What becomes of the next request for `what`, such as `generate`.
    pub fn plan(&self, what: &'static str, fault: Fault) {
        self.keys().faults.push_back((what, fault));
    }

    /// What it says of every key from now on: `info` of its answer. `None`: what is so.
    pub fn tell(&self, info: Option<Value>) {
        self.keys().told = info;
    }

    /// From now on it does not say what it calls the keys that it makes.
    pub fn be_terse(&self) {
        self.keys().terse = true;
    }

    /// Somebody makes a key by hand.
    pub fn put(&self, alias: &str) {
        make(&mut self.keys(), &json!({ "key_alias": alias }));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.served.abort();
    }
}

fn make(keys: &mut Keys, request: &Value) -> Value {
    keys.made += 1;
    let (hash, value) = (format!("hash-{}", keys.made), format!("sk-canary-{}", keys.made));
    let alias = request["key_alias"].as_str().unwrap_or_default().to_owned();
    let key = Key { alias, value: value.clone(), spend: 0.0, request: request.clone() };
    keys.live.insert(hash.clone(), key);
    let mut answer = request.clone();
    answer["key"] = json!(value);
    if !keys.terse {
        (answer["token_id"], answer["token"]) = (json!(hash), json!(hash));
    }
    answer
}

fn answer(status: u16, body: &Value) -> Response<Body> {
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    response.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

fn refusal(status: u16, kind: &str, message: &str) -> Response<Body> {
    let error = json!({ "message": message, "type": kind, "param": null, "code": status.to_string() });
    answer(status, &json!({ "error": error }))
}

/// Checks who asks, plays what is planned, and does it.
async fn play(
    what: &'static str,
    (keys, headers, request): (Shared, HeaderMap, Value),
    work: impl FnOnce(&mut Keys, &Value) -> Response<Body>,
) -> Response<Body> {
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some("Bearer sk-admin") {
        return refusal(401, "auth_error", "Authentication Error");
    }
    let fault = {
        let mut keys = keys.lock().unwrap();
        keys.log.push((what.to_owned(), request.clone()));
        match keys.faults.front() {
            Some((planned, _)) if *planned == what => keys.faults.pop_front().map(|(_, fault)| fault),
            _ => None,
        }
    };
    match fault {
        Some(Fault::Status(status)) => return refusal(status, "internal_server_error", "as it was told"),
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Slow(wait)) => tokio::time::sleep(wait).await,
        Some(Fault::LostReply) | None => {}
    }
    let done = work(&mut keys.lock().unwrap(), &request);
    if fault != Some(Fault::LostReply) {
        return done;
    }
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}

fn read(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

async fn generate(State(keys): State<Shared>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    play("generate", (keys, headers, read(&body)), |keys, request| {
        if keys.live.values().any(|key| key.alias == request["key_alias"]) {
            let message = format!("Key with alias '{}' already exists.", request["key_alias"]);
            return refusal(400, "bad_request_error", &message);
        }
        answer(200, &make(keys, request))
    })
    .await
}

async fn delete(State(keys): State<Shared>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    play("delete", (keys, headers, read(&body)), |keys, request| {
        let named =
            |list: &Value, name: &str| list.as_array().is_some_and(|list| list.contains(&json!(name)));
        let before = keys.live.len();
        keys.live.retain(|hash, key| {
            !named(&request["keys"], hash)
                && !named(&request["keys"], &key.value)
                && !named(&request["key_aliases"], &key.alias)
        });
        if keys.live.len() == before {
            return refusal(404, "internal_server_error", "{'error': 'No keys found'}");
        }
        answer(200, &json!({ "deleted_keys": [] }))
    })
    .await
}

/// The value of `name` in a query.
fn asked<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

async fn list(State(keys): State<Shared>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let number = |name, otherwise| asked(&uri, name).map_or(otherwise, |n| n.parse().unwrap());
    // Pages are small, so that there are several.
    let (page, size) = (number("page", 1), number("size", 10usize).min(2));
    play("list", (keys, headers, Value::Null), |keys, _| {
        let listed = keys.live.iter().map(|(hash, key)| json!({ "token": hash, "key_alias": key.alias }));
        let listed: Vec<_> = listed.skip((page - 1) * size).take(size).collect();
        let total = keys.live.len();
        let pages = total.div_ceil(size);
        answer(
            200,
            &json!({ "keys": listed, "total_count": total, "current_page": page, "total_pages": pages }),
        )
    })
    .await
}

async fn info(State(keys): State<Shared>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let hash = asked(&uri, "key").unwrap_or_default().to_owned();
    play("info", (keys, headers, Value::Null), |keys, _| match keys.live.get(&hash) {
        Some(key) => {
            let info = json!({ "spend": key.spend, "max_budget": key.request["max_budget"] });
            let info = keys.told.as_ref().unwrap_or(&info);
            answer(200, &json!({ "key": hash, "info": info }))
        }
        None => refusal(404, "not_found_error", "Key not found in database"),
    })
    .await
}

/// Whether a key's entry opens a model. With a star it is a regular expression, for the model's name and
/// for the same below that of its provider, which the gateway knows.
fn opens(entry: &str, model: &str) -> bool {
    let provider = match model {
        _ if model.contains('/') => None,
        _ if model.starts_with("gpt-") => Some("openai"),
        _ if model.starts_with("claude-") => Some("anthropic"),
        _ => None,
    };
    let within = provider.map(|provider| format!("{provider}/{model}"));
    let like = |model: &str| like(entry.as_bytes(), model.as_bytes());
    entry == model || entry.contains('*') && (like(model) || within.as_deref().is_some_and(like))
}

/// As much of regular expressions as names have: `.` is any character, `*` any number of them.
fn like(entry: &[u8], text: &[u8]) -> bool {
    match (entry, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| like(rest, &text[skipped..])),
        ([c, entry @ ..], [t, text @ ..]) => (c == t || *c == b'.') && like(entry, text),
        (_, []) => false,
    }
}

/// A call of a model. It costs what the request says.
async fn chat(
    State(keys): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Infallible> {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (mut keys, request) = (keys.lock().unwrap(), read(&body));
    let Some(key) = keys.live.values_mut().find(|key| Some(key.value.as_str()) == bearer) else {
        return Ok(refusal(401, "auth_error", "Authentication Error, Invalid proxy server token passed."));
    };
    if key.request["max_budget"].as_f64().is_some_and(|most| key.spend >= most) {
        return Ok(refusal(400, "budget_exceeded", "Budget has been exceeded!"));
    }
    let model = request["model"].as_str().unwrap_or_default();
    let fits = |entry: &str| opens(entry, model);
    if let Some(models) = key.request["models"].as_array()
        && !models.iter().filter_map(Value::as_str).any(fits)
    {
        return Ok(refusal(403, "key_model_access_denied", "key not allowed to access model"));
    }
    key.spend += request["cost"].as_f64().unwrap_or_default();
    Ok(answer(200, &json!({ "choices": [] })))
}
