//! Headers that an agent does not decide about.

use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    PROXY_AUTHORIZATION, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

use super::fault::Fault;

/// What concerns one connection, or is known better by who sends the body.
static OURS: [HeaderName; 11] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What another origin may see after a redirect. The rest could be a secret: not only `Authorization`
/// and `Cookie`, also the `x-api-key` of one vendor and the `api-key` of another.
static SHARED: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    RANGE,
    USER_AGENT,
];

/// Takes out what is ours. `authority` is that of the URL.
pub(super) fn own(headers: &mut HeaderMap, authority: &str) -> Result<(), Fault> {
    let foreign = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if headers.get_all(HOST).iter().any(foreign) {
        return Err(Fault::Form("headers.host", "must be the host of the URL"));
    }
    // `Connection` may name others that end here.
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<_> =
        named.flat_map(|v| v.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in OURS.iter().chain(&named) {
        headers.remove(name);
    }
    // Nothing is decompressed here, so nothing compressed is asked for unless the agent does.
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    Ok(())
}

/// Takes out what another origin must not see.
pub(super) fn share(headers: &mut HeaderMap) {
    let shared = |name: &HeaderName, value: &HeaderValue| SHARED.contains(name) && !value.is_sensitive();
    let mut kept = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, value)| shared(name, value)) {
        kept.append(name, value.clone());
    }
    *headers = kept;
}

/// Takes out what describes a body that is gone.
pub(super) fn bodiless(headers: &mut HeaderMap) {
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
        headers.remove(name);
    }
}
