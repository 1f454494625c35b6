//! What is written reads back as what it was: every envelope and every payload, with any text and
//! any JSON inside.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod strategy;

use arcp_core::event::EventIds;
use arcp_core::{Envelope, Event, MessageId, SessionId};
use common::Payload;
use proptest::prelude::*;
use strategy::payload::payload;

proptest! {
    #[test]
    fn an_envelope_reads_back(envelope in strategy::envelope()) {
        let frame = envelope.encode(None, &MessageId::from_bits(0));
        prop_assert_eq!(common::decode(&frame).unwrap(), envelope);
    }

    #[test]
    fn a_payload_of_every_type_reads_back(payload in payload()) {
        let frame = Envelope::of_json(payload.kind(), payload.to_json().unwrap())
            .encode(None, &MessageId::from_bits(0));
        let read = common::decode(&frame).unwrap();
        prop_assert_eq!(&read.kind, &payload.kind());
        prop_assert_eq!(Payload::read(&read).unwrap(), Some(payload));
    }

    #[test]
    fn an_event_reads_back_under_its_number(
        event in strategy::event::event(),
        job in strategy::job_id(),
        trace in strategy::maybe(strategy::trace_id()),
        secret: [u8; 32],
        seq: u64,
    ) {
        let (session, id) = (SessionId::from_bits(1), EventIds::new(&secret).id(seq));
        let sent = Event::new(event.body.kind(), job.clone(), trace, event.to_json().unwrap());
        let read = common::decode(&sent.encode(&session, &id, seq)).unwrap();
        prop_assert_eq!((&read.id, &read.session_id), (&Some(id.into()), &Some(session)));
        prop_assert_eq!((&read.job_id, read.trace_id, read.event_seq), (&Some(job), trace, Some(seq)));
        prop_assert_eq!(Payload::read(&read).unwrap(), Some(Payload::Event(event)));
    }
}
