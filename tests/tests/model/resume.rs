//! Connections that continue a session, with tokens and numbers of all kinds (§6.3).

use std::time::Duration;

use serde_json::json;

use super::client::{Checked, ensure};
use super::op::{From, Token, Who};
use super::world::Kind;
use super::{Model, numbered};

impl Model {
    pub(super) async fn cut_welcome(&mut self, who: Who, read: bool) -> Checked {
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
    pub(super) async fn present(
        &mut self,
        who: Who,
        token: Token,
        from: From,
        capacity: usize,
    ) -> Checked<String> {
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
            ensure!(
                old.closed == Some(4409) || world.ill || old.ailing,
                "taken over, but closed with {:?}",
                old.closed
            );
        }
        Ok(String::new())
    }

    pub(super) async fn resume(
        &mut self,
        who: Who,
        token: Token,
        from: From,
        over: bool,
        capacity: usize,
    ) -> Checked {
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
}
