//! Payloads of every message type.

use std::collections::BTreeMap;

use arcp_core::agent::{AgentInfo, AgentRef, Inventory};
use arcp_core::job::{FinalStatus, Status};
use arcp_core::lease::{Lease, LeaseConstraints, Namespace};
use arcp_core::money::{Amount, Currency};
use arcp_core::wire::{job, session};
use arcp_core::{Code, Envelope, Error, Feature, Features, MessageType};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use session::ResumeRequest;

use super::event::event;
use super::{
    delegate_id, job_id, json, maybe, message_id, object, result_id, session_id, text, time, trace_id,
};
use crate::common::Payload;

/// Any payload.
pub(crate) fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        prop_oneof![
            hello().prop_map(Payload::Hello),
            welcome().prop_map(Payload::Welcome),
            resume().prop_map(Payload::Resume),
            (text(), maybe(text()))
                .prop_map(|(nonce, sent_at)| Payload::Ping(session::Ping { nonce, sent_at })),
            (text(), maybe(text())).prop_map(|(ping_nonce, received_at)| {
                Payload::Pong(session::Pong { ping_nonce, received_at })
            }),
            any::<u64>().prop_map(|seq| Payload::Ack(session::Ack { last_processed_seq: seq })),
            list_jobs().prop_map(Payload::ListJobs),
            jobs().prop_map(Payload::Jobs),
            close().prop_map(Payload::Close),
            close().prop_map(Payload::Bye),
            close().prop_map(Payload::Closed),
            session_error().prop_map(Payload::SessionError),
        ],
        prop_oneof![
            submit().prop_map(Payload::Submit),
            accepted().prop_map(Payload::Accepted),
            (maybe(job_id()), maybe(text())).prop_map(|(job_id, reason)| {
                let mut cancel = job::Cancel::default();
                (cancel.job_id, cancel.reason) = (job_id, reason);
                Payload::Cancel(cancel)
            }),
            (job_id(), maybe(message_id()), maybe(text())).prop_map(|(job_id, request_id, reason)| {
                Payload::JobCancelled(job::Cancelled::new(job_id, request_id, reason))
            }),
            (maybe(job_id()), maybe(any::<u64>()), any::<bool>()).prop_map(|(job_id, from, history)| {
                let mut subscribe = job::Subscribe::default();
                (subscribe.job_id, subscribe.from_event_seq, subscribe.history) = (job_id, from, history);
                Payload::Subscribe(subscribe)
            }),
            subscribed().prop_map(Payload::Subscribed),
            maybe(job_id()).prop_map(|job_id| {
                let mut unsubscribe = job::Unsubscribe::default();
                unsubscribe.job_id = job_id;
                Payload::Unsubscribe(unsubscribe)
            }),
            event().prop_map(Payload::Event),
            result().prop_map(Payload::Result),
            job_error().prop_map(Payload::JobError),
        ],
    ]
}

fn party() -> impl Strategy<Value = session::Party> {
    (text(), text()).prop_map(|(name, version)| session::Party::new(name, version))
}

fn features() -> impl Strategy<Value = Features> {
    subsequence(Feature::ALL, 0..=Feature::ALL.len()).prop_map(|some| Features::of(&some))
}

fn hello() -> impl Strategy<Value = session::Hello> {
    let auth = (text(), maybe(text())).prop_map(|(scheme, token)| {
        let mut auth = session::Auth::bearer("");
        (auth.scheme, auth.token) = (scheme, token);
        auth
    });
    let encodings = prop::collection::vec(text(), 0..3);
    (maybe(party()), maybe(auth), encodings, features(), maybe(text())).prop_map(
        |(client, auth, encodings, features, profile)| {
            let mut hello = session::Hello::default();
            (hello.client, hello.auth) = (client, auth);
            hello.capabilities.encodings = encodings;
            hello.capabilities.features = features;
            hello.capabilities.profile = profile;
            hello
        },
    )
}

fn agents() -> impl Strategy<Value = Vec<AgentInfo>> {
    prop::collection::btree_set(agent(), 0..4).prop_map(|agents| {
        let mut inventory = Inventory::default();
        for agent in agents {
            // `x` and `x@1.0.0` are one agent: the second is not taken.
            let _ = inventory.register(&agent, ());
        }
        inventory.describe()
    })
}

