//! Errors of layers that are not ours.

use arcp_core::{Code, Error};

/// Any layer's error as one of ours: ours keep their code wherever they are in the chain, the rest
/// say nothing about the inside.
pub(crate) fn to_wire(e: &(dyn std::error::Error + 'static)) -> Error {
    known_in(e).cloned().unwrap_or_else(|| {
        tracing::warn!(error = %e, "a layer failed");
        Error::new(Code::InternalError, "the request could not be completed")
    })
}

/// The error of ours in a chain, if there is one.
pub(crate) fn known_in<'a>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(e);
    while let Some(cause) = next {
        if let Some(known) = cause.downcast_ref::<Error>() {
            return Some(known);
        }
        next = cause.source();
    }
    None
}
