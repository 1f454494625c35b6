//! What a lost connection and a resume mean for the requests that are under way (§6.3).

use std::time::Instant;

use arcp_core::Feature;

use crate::engine::{Engine, Slot};
use crate::error::Disconnected;
use crate::session::SessionInfo;

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

    /// The session goes on over a new connection, of which `info` tells.
    pub(crate) fn resumed(&mut self, now: Instant, info: &SessionInfo) {
        self.expire(now);
        self.peer.processed(now, self.acknowledged());
        self.peer.resumed(now, info.heartbeat());
        self.subscribes = info.features.has(Feature::Subscribe);
        let mut unsent = self.out.unsent();
        // What is no request says that a job is watched no longer. All of that is said again, as nobody knows
        // what arrived of it: before the requests, of which one may be to watch such a job again.
        unsent.retain(|frame| frame.request.is_some());
        for job in self.jobs.unwatched() {
            self.unsubscribe(now, &job);
        }
        for request in self.pending.iter_mut() {
            // What is not asked for any more is not sent either.
            let waits = unsent.iter().position(|frame| frame.request.as_ref() == Some(&request.id));
            let text = match waits.and_then(|at| unsent.remove(at)) {
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
