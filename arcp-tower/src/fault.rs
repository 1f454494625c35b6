//! Errors of what is not ours: layers, agents, tools, services.

use arcp_core::{Code, Error, Json};

use crate::config::Config;

/// An error of an agent, a tool or a service, cut so that what carries it fits into a frame.
pub(crate) fn cut(e: Error, config: &Config) -> Error {
    let words = config.max_words.min(config.max_sent_frame / 16);
    let most = config.max_details.min(config.max_sent_frame / 4);
    let large = |details: &Json| details.as_str().len() > most;
    if e.message().len() <= words && !e.details().is_some_and(large) {
        return e;
    }
    let cut = Error::new(e.code(), within(e.message(), words).to_owned()).with_retryable(e.retryable());
    match e.details().filter(|details| !large(details)) {
        Some(details) => cut.with_details(details.clone()),
        None => cut,
    }
}

/// The same of a result's summary.
pub(crate) fn cut_summary(summary: &str, config: &Config) -> String {
    within(summary, config.max_summary.min(config.max_sent_frame / 16)).to_owned()
}

/// At most `most` bytes of `text`, whole characters.
fn within(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

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
