//! One session, one that watches it, and their jobs: whatever happens in whatever order, on no
//! store, on one, and on one that fails now and then. The model is what a client can know.
//!
//! `PROPTEST_CASES` makes it longer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "model/client.rs"]
mod client;
#[path = "model/world.rs"]
mod world;

use std::time::Duration;

use client::{Checked, Client, Stream, ensure};
use proptest::prelude::*;
use serde_json::{Value, json};
use world::{Hiccup, Kind, WINDOW, World, submit};

/// Which of two sessions; the first submits.
type Who = usize;

#[derive(Debug, Clone, Copy)]
enum Token {
    Newest,
    Before,
    Dead(usize),
    Wrong,
    Flipped,
    OfOther,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Top,
    Less(u64),
    Zero,
    TooHigh,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Submit(Who, u64),
    SubmitAndCut(Who, u64),
    Emit(u64, u64),
    Finish(u64),
    Read(Who, usize),
    Settle,
    Ack(Who, u64),
    AckAhead(Who, u64),
    /// A connection that takes so many frames continues the session, and acknowledges what only the one
    /// before it was sent.
    AckUnsent(Who, usize),
    Cut(Who),
    /// The hello goes out, and the connection is gone: before it is read, or before the welcome is.
    CutWelcome(Who, bool),
    Resume {
        who: Who,
        token: Token,
        from: From,
        over: bool,
        capacity: usize,
    },
    /// A resume during which a read fails.
    ResumeOnHiccup(usize, From),
    Watch(u64, bool),
    Unwatch(u64),
    Expire,
    Restart,
    Hiccup(Hiccup),
}

fn op() -> impl Strategy<Value = Op> {
    let who = || prop_oneof![4 => Just(0usize), 1 => Just(1)];
    let key = || 0u64..3;
    let token = prop_oneof![
        8 => Just(Token::Newest),
        4 => Just(Token::Before),
        2 => (0usize..4).prop_map(Token::Dead),
        1 => Just(Token::Wrong),
        1 => Just(Token::Flipped),
        1 => Just(Token::OfOther),
    ];
    let from = || {
        prop_oneof![
            6 => Just(From::Top),
            3 => (1u64..6).prop_map(From::Less),
            2 => Just(From::Zero),
            1 => Just(From::TooHigh),
        ]
    };
    let capacity = prop_oneof![Just(0usize), Just(3), Just(64)];
    let hiccup = prop_oneof![
        3 => Just(Hiccup::Applied),
        3 => Just(Hiccup::Unapplied),
        3 => Just(Hiccup::Unavailable),
        1 => Just(Hiccup::Full),
        6 => (0usize..10, 1usize..4).prop_map(|(pass, fail)| Hiccup::Reads(pass, fail)),
    ];
    prop_oneof![
        4 => (who(), key()).prop_map(|(who, key)| Op::Submit(who, key)),
        1 => (who(), key()).prop_map(|(who, key)| Op::SubmitAndCut(who, key)),
        8 => (key(), 1u64..40).prop_map(|(key, lines)| Op::Emit(key, lines)),
        1 => key().prop_map(Op::Finish),
        4 => (who(), 1usize..30).prop_map(|(who, most)| Op::Read(who, most)),
        3 => Just(Op::Settle),
        3 => (who(), 0u64..4).prop_map(|(who, less)| Op::Ack(who, less)),
        2 => (who(), 0u64..3).prop_map(|(who, how)| Op::AckAhead(who, how)),
        2 => (who(), prop_oneof![Just(0usize), Just(3)]).prop_map(|(who, taken)| Op::AckUnsent(who, taken)),
        4 => who().prop_map(Op::Cut),
        3 => (who(), any::<bool>()).prop_map(|(who, read)| Op::CutWelcome(who, read)),
        9 => (who(), token, from(), any::<bool>(), capacity).prop_map(|(who, token, from, over, capacity)| {
            Op::Resume { who, token, from, over, capacity }
        }),
        3 => (0usize..12, from()).prop_map(|(pass, from)| Op::ResumeOnHiccup(pass, from)),
        2 => (key(), any::<bool>()).prop_map(|(key, history)| Op::Watch(key, history)),
        1 => key().prop_map(Op::Unwatch),
        1 => Just(Op::Expire),
        2 => Just(Op::Restart),
        4 => hiccup.prop_map(Op::Hiccup),
    ]
}

