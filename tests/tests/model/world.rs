//! The runtime under test, its store, and the jobs that do as they are told.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store, StoreError};
use arcp_tests::{Memories, Process, timed, tokens};
use arcp_tower::layer::Auth;
use arcp_tower::{AuthLayer, BearerTokens, Config, Job, Level, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::client::{Checked, Client, Conn, Stream, ensure};

/// How long a session that is caught up is held; others, and jobs that ended, twice as long.
pub(crate) const WINDOW: Duration = Duration::from_secs(600);

pub(crate) type Stack = Auth<BearerTokens, Runtime>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Memory,
    Flaky,
}

/// What goes wrong at the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hiccup {
    Applied,
    Unapplied,
    Unavailable,
    Full,
    /// Reads fail, but not the first ones.
    Reads(usize, usize),
}

/// How many lines a job should log next; 0 ends it.
type Orders = UnboundedReceiver<u64>;

/// The strings of the puppets.
#[derive(Default)]
pub(crate) struct Strings {
    jobs: Mutex<HashMap<String, UnboundedSender<u64>>>,
    starts: Mutex<HashMap<u64, u64>>,
}

impl Strings {
    fn begin(&self, job: &Job, key: u64) -> Orders {
        let (orders, rx) = unbounded_channel();
        self.jobs.lock().unwrap().insert(job.id().to_string(), orders);
        *self.starts.lock().unwrap().entry(key).or_default() += 1;
        rx
    }

    /// How often an agent was started for each key.
    pub(crate) fn starts(&self) -> HashMap<u64, u64> {
        self.starts.lock().unwrap().clone()
    }

    pub(crate) fn order(&self, job: &str, lines: u64) {
        if let Some(orders) = self.jobs.lock().unwrap().get(job) {
            let _ = orders.send(lines);
        }
    }
}

async fn puppet(strings: Arc<Strings>, input: Value, job: Job) -> Result<Value, arcp_tower::AgentError> {
    let mut orders = strings.begin(&job, input["key"].as_u64().unwrap());
    let mut emitted = 0;
    while let Some(lines) = orders.recv().await {
        if lines == 0 {
            break;
        }
        for _ in 0..lines {
            job.log(Level::Info, emitted.to_string()).await?;
            emitted += 1;
        }
    }
    Ok(json!({ "emitted": emitted }))
}

#[allow(clippy::struct_excessive_bools, reason = "what happened, each by itself")]
pub(crate) struct World {
    pub(crate) kind: Kind,
    config: Config,
    flaky: Option<Arc<FlakyStore<Arc<MemoryStore>>>>,
    store: Option<Arc<dyn Store>>,
    process: Option<Arc<Process>>,
    server: Option<Memories<Stack>>,
    pub(crate) strings: Arc<Strings>,
    /// Whether the store may have failed since it was last healed.
    pub(crate) ill: bool,
    /// Whether jobs may have ended in another way than by themselves.
    pub(crate) rough: bool,
    /// Whether jobs that ended may be forgotten.
    pub(crate) old: bool,
    /// Whether the window was slept through once.
    pub(crate) slept: bool,
    /// The jobs by their keys.
    pub(crate) jobs: HashMap<u64, String>,
    /// Keys whose job was told to end.
    pub(crate) ending: HashSet<u64>,
    /// Keys whose job may be there although nobody heard of it.
    pub(crate) lost: HashSet<u64>,
}

impl World {
    pub(crate) async fn new(kind: Kind) -> Self {
        let memory = Arc::new(MemoryStore::default());
        let flaky = (kind == Kind::Flaky).then(|| Arc::new(FlakyStore::new(memory.clone())));
        let store: Option<Arc<dyn Store>> = match (&flaky, kind) {
            (Some(flaky), _) => Some(flaky.clone()),
            (None, Kind::Memory) => Some(memory),
            (None, _) => None,
        };
        let config = timed(|c| {
            (c.resume_window, c.retention) = (WINDOW, 2 * WINDOW);
            if kind != Kind::None {
                // So that most of what is re-sent has to come from the store, in many reads.
                (c.window, c.log_events, c.max_unwritten) = (8, 16, 8);
                (c.replay_events, c.read_bytes, c.read_runs) = (3, 1000, 2);
            }
        });
        let mut world = Self {
            kind,
            config,
            flaky,
            store,
            process: None,
            server: None,
            strings: Arc::default(),
            ill: false,
            rough: false,
            old: false,
            slept: false,
            jobs: HashMap::new(),
            ending: HashSet::new(),
            lost: HashSet::new(),
        };
        world.start().await;
        world
    }

    /// Starts a process, until that works.
    pub(crate) async fn start(&mut self) {
        let strings = self.strings.clone();
        let agent = agent_fn(move |input: Value, job: Job| puppet(strings.clone(), input, job));
        let mut tries = 0;
        let runtime = loop {
            let builder = Runtime::builder().agent("puppet", agent.clone()).config(self.config.clone());
            let Some(store) = &self.store else { break builder.build().unwrap() };
            let process = Arc::new(Process::of(store.clone()));
            self.process = Some(process.clone());
            match builder.store(process).open().await {
                Ok(runtime) => break runtime,
                Err(e) => assert!(self.ill && tries < 100, "{e}"),
            }
            tries += 1;
        };
        self.server = Some(Memories::of(runtime.layer(AuthLayer::new(tokens())), &self.config));
    }

