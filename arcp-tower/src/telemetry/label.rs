//! Labels of metrics: values that nobody can make up, or many of.

use std::borrow::Cow;

use arcp_core::lease::Namespace;
use arcp_core::money::Currency;
use arcp_core::store::StoreError;
use arcp_core::{Error, MessageType};

/// What OpenTelemetry calls whatever has no name of its own.
pub(super) const OTHER: &str = "_OTHER";

/// A name and a value. An empty value is as good as no label.
pub(super) type Label = (&'static str, Cow<'static, str>);

pub(super) fn message(kind: Option<&MessageType>) -> Cow<'static, str> {
    match kind {
        None | Some(MessageType::Other(_)) => OTHER.into(),
        Some(known) => known.as_str().to_owned().into(),
    }
}

pub(super) fn error(error: Option<&Error>) -> Cow<'static, str> {
    error.map_or("".into(), |error| error.code().as_str().into())
}

pub(super) fn namespace(namespace: &Namespace) -> Cow<'static, str> {
    match namespace {
        Namespace::Vendor(_) => "x-vendor".into(),
        known => known.as_str().to_owned().into(),
    }
}

pub(super) fn currency(currency: &Currency) -> Cow<'static, str> {
    let text = currency.as_str();
    let iso = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    if iso { text.to_owned().into() } else { OTHER.into() }
}

pub(super) fn store(failure: Option<&StoreError>) -> Cow<'static, str> {
    Cow::Borrowed(match failure {
        None => "",
        Some(StoreError::Full) => "full",
        Some(StoreError::Unavailable { .. }) => "unavailable",
        Some(StoreError::Unknown) => "unknown",
        Some(StoreError::Conflict { .. }) => "conflict",
        Some(StoreError::Fenced { .. }) => "fenced",
        Some(StoreError::Corrupt(_)) => "corrupt",
        Some(_) => OTHER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_makes_up_is_no_label() {
        assert_eq!(message(Some(&MessageType::from("x-vendor.acme.hello"))), OTHER);
        assert_eq!(message(Some(&MessageType::Submit)), "job.submit");
        assert_eq!(namespace(&"x-vendor.acme.gpu".parse().unwrap()), "x-vendor");
        assert_eq!(namespace(&Namespace::ToolCall), "tool.call");
        assert_eq!(currency(&"USD".parse().unwrap()), "USD");
        assert_eq!(currency(&"credits".parse().unwrap()), OTHER);
    }
}
