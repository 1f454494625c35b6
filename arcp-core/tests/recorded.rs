//! Frames that other SDKs put on the wire, recorded between their own clients and runtimes: each is
//! an envelope, and its payload is of our type for it. The frames show what peers do, defects
//! included; they are no model of what is right.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use arcp_core::wire::event::EventBody;
use arcp_core::{Envelope, Json};
use common::Payload;
use serde::Deserialize;

const SDKS: [(&str, &str); 3] = [
    ("python", include_str!("recorded/python.jsonl")),
    ("typescript", include_str!("recorded/typescript.jsonl")),
    ("go", include_str!("recorded/go.jsonl")),
];

/// One line of a recording.
#[derive(Deserialize)]
struct Line {
    /// What the two peers were made to do.
    scenario: String,
    /// `c2s` or `s2c`.
    dir: String,
    /// The frame.
    frame: Option<Json>,
    /// The same, where it was sent as text of the driver's own making.
    text: Option<String>,
}

impl Line {
    fn of(line: &str) -> Self {
        serde_json::from_str(line).unwrap()
    }

    fn frame(&self) -> &str {
        self.frame.as_ref().map(Json::as_str).or(self.text.as_deref()).unwrap()
    }
}

/// Every recorded line, with a name for messages.
fn recorded() -> impl Iterator<Item = (String, Line)> {
    SDKS.iter().flat_map(|(sdk, lines)| {
        lines.lines().enumerate().map(move |(n, line)| {
            let line = Line::of(line);
            (format!("{sdk}.jsonl:{} ({} {})", n + 1, line.scenario, line.dir), line)
        })
    })
}

/// Frames that the drivers made wrong on purpose: the scenario, and how we refuse its frame.
const WRONG_ON_PURPOSE: [(&str, &str); 5] = [
    ("lease_bad_namespace", LEASE),
    // A frame that was cut short.
    ("malformed_frame", "INVALID_REQUEST: message: must be one JSON object, complete"),
    ("unknown_type", "unknown type session.frobnicate"),
    ("unknown_type", "unknown type x-vendor.acme.hello"),
    ("wrong_version", "INVALID_REQUEST: arcp: must be a version that is supported here, 1.1"),
];

/// A lease request for `made.up`, which is no namespace.
const LEASE: &str = "INVALID_REQUEST: payload.lease_request.made.up: \
     must be a namespace of section 9.2 or begin with x-vendor.";

/// Why a frame is none of ours.
fn fault(frame: &str) -> Option<String> {
    let read = common::decode(frame).and_then(|frame| Ok((Payload::read(&frame)?, frame)));
    match read {
        Ok((Some(Payload::Event(event)), _)) => match event.body {
            EventBody::Other { kind, .. } if !kind.starts_with("x-vendor.") => {
                Some(format!("the event {kind} has no body of its kind"))
            }
            _ => None,
        },
        Ok((Some(_), _)) => None,
        Ok((None, frame)) => Some(format!("unknown type {}", frame.kind.as_str())),
        Err(e) => Some(e.to_string()),
    }
}

#[test]
fn every_recorded_frame_and_its_payload_is_read_unless_it_is_wrong_on_purpose() {
    let mut refused = BTreeSet::new();
    for (at, line) in recorded() {
        let Some(fault) = fault(line.frame()) else { continue };
        let scenario = line.scenario.strip_prefix("raw-").unwrap_or(&line.scenario);
        let known = WRONG_ON_PURPOSE.iter().find(|known| **known == (scenario, &*fault));
        refused.insert(known.unwrap_or_else(|| panic!("{at}: {fault}: {}", line.frame())));
    }
    assert_eq!(refused, BTreeSet::from(WRONG_ON_PURPOSE.each_ref()));
}

#[test]
fn what_was_read_is_written_so_that_it_reads_the_same() {
    for (at, line) in recorded() {
        let Ok(frame) = common::decode(line.frame()) else { continue };
        let Ok(Some(payload)) = Payload::read(&frame) else { continue };
        let again = Envelope::of_json(frame.kind, payload.to_json().unwrap());
        assert_eq!(Payload::read(&again).unwrap(), Some(payload), "{at}");
    }
}
