//! The first step of decoding: the header, read strictly and by name, the payload left as text.

use std::fmt;

use bytestring::ByteString;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::limits::look_through;
use super::{Envelope, Limits, MessageType};
use crate::{Error, Json, MessageId, TraceContext};

/// A frame that is no envelope, with as much of it as could be read, so that the answer can name
/// the request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// The frame's id, if that could be read.
    pub id: Option<MessageId>,
    /// What is wrong.
    pub error: Error,
}

impl Envelope {
    /// Decodes a frame. Unknown top-level members are ignored (§5); the payload stays text, a
    /// slice of the frame. A `null` is as good as none, except for `type` and `arcp`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the member and the rule, if the frame is no envelope.
    pub fn decode(frame: &ByteString, limits: Limits) -> Result<Self, Fault> {
        let bare = |error| Fault { id: None, error };
        look_through(frame, limits).map_err(|rule| bare(Error::fault("message", &rule)))?;
        let header: Header<'_> = serde_json::from_str(frame).map_err(|e| {
            let rule =
                if e.is_data() { "must be a JSON object" } else { "must be one JSON object, complete" };
            bare(Error::fault("message", rule))
        })?;
        header.check(frame)
    }
}

/// Raw members: each is checked by name, so that a fault can say which one is wrong.
#[derive(Default)]
struct Header<'a> {
    arcp: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    job_id: Option<&'a RawValue>,
    trace_id: Option<&'a RawValue>,
    traceparent: Option<&'a RawValue>,
    tracestate: Option<&'a RawValue>,
    event_seq: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    twice: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Header<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
                let mut header = Header::default();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let (slot, name) = match &*key {
                        "arcp" => (&mut header.arcp, "arcp"),
                        "id" => (&mut header.id, "id"),
                        "type" => (&mut header.kind, "type"),
                        "session_id" => (&mut header.session_id, "session_id"),
                        "job_id" => (&mut header.job_id, "job_id"),
                        "trace_id" => (&mut header.trace_id, "trace_id"),
                        "traceparent" => (&mut header.traceparent, "traceparent"),
                        "tracestate" => (&mut header.tracestate, "tracestate"),
                        "event_seq" => (&mut header.event_seq, "event_seq"),
                        "payload" => (&mut header.payload, "payload"),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let value: &'de RawValue = map.next_value()?;
                    if slot.replace(value).is_some() {
                        header.twice = Some(name);
                    }
                }
                Ok(header)
            }
        }
        d.deserialize_map(Members)
    }
}

impl Header<'_> {
    fn check(self, frame: &ByteString) -> Result<Envelope, Fault> {
        let id = text(self.id, "id").and_then(|id| parsed(id, "id"));
        let known = id.as_ref().ok().cloned().flatten();
        self.rest(frame, id).map_err(|error| Fault { id: known, error })
    }

    fn rest(self, frame: &ByteString, id: Result<Option<MessageId>, Error>) -> Result<Envelope, Error> {
        if let Some(name) = self.twice {
            return Err(Error::fault(name, "must be there once"));
        }
        version(text(self.arcp, "arcp")?.as_deref())?;
        let kind = text(self.kind, "type")?.ok_or_else(|| Error::fault("type", "must be there"))?;
        if kind.is_empty() || kind.len() > 128 {
            return Err(Error::fault("type", "must have 1 to 128 characters"));
        }
        let event_seq = match self.event_seq.map(RawValue::get).filter(|raw| *raw != "null") {
            Some(raw) => {
                let seq =
                    raw.parse().map_err(|_| Error::fault("event_seq", "must be a whole number, 0 or more"));
                Some(seq?)
            }
            None => None,
        };
        let payload = match self.payload {
            Some(raw) if raw.get().starts_with('{') => Json::slice_of(frame, raw),
            None => Json::empty_object(),
            Some(raw) if raw.get() == "null" => Json::empty_object(),
            Some(_) => return Err(Error::fault("payload", "must be an object")),
        };
        let trace_id = text(self.trace_id, "trace_id")?;
        let trace_context = context(trace_id.as_deref(), self.traceparent, self.tracestate);
        let trace_id = parsed(trace_id, "trace_id")?;
        // Of two traces the one that every peer reads counts.
        let trace_context = trace_context.filter(|c| trace_id.is_none_or(|id| id == c.trace_id()));
        Ok(Envelope {
            id: id?,
            kind: MessageType::from(&*kind),
            session_id: parsed(text(self.session_id, "session_id")?, "session_id")?,
            job_id: parsed(text(self.job_id, "job_id")?, "job_id")?,
            trace_id: trace_id.or_else(|| trace_context.as_ref().map(|c| c.trace_id())),
            trace_context,
            event_seq,
            payload,
        })
    }
}

