//! What a lost connection and a resume mean for the requests that are under way (§6.3).

use std::time::{Duration, Instant};

use crate::engine::{Engine, Slot};
use crate::error::Disconnected;

impl Engine {
    /// The connection is lost, and the session is about to be resumed. Requests fail that may have
    /// had an effect and cannot be repeated; the others wait, each for its own time.
    pub(crate) fn lost(&mut self, why: &Disconnected) {
        let unsent = self.out.unsent();
        let requests: Vec<_> = self.pending.drain().collect();
        for request in requests {
            let waits = unsent.iter().any(|frame| frame.request.as_ref() == Some(&request.id));
            if waits || request.again.is_some() {
                self.pending.push(request);
            } else {
                self.fail(request, why.clone().into());
            }
        }
        for frame in unsent {
            self.out.request(frame.request, frame.text);
        }
    }

    /// The session goes on over a new connection.
    pub(crate) fn resumed(&mut self, now: Instant, heartbeat: Option<Duration>) {
        self.expire(now);
        self.peer.processed(now, self.acknowledged());
        self.peer.resumed(now, heartbeat);
        let (mut unsent, others): (Vec<_>, Vec<_>) =
            self.out.unsent().into_iter().partition(|frame| frame.request.is_some());
        for frame in others {
            self.out.request(None, frame.text);
        }
        for request in self.pending.iter_mut() {
            // What is not asked for any more is not sent either.
            let waits = unsent.iter().position(|frame| frame.request.as_ref() == Some(&request.id));
            let text = match waits.map(|at| unsent.swap_remove(at)) {
                Some(frame) => frame.text,
                None => match &request.again {
                    Some(frame) => {
                        request.repeated = true;
                        frame.clone()
                    }
                    None => continue,
                },
            };
            if let Slot::Ping { sent, .. } = &mut request.slot {
                *sent = now;
            }
            self.out.request(Some(request.id.clone()), text);
        }
        // A repeated submit may have been accepted before, and then events of its job come before
        // anyone knows whose they are.
        self.jobs.keep_unknown |= self.pending.repeats_a_submit();
    }
}
