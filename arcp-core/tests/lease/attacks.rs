//! Texts that were made to get through a lease (§9), and the lists that are refused.

use arcp_core::lease::glob::Glob;
use arcp_core::lease::{Caps, Lease, Namespace, Pattern, Target};
use arcp_core::{Code, Feature, Features};

use crate::{authority, grants, lease};

pub(crate) const CAPS: Caps = Caps { patterns: 1024, pattern_bytes: 1024, bytes: 256 << 10 };

/// None of `texts` is allowed, whether it has a canonical form or not.
#[track_caller]
pub(crate) fn denied(grant: &str, namespace: &Namespace, texts: &[&str]) {
    let authority = authority(grant);
    for text in texts {
        let refused = grants(&authority, namespace, text);
        assert_eq!(refused.map_err(|e| e.code()), Err(Code::PermissionDenied), "{text:?}");
    }
}

/// Each text is allowed, but as the operation that its canonical form says.
#[track_caller]
pub(crate) fn allowed(grant: &str, namespace: &Namespace, texts: &[(&str, &str)]) {
    let authority = authority(grant);
    for (text, used) in texts {
        assert_eq!(grants(&authority, namespace, text).as_deref(), Ok(*used), "{text:?}");
    }
}

/// A submit with the lease is refused, and the refusal names the namespace.
#[track_caller]
pub(crate) fn refused(json: &str, namespace: &str) {
    let refused = lease(json).validate(Features::of(Feature::ALL), CAPS).expect_err(json);
    assert_eq!(refused.code(), Code::InvalidRequest, "{json}");
    assert!(refused.message().contains(namespace), "{json}: {refused}");
}

pub(crate) const WS: &str = r#"{"fs.read":["/ws/**"]}"#;

pub(crate) const API: &str = r#"{"net.fetch":["https://api.example.com/public/**"]}"#;

#[test]
fn targets_with_stars_get_no_more_than_others() {
    denied(r#"{"fs.read":["/ws/a"]}"#, &Namespace::FsRead, &["/ws/*", "/ws/**", "/**"]);
    denied(r#"{"tool.call":["a*"]}"#, &Namespace::ToolCall, &["*", "**"]);
    denied(r#"{"net.fetch":["https://a.b/**"]}"#, &Namespace::NetFetch, &["https://*.b/", "https://**/"]);
}

#[test]
fn bad_input_30_patterns_that_are_too_long_or_too_many_are_refused() {
    refused(&format!(r#"{{"tool.call":["{}"]}}"#, "a".repeat(1025)), "tool.call");
    refused(&format!(r#"{{"tool.call":["a"{}]}}"#, r#","a""#.repeat(1024)), "lease_request");
    refused(&format!(r#"{{"tool.call":["{}"]}}"#, "*".repeat(1000)), "tool.call");
    assert!(Target::parse(&Namespace::FsRead, &"/a".repeat(5000)).is_err());
}

#[test]
fn s33_patterns_with_10_000_stars_are_decided_without_trying_again() {
    // Exponential or quadratic matching would not come back within the life of a test.
    let (pattern, text) = ("a*".repeat(10_000), "a".repeat(1_000_000));
    let glob = Glob::new(&format!("{pattern}b"), '/').unwrap();
    assert!(!glob.matches(&text));
    assert!(glob.matches(&(text.clone() + "b")));
    assert!(glob.covers(&glob));
    let deep = Glob::new(&"**/a*/".repeat(10_000), '/').unwrap();
    assert!(!deep.matches(&text));
    assert!(!Glob::new(&"**/*a/".repeat(2000), '/').unwrap().covers(&deep));
}

#[test]
fn bad_input_30_a_pattern_must_be_a_text_of_a_known_namespace() {
    for json in [
        r#"{"fs.exec":["/a"]}"#,
        r#"{"x-vendor.":["a"]}"#,
        r#"{"FS.READ":["/a"]}"#,
        r#"{"fs.read":"/a"}"#,
        r#"{"fs.read":[1]}"#,
        r#"{"fs.read":[null]}"#,
        r#"{"fs.read":null}"#,
        r#"["fs.read"]"#,
    ] {
        assert!(serde_json::from_str::<Lease>(json).is_err(), "{json}");
    }
    refused(r#"{"x-vendor.acme":[""]}"#, "x-vendor.acme");
    refused(r#"{"model.use":["a/../b"]}"#, "model.use");
    refused(r#"{"agent.delegate":["web@2.0.0"]}"#, "agent.delegate");
}

#[test]
fn bad_input_30_an_empty_list_grants_nothing_and_a_duplicate_counts_once() {
    let lease = lease(r#"{"fs.read":[],"tool.call":["a","b","a"]}"#);
    assert_eq!(lease.validate(Features::of(Feature::ALL), CAPS), Ok(()));
    let authority = arcp_core::lease::Authority::new(&lease, None).unwrap();
    assert!(authority.grants(&Namespace::FsRead).is_empty());
    let tools: Vec<&str> = authority.grants(&Namespace::ToolCall).iter().map(Pattern::as_str).collect();
    assert_eq!(tools, ["a", "b"]);
    denied(r#"{"fs.read":[]}"#, &Namespace::FsRead, &["/"]);
}