struct Model {
    world: World,
    clients: [Client; 2],
}

impl Model {
    async fn new(kind: Kind) -> Checked<Self> {
        let mut model = Self { world: World::new(kind).await, clients: Default::default() };
        for who in 0..2 {
            model.open(who).await?;
        }
        Ok(model)
    }

    async fn open(&mut self, who: Who) -> Checked {
        let client = &mut self.clients[who];
        *client = Client::default();
        for _ in 0..2 {
            let answer = self.world.greet(client, None, 16).await?;
            if answer["type"] == "session.welcome" {
                return Ok(());
            }
            ensure!(self.world.ill, "a hello was refused");
            self.world.heal().await;
        }
        Err("no session could be opened".into())
    }

    /// Waits until nothing moves.
    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if !self.world.ill {
            for client in &mut self.clients {
                if client.conn.as_ref().is_some_and(|conn| conn.closed.is_none()) {
                    client.dead.extend(client.fading.take());
                }
            }
        }
    }

    /// A connection that ended by itself: with a store that fails it may.
    fn look(&mut self) -> Checked {
        for client in &mut self.clients {
            if let Some(conn) = &client.conn
                && let Some(code) = conn.closed
            {
                ensure!(self.world.ill || self.world.rough, "a connection was closed with {code}");
                Self::cut(client);
            }
        }
        Ok(())
    }

    fn cut(client: &mut Client) {
        client.conn = None;
        client.fading = None;
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each operation")]
    async fn step(&mut self, op: Op) -> Checked {
        let Self { world, clients } = self;
        match op {
            Op::Submit(who, key) => world.submit(&mut clients[who], key).await?,
            Op::SubmitAndCut(who, key) => {
                let client = &mut clients[who];
                let (_, message) = client.message("job.submit", &submit(key));
                if let Some(conn) = &mut client.conn {
                    conn.say(&message).await;
                    // It may have been heard or not.
                    client.fading = client.before.take().or(client.fading.take());
                    world.lost.insert(key);
                    client.unheard += 1;
                    tokio::task::yield_now().await;
                }
                Self::cut(client);
            }
            Op::Emit(key, lines) => {
                if let Some(job) = world.jobs.get(&key) {
                    world.strings.order(job, lines);
                }
            }
            Op::Finish(key) => {
                world.ending.insert(key);
                if let Some(job) = world.jobs.get(&key) {
                    world.strings.order(job, 0);
                }
            }
            Op::Read(who, most) => clients[who].read(most).await?,
            Op::Settle => {
                self.world.heal().await;
                self.settle().await;
            }
            Op::Ack(who, less) => {
                let client = &mut clients[who];
                let Some(at) = client.conn.as_ref().map(|conn| conn.at) else { return Ok(()) };
                let seq = at.saturating_sub(less);
                let refusal = client.ask("session.ack", json!({ "last_processed_seq": seq })).await?;
                ensure!(refusal.is_none(), "an ack of what was sent is refused");
                client.acked = client.acked.max(seq);
                if client.conn.as_ref().is_some_and(|conn| conn.closed.is_none()) {
                    client.heard_acked = client.heard_acked.max(seq);
                }
            }
            Op::AckAhead(who, how) => {
                let client = &mut clients[who];
                if client.conn.is_none() {
                    return Ok(());
                }
                let seq = client.top() + [1_000, 1_000_000, 1 << 53][usize::try_from(how).unwrap()];
                let refusal = client.ask("session.ack", json!({ "last_processed_seq": seq })).await?;
                let refused = refusal.is_some_and(|refusal| refusal["payload"]["code"] == "INVALID_REQUEST");
                let closed = client.conn.as_ref().is_none_or(|conn| conn.closed.is_some());
                ensure!(refused || closed, "an ack of what was never sent is taken");
            }
            Op::AckUnsent(who, taken) => self.ack_unsent(who, taken).await?,
            Op::Cut(who) => Self::cut(&mut clients[who]),
            Op::CutWelcome(who, read) => self.cut_welcome(who, read).await?,
            Op::Resume { who, token, from, over, capacity } => {
                self.resume(who, token, from, over, capacity).await?;
            }
            Op::ResumeOnHiccup(pass, from) => {
                world.hiccup(Hiccup::Reads(pass, 1));
                self.resume(0, Token::Newest, from, false, 64).await?;
            }
            Op::Watch(key, history) => self.watch(key, history).await?,
            Op::Unwatch(key) => self.unwatch(key).await?,
            Op::Expire => self.expire().await?,
            Op::Restart if world.kind == Kind::None => {}
            Op::Restart => {
                clients.iter_mut().for_each(Self::cut);
                clients.iter_mut().for_each(|client| client.restarted = true);
                world.restart().await;
            }
            Op::Hiccup(hiccup) => world.hiccup(hiccup),
        }
        self.look()
    }

    /// More than the window, and less than what is not acknowledged is held for.
    async fn expire(&mut self) -> Checked {
        let ill = self.world.ill;
        self.world.heal().await;
        for client in &mut self.clients {
            client.read(usize::MAX).await?;
            if let Some(code) = client.conn.as_ref().and_then(|conn| conn.closed) {
                ensure!(ill || self.world.rough, "a connection was closed with {code}");
                Self::cut(client);
            }
        }
        // What ended long ago may be forgotten.
        self.world.old |= self.world.slept;
        self.world.slept = true;
        let cut = [0, 1].map(|who| self.clients[who].conn.is_none());
        tokio::time::sleep(WINDOW + Duration::from_secs(100)).await;
        for (who, _) in cut.into_iter().enumerate().filter(|(_, cut)| *cut) {
            let client = &self.clients[who];
            let follows = client.streams.values().any(|stream| !stream.ended && !stream.left);
            let surely = client.unheard == 0;
            let pending = client.acked < client.top() || (surely && follows);
            // A process that was killed may not have written the last ack down.
            let done = surely && !follows && client.heard_acked == client.top() && !client.restarted;
            let answer = self.present(who, Token::Newest, From::Top, 16).await?;
            if answer.is_empty() {
                ensure!(!done, "after the window a session that is caught up goes on");
            } else {
                ensure!(answer == "RESUME_WINDOW_EXPIRED", "after the window: {answer}");
                ensure!(!pending, "what was not acknowledged is gone");
                self.open(who).await?;
            }
        }
        Ok(())
    }

    async fn ack_unsent(&mut self, who: Who, taken: usize) -> Checked {
        // Besides what it takes, one frame may be on its way and one be held.
        let (top, less) = (self.clients[who].top(), taken as u64 + 5);
        if top < less || self.world.ill {
            return Ok(());
        }
        let from = top - less;
        Self::cut(&mut self.clients[who]);
        let answer = self.present(who, Token::Newest, From::Less(less), taken).await?;
        if !answer.is_empty() {
            let gone = self.world.kind != Kind::None && from < self.clients[who].acked;
            ensure!(gone && answer == "RESUME_WINDOW_EXPIRED", "refused above the floor: {answer}");
            return Ok(());
        }
        let client = &mut self.clients[who];
        let refusal = client.ask("session.ack", json!({ "last_processed_seq": top })).await?;
        let refused = refusal.is_some_and(|refusal| refusal["payload"]["code"] == "INVALID_REQUEST");
        ensure!(refused, "an ack of what this connection was not sent is taken");
        client.read(usize::MAX).await?;
        let at = client.conn.as_ref().map_or(0, |conn| conn.at);
        ensure!(at >= top, "after an ack that was refused, sent up to {at} of {top}");
        Ok(())
    }

    async fn watch(&mut self, key: u64, history: bool) -> Checked {
        let Self { world, clients } = self;
        let Some(job) = world.jobs.get(&key) else { return Ok(()) };
        let client = &mut clients[1];
        let wanted = json!({ "job_id": job, "history": history });
        let reply = client.ask("job.subscribe", wanted).await?;
        if reply.is_some_and(|reply| reply["type"] == "job.subscribed") {
            // It may follow the job already, by a repeat that nobody heard of.
            let whole = history && client.unheard == 0;
            world.follow(client, key, whole);
        } else {
            client.unheard += 1;
            let closed = client.conn.as_ref().is_none_or(|conn| conn.closed.is_some());
            ensure!(closed || world.ill || world.old, "a subscription is refused");
        }
        Ok(())
    }

    async fn unwatch(&mut self, key: u64) -> Checked {
        let Self { world, clients } = self;
        let Some(job) = world.jobs.get(&key).cloned() else { return Ok(()) };
        let refusal = clients[1].ask("job.unsubscribe", json!({ "job_id": job })).await?;
        let client = &mut clients[1];
        // It may not watch its own.
        if refusal.is_none()
            && client.conn.is_some()
            && let Some(stream) = client.streams.get_mut(&job)
            && !stream.ended
        {
            *stream = Stream::left();
        }
        Ok(())
    }

    async fn cut_welcome(&mut self, who: Who, read: bool) -> Checked {
        let Self { world, clients } = self;
        let client = &mut clients[who];
        Self::cut(client);
        let presented = client.newest.clone();
        let top = client.top();
        let fields = json!({
            "session_id": client.id, "resume_token": presented, "last_event_seq": top,
        });
        let hello = client.hello(Some(fields));
        let mut conn = world.connect(16);
        conn.say(&hello).await;
        if read {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The newest was presented, so whatever happened it works; the one before it may not.
        client.before = None;
        Ok(())
    }

    /// Presents a token for session `who`. Returns the code of the refusal, or nothing.
    async fn present(&mut self, who: Who, token: Token, from: From, capacity: usize) -> Checked<String> {
        let other = self.clients[1 - who].newest.clone();
        let Self { world, clients } = self;
        let client = &mut clients[who];
        let presented = match token {
            Token::Newest => client.newest.clone(),
            Token::Before => client.before.clone().unwrap_or_else(|| client.newest.clone()),
            Token::Dead(n) if !client.dead.is_empty() => client.dead[n % client.dead.len()].clone(),
            Token::Flipped => {
                let mut text = client.newest.clone();
                let last = text.pop();
                text.push(if last == Some('0') { '1' } else { '0' });
                text
            }
            Token::OfOther => other,
            Token::Dead(_) | Token::Wrong => "rt_wrong".to_owned(),
        };
        let valid = matches!(token, Token::Newest | Token::Before);
        let top = client.top();
        let from = match from {
            From::Top => top,
            From::Less(less) => top.saturating_sub(less),
            From::Zero => 0,
            From::TooHigh => top + 1_000_000,
        };
        let fields = json!({ "session_id": client.id, "resume_token": presented, "last_event_seq": from });
        let before = client.newest.clone();
        let old = client.conn.take();
        let answer = world.greet(client, Some((fields, from)), capacity).await?;
        if answer["type"] != "session.welcome" {
            client.conn = old;
            if valid && world.kind != Kind::None && from <= top {
                // The connection that there was may have lost the session to this attempt. What was
                // presented goes on working; others may not.
                Self::cut(client);
                (client.newest, client.before) = (presented, None);
            }
            let code = answer["payload"]["code"].as_str().unwrap_or("closed").to_owned();
            return Ok(code);
        }
        ensure!(valid, "a token that is no good was taken");
        ensure!(from <= top, "a number that was never given was taken");
        client.fading = None;
        client.before = Some(presented.clone());
        if presented != before {
            // The newest was never used, and is of no more use: nobody promised either.
            client.fading = None;
        }
        if let Some(mut old) = old {
            // What it still reads fits, and it ends.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let conn = client.conn.take();
            while let Some(text) = old.next(Duration::from_millis(1)).await {
                if let Some(seq) = numbered(&text) {
                    ensure!(seq == old.at + 1, "number {seq} after {} while it is taken over", old.at);
                    old.at = seq;
                    let known = client.frames.get(usize::try_from(seq - 1).unwrap());
                    ensure!(known.is_none_or(|known| *known == text), "number {seq} has two contents");
                }
            }
            client.conn = conn;
            ensure!(old.closed == Some(4409) || world.ill, "taken over, but closed with {:?}", old.closed);
        }
        Ok(String::new())
    }

    async fn resume(&mut self, who: Who, token: Token, from: From, over: bool, capacity: usize) -> Checked {
        if !over {
            Self::cut(&mut self.clients[who]);
        }
        let (top, acked) = (self.clients[who].top(), self.clients[who].acked);
        let code = self.present(who, token, from, capacity).await?;
        let client = &mut self.clients[who];
        let (ill, valid) = (self.world.ill, matches!(token, Token::Newest | Token::Before));
        if code.is_empty() {
            // Whatever arrived before comes again: a success is never shorter.
            if capacity > 0 {
                if ill {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
                client.read(usize::MAX).await?;
                let (at, closed) = client.conn.as_ref().map_or((0, None), |conn| (conn.at, conn.closed));
                let failed = ill && closed.is_some();
                ensure!(at >= top || failed, "resumed, and sent up to {at} of {top}, closed: {closed:?}");
            }
            return Ok(());
        }
        if ill && matches!(code.as_str(), "INTERNAL_ERROR" | "closed") {
            return Ok(());
        }
        match from {
            _ if !valid => ensure!(code == "RESUME_WINDOW_EXPIRED", "a wrong token: {code}"),
            From::TooHigh => ensure!(code == "INVALID_REQUEST", "a number never given: {code}"),
            From::Top => return Err(format!("a client that has everything is refused: {code}")),
            From::Less(_) | From::Zero => {
                let start = if let From::Less(less) = from { top.saturating_sub(less) } else { 0 };
                let gone = self.world.kind != Kind::None && start < acked;
                ensure!(gone && code == "RESUME_WINDOW_EXPIRED", "refused above the floor: {code}");
            }
        }
        Ok(())
    }

    /// In the end everything that was promised is there.
    async fn finish(&mut self) -> Checked {
        self.world.heal().await;
        for who in 0..2 {
            self.resume(who, Token::Newest, From::Top, false, 64).await?;
        }
        for key in 0..3 {
            self.world.submit(&mut self.clients[0], key).await?;
        }
        self.settle().await;
        for key in 0..3 {
            self.step(Op::Finish(key)).await?;
        }
        self.settle().await;
        for client in &mut self.clients {
            client.read(usize::MAX).await?;
        }
        let listed = self.clients[0].ask("session.list_jobs", json!({})).await?.ok_or("no listing")?;
        let listed = listed["payload"]["jobs"].as_array().map_or(0, Vec::len);
        ensure!(listed == 3 || self.world.old, "{listed} jobs of 3 keys");
        let ends = self.clients[0].streams.values().filter(|stream| stream.ended).count();
        ensure!(ends == 3 || self.world.old, "{ends} terminals of 3 jobs");
        let open = self.clients[1].streams.values().filter(|stream| !stream.ended && !stream.left).count();
        ensure!(open == 0 || self.world.rough, "{open} jobs that never end for who watches");
        let twice = self.world.strings.starts().into_values().filter(|starts| *starts > 1).count();
        ensure!(twice == 0, "{twice} keys had two jobs");
        // And all of it again, to the byte.
        for who in 0..2 {
            let from = if self.world.kind == Kind::None { From::Zero } else { From::Less(1) };
            self.resume(who, Token::Newest, from, true, 64).await?;
        }
        Ok(())
    }
}

fn numbered(text: &str) -> Option<u64> {
    serde_json::from_str::<Value>(text).ok()?["event_seq"].as_u64()
}

fn run(kind: Kind, ops: Vec<Op>) -> Checked {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async move {
        let mut model = Model::new(kind).await?;
        for (n, op) in ops.into_iter().enumerate() {
            model.step(op).await.map_err(|e| format!("step {n}, {op:?}: {e}"))?;
        }
        model.finish().await.map_err(|e| format!("in the end: {e}"))
    })
}

fn config(cases: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, max_shrink_time: 60_000, ..usual }
}

proptest! {
    #![proptest_config(config(384))]

    #[test]
    fn p3_without_a_store_nothing_is_lost_or_told_twice(ops in prop::collection::vec(op(), 1..40)) {
        run(Kind::None, ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn p3_on_a_store_nothing_is_lost_or_told_twice(ops in prop::collection::vec(op(), 1..40)) {
        run(Kind::Memory, ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn p3_p4_on_a_store_that_fails_nothing_is_lost_or_told_twice(ops in prop::collection::vec(op(), 1..40)) {
        run(Kind::Flaky, ops).map_err(TestCaseError::fail)?;
    }
}
