//! Addresses of other schemes than http and https, such as `s3://bucket/key`: nobody here knows what they
//! mean, so that they are texts of segments, each in the one spelling that it came in.

use super::{Result, Unfit, hides_separator};

/// The one spelling of an address, or of a pattern of them; `None` if it is no address of another scheme.
pub(in crate::lease) fn canonical(text: &str) -> Option<Result<String>> {
    let (scheme, rest) = text.split_once("://")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let named = scheme.bytes().all(plain) && scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let scheme = scheme.to_ascii_lowercase();
    let ours = matches!(&*scheme, "http" | "https");
    (named && !ours).then(|| check(rest).map(|()| format!("{scheme}://{rest}")))
}

fn check(rest: &str) -> Result<()> {
    if rest.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(Unfit("must have no spaces, control characters or backslashes"));
    }
    if rest.contains('#') {
        return Err(Unfit("must have no fragment"));
    }
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    if place.is_empty() || place.contains(['@', '?', '%']) {
        return Err(Unfit("must have a host or a bucket behind the scheme, and no user"));
    }
    if hides_separator(path) {
        return Err(Unfit("must have no encoded dot, separator or NUL in the path"));
    }
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(Unfit("must have no segment . or ..")),
            "" if segments.peek().is_some() => return Err(Unfit("must have no empty segment in the path")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_scheme_keeps_its_spelling() {
        let is = |text: &str| canonical(text).unwrap().unwrap();
        assert_eq!(is("S3://bucket/Key/**"), "s3://bucket/Key/**");
        for same in ["s3://bucket", "s3://bucket/", "gs://b/a@b.csv", "git+ssh://host:22/a/b", "s3://**"] {
            assert_eq!(is(same), same);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_has_no_spelling() {
        for bad in [
            "s3://",
            "file:///etc/passwd",
            "s3://a/../b",
            "s3://a/./b",
            "s3://a//b",
            "s3://a/%2e%2e/b",
            "s3://a/%2fb",
            "s3://a\\b",
            "s3://a/b c",
            "s3://a/b\0",
            "s3://user@host/a",
            "s3://a%62/c",
            "s3://a/b#c",
        ] {
            assert!(canonical(bad).unwrap().is_err(), "{bad:?}");
        }
        for other in ["https://a/b", "HTTP://a", "s3:/a", "://a", "1s://a", "a b://c", "/ws/a"] {
            assert!(canonical(other).is_none(), "{other}");
        }
    }
}