fn text<'a>(raw: Option<&'a RawValue>, name: &str) -> Result<Option<std::borrow::Cow<'a, str>>, Error> {
    let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
    if let Some(plain) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'))
        && !plain.contains('\\')
    {
        return Ok(Some(plain.into()));
    }
    serde_json::from_str::<String>(raw)
        .map(|s| Some(s.into()))
        .map_err(|_| Error::fault(name, "must be a text"))
}

fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
    text: Option<std::borrow::Cow<'_, str>>,
    name: &str,
) -> Result<Option<T>, Error> {
    text.map(|text| text.parse().map_err(|e: T::Err| Error::fault(name, &e.to_string()))).transpose()
}

/// The trace context of a header: a whole `traceparent` as `trace_id`, or one of its own. One that is
/// none is as good as not there: it is no part of the protocol.
fn context(
    trace_id: Option<&str>,
    parent: Option<&RawValue>,
    state: Option<&RawValue>,
) -> Option<Box<TraceContext>> {
    let beside = || text(parent, "traceparent").ok().flatten()?.parse::<TraceContext>().ok();
    let context = trace_id.and_then(|text| text.parse().ok()).or_else(beside)?;
    let state = text(state, "tracestate").ok().flatten();
    Some(Box::new(match state {
        Some(state) => context.with_state(&state),
        None => context,
    }))
}

