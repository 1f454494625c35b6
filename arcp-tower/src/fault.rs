//! Errors of layers that are not ours.

use arcp_core::{Code, Error};

/// Any layer's error as one of ours: ours keep their code wherever they are in the chain, the rest
/// say nothing about the inside.
pub(crate) fn to_wire(e: &(dyn std::error::Error + 'static)) -> Error {
    let mut next = Some(e);
    while let Some(cause) = next {
        if let Some(known) = cause.downcast_ref::<Error>() {
            return known.clone();
        }
        next = cause.source();
    }
    tracing::warn!(error = %e, "a layer failed");
    Error::new(Code::InternalError, "the request could not be completed")
}