fn welcome() -> impl Strategy<Value = session::Welcome> {
    let fields = (maybe(session_id()), maybe(time()), text(), any::<u64>(), maybe(any::<u64>()));
    (party(), features(), agents(), fields).prop_map(|(runtime, features, agents, fields)| {
        let mut welcome = session::Welcome::new(runtime, features, agents);
        (
            welcome.session_id,
            welcome.accepted_at,
            welcome.resume_token,
            welcome.resume_window_sec,
            welcome.heartbeat_interval_sec,
        ) = fields;
        welcome
    })
}

/// Only reading makes one.
fn resume() -> impl Strategy<Value = ResumeRequest> {
    (session_id(), text(), any::<u64>()).prop_map(|(session_id, resume_token, last_event_seq)| {
        let fields = serde_json::json!({
            "session_id": session_id, "resume_token": resume_token, "last_event_seq": last_event_seq,
        });
        let frame = Envelope::new(MessageType::Resume, &fields).unwrap();
        ResumeRequest::read(&frame).unwrap().unwrap()
    })
}

fn close() -> impl Strategy<Value = session::Close> {
    maybe(text()).prop_map(|reason| session::Close { reason })
}

fn status() -> impl Strategy<Value = Status> {
    use Status::{Cancelled, Error, Pending, Running, Success, TimedOut};
    select(&[Pending, Running, Success, Error, Cancelled, TimedOut])
}

fn final_status() -> impl Strategy<Value = FinalStatus> {
    use FinalStatus::{Cancelled, Error, Success, TimedOut};
    select(&[Success, Error, Cancelled, TimedOut])
}

fn list_jobs() -> impl Strategy<Value = session::ListJobs> {
    let filter = (maybe(prop::collection::vec(status(), 0..3)), maybe(text()), maybe(time()));
    (maybe(filter), maybe(any::<u32>()), maybe(text())).prop_map(|(filter, limit, cursor)| {
        let mut list = session::ListJobs::default();
        (list.limit, list.cursor) = (limit, cursor);
        list.filter = filter.map(|fields| {
            let mut filter = session::JobFilter::default();
            (filter.status, filter.agent, filter.created_after) = fields;
            filter
        });
        list
    })
}

fn jobs() -> impl Strategy<Value = session::Jobs> {
    let fields = (lease(), maybe(time()), maybe(time()), any::<u64>(), maybe(trace_id()), maybe(job_id()));
    let entry = (job_id(), text(), status(), time(), fields).prop_map(|(job, agent, status, at, fields)| {
        let mut entry = session::JobEntry::new(job, agent, status, at);
        (
            entry.lease,
            entry.created_at,
            entry.submitted_at,
            entry.last_event_seq,
            entry.trace_id,
            entry.parent_job_id,
        ) = fields;
        entry
    });
    (maybe(message_id()), prop::collection::vec(entry, 0..3), maybe(text()))
        .prop_map(|(request_id, jobs, next)| session::Jobs::new(request_id, jobs, next))
}

/// An error with details or without.
pub(crate) fn error() -> impl Strategy<Value = Error> {
    (select(Code::ALL), text(), any::<bool>(), maybe(object())).prop_map(
        |(code, message, retryable, details)| {
            let error = Error::new(code, message).with_retryable(retryable);
            details.into_iter().fold(error, Error::with_details)
        },
    )
}

fn session_error() -> impl Strategy<Value = session::SessionError> {
    (error(), maybe(message_id()), maybe(job_id()))
        .prop_map(|(error, request_id, job_id)| session::SessionError::new(&error, request_id, job_id))
}

fn job_error() -> impl Strategy<Value = job::JobError> {
    let fields = (maybe(job_id()), maybe(message_id()), maybe(time()));
    (final_status(), error(), time(), fields).prop_map(|(status, error, at, fields)| {
        let mut failed = job::JobError::new(status, &error, at);
        (failed.job_id, failed.request_id, failed.completed_at) = fields;
        failed
    })
}

fn agent() -> impl Strategy<Value = AgentRef> {
    "[a-z0-9][a-z0-9._-]{0,20}(@[A-Za-z0-9.+_-]{1,12})?".prop_map(|agent| agent.parse().unwrap())
}

