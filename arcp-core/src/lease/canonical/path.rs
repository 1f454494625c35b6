//! Paths: absolute, resolved by their text alone. What opens the file sees to its links.

use std::borrow::Cow;

use super::{Result, Unfit, hides_separator};

/// The one spelling of a path, or of a pattern of paths, which keeps its stars.
pub(in crate::lease) fn canonical(text: &str) -> Result<Cow<'_, str>> {
    if !text.starts_with('/') {
        return Err(Unfit("must be an absolute path"));
    }
    if text.contains(['\0', '\\']) {
        return Err(Unfit("must have no NUL and no backslash"));
    }
    if hides_separator(text) {
        return Err(Unfit("must have no encoded dot, separator or NUL"));
    }
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if text == "/" || text[1..].split('/').all(plain) {
        return Ok(Cow::Borrowed(text));
    }
    resolve(text).map(Cow::Owned)
}

fn resolve(text: &str) -> Result<String> {
    let mut path = String::with_capacity(text.len());
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                let Some(up) = path.rfind('/') else { return Err(Unfit("must not lead above the root")) };
                if path[up..].contains('*') {
                    return Err(Unfit("must have no .. after a wildcard"));
                }
                path.truncate(up);
            }
            segment => {
                path.push('/');
                path.push_str(segment);
            }
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (text, path) in [
            ("/", "/"),
            ("//", "/"),
            ("/a/..", "/"),
            ("/ws/src", "/ws/src"),
            ("/ws//src/", "/ws/src"),
            ("///ws/./src/../lib/.", "/ws/lib"),
            ("/ws/.hidden/...", "/ws/.hidden/..."),
            ("/ws/**/", "/ws/**"),
            ("/ws/x/../*.rs", "/ws/*.rs"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(path), "{text}");
        }
    }

    #[test]
    fn what_is_read_in_two_ways_is_refused() {
        for bad in [
            "",
            "ws",
            "./ws",
            "../ws",
            "~/ws",
            "C:\\ws",
            "/ws\\..",
            "/a\0",
            "/..",
            "/a/../..",
            "/ws/%2e%2e/x",
            "/*/..",
        ] {
            assert!(canonical(bad).is_err(), "{bad:?}");
        }
    }
}