/// We take `1` and `1.<digits>`: a later minor version only adds.
fn version(arcp: Option<&str>) -> Result<(), Error> {
    let ok = |text: &str| match text.split_once('.') {
        None => text == "1",
        Some((major, minor)) => {
            major == "1" && !minor.is_empty() && minor.len() < 8 && minor.bytes().all(|b| b.is_ascii_digit())
        }
    };
    if arcp.is_some_and(ok) {
        return Ok(());
    }
    let details = Json::composed(format!(r#"{{"path":"arcp","supported":["{}"]}}"#, super::VERSION));
    let message = format!("arcp: must be a version that is supported here, {}", super::VERSION);
    Err(Error::new(crate::Code::InvalidRequest, message).with_details(details))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Envelope, String> {
        Envelope::decode(&text.into(), Limits::default()).map_err(|fault| fault.error.message().to_owned())
    }

    #[test]
    fn what_is_no_envelope_is_refused_by_field_and_rule() {
        let cases = [
            ("", "message: must be one JSON object, complete"),
            (" ", "message: must be one JSON object, complete"),
            ("{\"arcp\":\"1.1\",\"id\":", "message: must be one JSON object, complete"),
            ("null", "message: must be a JSON object"),
            ("[]", "message: must be a JSON object"),
            ("\"x\"", "message: must be a JSON object"),
            ("1", "message: must be a JSON object"),
            ("{}{}", "message: must be one JSON object, complete"),
            (r#"{"type":"session.ping"}"#, "arcp: must be a version that is supported here, 1.1"),
            (r#"{"arcp":1,"type":"a"}"#, "arcp: must be a text"),
            (r#"{"arcp":"2","type":"a"}"#, "arcp: must be a version that is supported here, 1.1"),
            (r#"{"arcp":"1.","type":"a"}"#, "arcp: must be a version that is supported here, 1.1"),
            (r#"{"arcp":"1.1"}"#, "type: must be there"),
            (r#"{"arcp":"1.1","type":7}"#, "type: must be a text"),
            (r#"{"arcp":"1.1","type":""}"#, "type: must have 1 to 128 characters"),
            (r#"{"arcp":"1.1","type":"a","type":"b"}"#, "type: must be there once"),
            (r#"{"arcp":"1.1","type":"a","\u0074ype":"b"}"#, "type: must be there once"),
            (r#"{"arcp":"1.1","type":"a","event_seq":1,"event_seq":1}"#, "event_seq: must be there once"),
            (r#"{"arcp":"1.1","type":"a","event_seq":-1}"#, "event_seq: must be a whole number, 0 or more"),
            (r#"{"arcp":"1.1","type":"a","event_seq":1.0}"#, "event_seq: must be a whole number, 0 or more"),
            (
                r#"{"arcp":"1.1","type":"a","event_seq":18446744073709551616}"#,
                "event_seq: must be a whole number, 0 or more",
            ),
            (r#"{"arcp":"1.1","type":"a","id":5}"#, "id: must be a text"),
            (r#"{"arcp":"1.1","type":"a","session_id":{}}"#, "session_id: must be a text"),
            (r#"{"arcp":"1.1","type":"a","job_id":[]}"#, "job_id: must be a text"),
            (r#"{"arcp":"1.1","type":"a","payload":[]}"#, "payload: must be an object"),
            (r#"{"arcp":"1.1","type":"a","payload":"x"}"#, "payload: must be an object"),
        ];
        for (frame, wanted) in cases {
            assert_eq!(decode(frame).unwrap_err(), wanted, "{frame}");
        }
        for bad_id in [r#""a\"b""#, r#""a\nb""#, r#""\ud800""#, &format!("\"{}\"", "x".repeat(10_240))] {
            let fault = decode(&format!(r#"{{"arcp":"1.1","type":"a","id":{bad_id}}}"#)).unwrap_err();
            assert!(fault.starts_with("id: must be"), "{bad_id} {fault}");
        }
    }

    #[test]
    fn a_fault_keeps_the_id_that_it_answers() {
        let frame = r#"{"arcp":"1.1","id":"01J00000000000000000000000","type":7}"#;
        let fault = Envelope::decode(&frame.into(), Limits::default()).unwrap_err();
        assert_eq!(fault.id.unwrap().as_str(), "01J00000000000000000000000");
    }

    #[test]
    fn s44_a_trace_context_is_taken_whole_or_not_at_all() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let parent = format!("00-{trace}-{span}-01");
        let read = |members: &str| decode(&format!(r#"{{"arcp":"1.1","type":"a",{members}}}"#)).unwrap();
        let whole = read(&format!(r#""trace_id":"{parent}","tracestate":"a=1""#)).trace_context.unwrap();
        assert_eq!((whole.to_string(), whole.state()), (parent.clone(), Some("a=1")));
        let beside = read(&format!(r#""trace_id":"{trace}","traceparent":"{parent}""#));
        assert_eq!(beside.trace_context.unwrap().to_string(), parent);
        assert_eq!(read(&format!(r#""traceparent":"{parent}""#)).trace_id.unwrap().to_string(), trace);
        let other = format!(r#""trace_id":"{}1","traceparent":"{parent}""#, "0".repeat(31));
        for bad in [
            r#""traceparent":7"#,
            r#""traceparent":"00-x-y-01""#,
            r#""tracestate":"a=1""#,
            &other,
            &format!(r#""trace_id":"{trace}""#),
        ] {
            assert_eq!(read(bad).trace_context, None, "{bad}");
        }
        let sent = Envelope::of_json(MessageType::Ping, Json::empty_object()).with_trace_context(*whole);
        let id = MessageId::from_bits(1);
        assert_eq!(decode(&sent.encode(None, &id)).unwrap().trace_context, sent.trace_context);
    }

    #[test]
    fn t3_unknown_members_and_nulls_are_ignored() {
        let e = decode(
            r#"{"future":{"a":1},"arcp":"1.7","type":"session.ping","id":null,"job_id":null,"payload":null}"#,
        )
        .unwrap();
        assert_eq!((e.kind, e.id, e.payload), (MessageType::Ping, None, Json::empty_object()));
    }
}
