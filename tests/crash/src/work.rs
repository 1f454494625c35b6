//! The jobs: a mix of what the demonstration's agents do.

use serde_json::{Value, json};

use crate::rng::Rng;

/// A submit that may have to be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) key: String,
    payload: Value,
}

impl Work {
    pub(crate) fn any(key: String, rng: &mut Rng) -> Self {
        let (agent, input) = match rng.within(0..20) {
            0..6 => ("chatty", json!({ "count": rng.within(20..200), "delay_ms": rng.within(2..20) })),
            6..8 => ("chatty", json!({ "count": rng.within(50..500) })),
            8..11 => ("progress", json!({ "total": rng.within(5..40), "delay_ms": rng.within(5..40) })),
            11..14 => {
                let seconds = Value::from(f64::from(u32::try_from(rng.within(1..12)).unwrap_or(1)) / 4.0);
                ("slow", json!({ "seconds": seconds, "tick_ms": rng.within(10..60) }))
            }
            14..16 => ("echo", json!({ "key": key })),
            16 => ("fails", json!({ "message": key })),
            17 => ("kinds", Value::Null),
            _ => {
                let encoding = if rng.percent(50) { "utf8" } else { "base64" };
                ("chunker", json!({ "size": rng.within(1..40_000), "chunk": 500, "encoding": encoding }))
            }
        };
        Self::of(key, agent, &input)
    }

    /// A job that goes on for longer than anybody waits.
    pub(crate) fn long(key: String) -> Self {
        Self::of(key, "chatty", &json!({ "count": 100_000, "delay_ms": 20 }))
    }

    pub(crate) fn short(key: String) -> Self {
        Self::of(key, "echo", &json!(1))
    }

    fn of(key: String, agent: &str, input: &Value) -> Self {
        let payload = json!({ "agent": agent, "input": input, "idempotency_key": key });
        Self { key, payload }
    }

    pub(crate) fn payload(&self) -> &Value {
        &self.payload
    }
}