    pub(crate) async fn restart(&mut self) {
        if let Some(process) = &self.process {
            process.kill();
        }
        self.server = None;
        self.rough = true;
        self.start().await;
    }

    pub(crate) fn hiccup(&mut self, hiccup: Hiccup) {
        let Some(flaky) = &self.flaky else { return };
        let pause = StoreError::Unavailable { retry_after: Duration::from_millis(20) };
        match hiccup {
            Hiccup::Applied => flaky.plan_commit(Step::after(StoreError::Unknown)),
            Hiccup::Unapplied => flaky.plan_commit(Step::before(StoreError::Unknown)),
            Hiccup::Unavailable => flaky.fail_commits(2, &pause),
            Hiccup::Full => {
                flaky.fail_commits(20, &StoreError::Full);
                self.rough = true;
            }
            Hiccup::Reads(pass, fail) => {
                (0..pass).for_each(|_| flaky.plan_read(Step::pass()));
                flaky.fail_reads(fail, &pause);
            }
        }
        self.ill = true;
    }

    /// From now on the store works.
    pub(crate) async fn heal(&mut self) {
        if let Some(flaky) = &self.flaky {
            flaky.heal();
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        self.ill = false;
    }

    pub(crate) fn connect(&self, capacity: usize) -> Conn {
        let mut conn = Conn::new(self.server.as_ref().unwrap().transport(capacity).0);
        conn.ailing = self.ill;
        conn
    }

    /// Opens a session, or continues one. The answer is returned; a welcome has been taken in.
    pub(crate) async fn greet(
        &mut self,
        client: &mut Client,
        resume: Option<(Value, u64)>,
        capacity: usize,
    ) -> Checked<Value> {
        let mut conn = self.connect(capacity);
        let (fields, from) = resume.map_or((None, 0), |(fields, from)| (Some(fields), from));
        let hello = client.hello(fields);
        ensure!(conn.say(&hello).await, "a hello could not be said");
        let Some(text) = conn.next(Duration::from_secs(60)).await else {
            ensure!(self.ill, "a hello was not answered");
            return Ok(json!({ "type": "closed" }));
        };
        let answer: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if answer["type"] == "session.welcome" {
            let id = answer["session_id"].as_str().map(str::to_owned);
            ensure!(client.id.is_none() || client.id == id, "a resume gave another session");
            client.id = id;
            answer["payload"]["resume_token"].as_str().unwrap_or_default().clone_into(&mut client.newest);
            conn.at = from;
            client.restarted = false;
            client.conn = Some(conn);
        }
        Ok(answer)
    }

    /// A submit under key `key`.
    pub(crate) async fn submit(&mut self, client: &mut Client, key: u64) -> Checked {
        let fresh = !self.lost.contains(&key) && !self.jobs.contains_key(&key);
        let Some(reply) = client.ask("job.submit", submit(key)).await? else {
            self.lost.insert(key);
            client.unheard += 1;
            return Ok(());
        };
        if reply["type"] != "job.accepted" {
            let known = self.jobs.get(&key);
            if self.old && (known.is_some() || !fresh) && reply["payload"]["code"] == "DUPLICATE_KEY" {
                // The key is held longer than the job, of which nobody may have heard.
                let existing = &reply["payload"]["details"]["existing_job_id"];
                ensure!(known.is_none_or(|job| *existing == json!(job)), "the key is another job's");
                return Ok(());
            }
            ensure!(self.ill, "a submit was refused: {}", reply["payload"]["code"]);
            ensure!(reply["payload"]["code"] == "INTERNAL_ERROR", "{}", reply["payload"]["code"]);
            self.lost.insert(key);
            return Ok(());
        }
        let job = reply["job_id"].as_str().unwrap_or_default().to_owned();
        let known = self.jobs.entry(key).or_insert_with(|| job.clone());
        ensure!(*known == job, "a second job under one key");
        self.lost.remove(&key);
        self.follow(client, key, fresh);
        Ok(())
    }

    /// A session is to follow a job: from its first line on, or from now on. If it does already,
    /// nothing changes.
    pub(crate) fn follow(&self, client: &mut Client, key: u64, whole: bool) {
        let Some(job) = self.jobs.get(&key) else { return };
        if client.streams.get(job).is_none_or(|stream| stream.ended || stream.left) {
            let stream = if whole { Stream::whole() } else { Stream::default() };
            client.streams.insert(job.clone(), stream);
        } else if self.rough || self.ending.contains(&key) {
            // Its terminal may have its number already; then it comes once more.
            client.unheard += 1;
        }
    }
}

pub(crate) fn submit(key: u64) -> Value {
    json!({ "agent": "puppet", "input": { "key": key }, "idempotency_key": format!("key {key}") })
}
