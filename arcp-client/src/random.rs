//! Identifiers of the client's own: 128 random bits, no time and no counter.

use arcp_core::{Code, Error, MessageId, TraceId};

fn bits() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(Code::InternalError, "the system gives no random bits"))?;
    Ok(u128::from_be_bytes(bytes))
}

/// A message's id, in the shape of a ULID.
pub(crate) fn message_id() -> Result<MessageId, Error> {
    bits().map(MessageId::from_bits)
}

/// A new trace.
pub(crate) fn trace_id() -> Result<TraceId, Error> {
    bits().map(TraceId::from_bits)
}

/// A number from 0 up to 1, without 1.
pub(crate) fn fraction() -> Result<f64, Error> {
    let [a, b, c, d, ..] = bits()?.to_be_bytes();
    Ok(f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0))
}