/// An amount of at most 28 digits, with a sign.
pub(crate) fn amount() -> impl Strategy<Value = Amount> {
    "-?(0|[1-9][0-9]{0,13})(\\.[0-9]{1,14})?".prop_map(|text| Amount::parse_number(&text).unwrap())
}

fn budget() -> impl Strategy<Value = BTreeMap<Currency, Amount>> {
    let currency = "[A-Za-z0-9_.-]{1,32}".prop_map(|text| text.parse().unwrap());
    prop::collection::btree_map(currency, amount(), 0..3)
}

fn lease() -> impl Strategy<Value = Lease> {
    let known = ["fs.read", "fs.write", "net.fetch", "tool.call", "agent.delegate", "cost.budget"];
    let vendor = text().prop_filter("a vendor has a name", |name| !name.is_empty());
    let namespace = (any::<Index>(), maybe(vendor)).prop_map(move |(index, vendor)| {
        let name = vendor.map_or((*index.get(&known)).to_owned(), |name| format!("x-vendor.{name}"));
        name.parse::<Namespace>().unwrap()
    });
    prop::collection::btree_map(namespace, prop::collection::vec(text(), 0..3), 0..4).prop_map(Lease)
}

pub(crate) fn constraints() -> impl Strategy<Value = LeaseConstraints> {
    maybe(text()).prop_map(|expires_at| {
        let mut constraints = LeaseConstraints::default();
        constraints.expires_at = expires_at;
        constraints
    })
}

fn submit() -> impl Strategy<Value = job::Submit> {
    let fields = (lease(), maybe(constraints()), maybe(text()), maybe(any::<u64>()));
    (agent(), json(), fields).prop_map(|(agent, input, fields)| {
        let mut submit = job::Submit::new(agent, input);
        (submit.lease_request, submit.lease_constraints, submit.idempotency_key, submit.max_runtime_sec) =
            fields;
        submit
    })
}

fn accepted() -> impl Strategy<Value = job::Accepted> {
    let fields = (maybe(text()), maybe(message_id()), maybe(trace_id()));
    let fields = (fields, (maybe(job_id()), maybe(delegate_id())));
    let authority = (lease(), maybe(constraints()), maybe(budget()));
    (job_id(), agent(), time(), fields, authority).prop_map(|(job, agent, at, fields, authority)| {
        let mut accepted = job::Accepted::new(job, agent.to_string(), at);
        let (fields, delegation) = fields;
        (accepted.agent, accepted.request_id, accepted.trace_id) = fields;
        (accepted.parent_job_id, accepted.delegate_id) = delegation;
        (accepted.lease, accepted.lease_constraints, accepted.budget) = authority;
        accepted
    })
}

fn subscribed() -> impl Strategy<Value = job::Subscribed> {
    let delegation = (maybe(job_id()), maybe(delegate_id()));
    let fields = (maybe(message_id()), maybe(trace_id()), delegation, any::<u64>(), any::<bool>());
    let authority = (lease(), maybe(constraints()), maybe(budget()));
    (job_id(), text(), status(), fields, authority).prop_map(|(job, agent, status, fields, authority)| {
        let mut subscribed = job::Subscribed::new(job, agent, status);
        (
            subscribed.request_id,
            subscribed.trace_id,
            (subscribed.parent_job_id, subscribed.delegate_id),
            subscribed.subscribed_from,
            subscribed.replayed,
        ) = fields;
        (subscribed.lease, subscribed.lease_constraints, subscribed.budget) = authority;
        subscribed
    })
}

fn result() -> impl Strategy<Value = job::JobResult> {
    let streamed = (maybe(result_id()), maybe(any::<u64>()));
    let inline = (maybe(json()), maybe(json()));
    let fields = (final_status(), maybe(job_id()), maybe(text()), maybe(time()));
    (job_id(), time(), streamed, inline, fields).prop_map(|(job, at, streamed, inline, fields)| {
        let mut result = job::JobResult::new(job, at);
        (result.result_id, result.result_size) = streamed;
        (result.result, result.output) = inline;
        (result.final_status, result.job_id, result.summary, result.completed_at) = fields;
        result
    })
}
