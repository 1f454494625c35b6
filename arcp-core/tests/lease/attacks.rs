//! Texts that were made to get through, each by a way in that somebody once found.

use arcp_core::lease::glob::Glob;
use arcp_core::lease::{Caps, Lease, LeaseConstraints, Namespace, Pattern, Target};
use arcp_core::money::{Amount, parse_budget};
use arcp_core::{Code, Feature, Features, Timestamp};

use crate::{authority, grants, lease};

const CAPS: Caps = Caps { patterns: 1024, pattern_bytes: 1024, bytes: 256 << 10 };

/// None of `texts` is allowed, whether it has a canonical form or not.
#[track_caller]
fn denied(grant: &str, namespace: &Namespace, texts: &[&str]) {
    let authority = authority(grant);
    for text in texts {
        let refused = grants(&authority, namespace, text);
        assert_eq!(refused.map_err(|e| e.code()), Err(Code::PermissionDenied), "{text:?}");
    }
}

/// Each text is allowed, but as the operation that its canonical form says.
#[track_caller]
fn allowed(grant: &str, namespace: &Namespace, texts: &[(&str, &str)]) {
    let authority = authority(grant);
    for (text, used) in texts {
        assert_eq!(grants(&authority, namespace, text).as_deref(), Ok(*used), "{text:?}");
    }
}

/// A submit with the lease is refused, and the refusal names the namespace.
#[track_caller]
fn refused(json: &str, namespace: &str) {
    let refused = lease(json).validate(Features::of(Feature::ALL), CAPS).expect_err(json);
    assert_eq!(refused.code(), Code::InvalidRequest, "{json}");
    assert!(refused.message().contains(namespace), "{json}: {refused}");
}

const WS: &str = r#"{"fs.read":["/ws/**"]}"#;
const API: &str = r#"{"net.fetch":["https://api.example.com/public/**"]}"#;

#[test]
fn s26_dots_lead_out_of_a_granted_tree_in_no_encoding() {
    denied(
        WS,
        &Namespace::FsRead,
        &[
            "/ws/../etc/passwd",
            "/ws/a/../../etc/passwd",
            "/ws/./../etc/passwd",
            "/ws/..",
            "/ws/../../../etc",
            "/ws/%2e%2e/etc/passwd",
            "/ws/%2E%2E/etc/passwd",
            "/ws/.%2e/etc/passwd",
            "/ws/..%2fetc",
            "/ws/..%5cetc",
            "/ws/%252e%252e/etc",
            "/ws/%25252e%25252e%25252fetc",
            "/ws/%c0%ae%c0%ae/etc",
            "/ws/%e0%80%ae/etc",
            "/ws/%u002e%u002e/etc",
            "/ws/..\\etc",
            "/ws/..\0/etc",
        ],
    );
    denied(
        API,
        &Namespace::NetFetch,
        &[
            "https://api.example.com/public/../admin",
            "https://api.example.com/public/%2e%2e/admin",
            "https://api.example.com/public/.%2E/admin",
            "https://api.example.com/public/..%2fadmin",
            "https://api.example.com/public/..%5cadmin",
            "https://api.example.com/public/..\\admin",
            "https://api.example.com/public/%252e%252e/admin",
            "https://api.example.com/public/%c0%ae%c0%ae/admin",
            "https://api.example.com/public/..;/admin",
            "https://api.example.com/public/.\t./admin",
            "https://api.example.com/public/\n../admin",
        ],
    );
}

#[test]
fn s29_a_full_width_dot_is_a_name_and_no_way_up() {
    allowed(WS, &Namespace::FsRead, &[("/ws/．．/etc", "/ws/．．/etc"), ("/ws/…", "/ws/…")]);
    allowed(
        API,
        &Namespace::NetFetch,
        &[("https://api.example.com/public/．．/x", "https://api.example.com/public/%EF%BC%8E%EF%BC%8E/x")],
    );
}

#[test]
fn s26_dots_that_stay_inside_are_resolved_before_the_operation() {
    allowed(
        WS,
        &Namespace::FsRead,
        &[("/ws/a/../b", "/ws/b"), ("/x/../ws/./c", "/ws/c"), ("/ws/a/..", "/ws"), ("/ws/...", "/ws/...")],
    );
}

#[test]
fn s26_doubled_slashes_name_the_same_file_and_no_url() {
    allowed(WS, &Namespace::FsRead, &[("//ws//a///b", "/ws/a/b"), ("/ws//", "/ws")]);
    denied(WS, &Namespace::FsRead, &["//etc//passwd", "/ws//../etc"]);
    denied(
        API,
        &Namespace::NetFetch,
        &[
            "https://api.example.com//public/a",
            "https://api.example.com/public//a",
            "https:////api.example.com/public/a",
        ],
    );
}

#[test]
fn s29_names_are_bytes_so_that_twins_and_other_cases_are_others() {
    // The same letter in one code point and in two.
    let (composed, apart) = ("/ws/caf\u{e9}", "/ws/cafe\u{301}");
    for (granted, twin) in [(composed, apart), (apart, composed)] {
        let grant = format!(r#"{{"fs.read":["{granted}/**"]}}"#);
        allowed(&grant, &Namespace::FsRead, &[(granted, granted)]);
        denied(&grant, &Namespace::FsRead, &[twin, &granted.to_uppercase(), &granted.replace("ws", "WS")]);
    }
}

#[test]
fn t91_a_tree_is_not_its_neighbours() {
    denied(WS, &Namespace::FsRead, &["/ws-private/key", "/wsx", "/w", "/"]);
    allowed(WS, &Namespace::FsRead, &[("/ws", "/ws"), ("/ws/", "/ws")]);
}

#[test]
fn s26_only_absolute_paths_are_granted_or_asked_for() {
    denied(WS, &Namespace::FsRead, &["ws/a", "./ws/a", "", "~/ws", "C:/ws/a", "file:///ws/a", " /ws/a"]);
    for relative in ["ws/**", "**", "*", "./ws", "~/**", "C:\\\\ws\\\\**"] {
        refused(&format!(r#"{{"fs.read":["{relative}"]}}"#), "fs.read");
    }
}

#[test]
fn s26_nul_and_backslashes_are_in_no_path_and_no_url() {
    denied(WS, &Namespace::FsRead, &["/ws/a\0.txt", "/ws\\..\\etc", "/ws/%00"]);
    denied(
        API,
        &Namespace::NetFetch,
        &["https://api.example.com/public/a\0", "https://api.example.com\\public\\a"],
    );
    denied(API, &Namespace::NetFetch, &["https://api.example.com/public/%00"]);
    refused(r#"{"fs.write":["/ws/\u0000/**"]}"#, "fs.write");
    refused(r#"{"tool.call":["a\u0000b"]}"#, "tool.call");
    refused(r#"{"net.fetch":["https://h\\a/**"]}"#, "net.fetch");
}

#[test]
fn s30_trailing_dots_of_a_host_change_nothing_and_two_are_refused() {
    allowed(
        API,
        &Namespace::NetFetch,
        &[("https://api.example.com./public/a", "https://api.example.com/public/a")],
    );
    denied(
        API,
        &Namespace::NetFetch,
        &["https://api.example.com../public/a", "https://.api.example.com/public/a"],
    );
}

#[test]
fn s30_users_and_passwords_hide_no_host() {
    denied(
        API,
        &Namespace::NetFetch,
        &[
            "https://api.example.com@evil.test/public/a",
            "https://api.example.com:443@evil.test/public/a",
            "https://api.example.com%2f@evil.test/public/a",
            "https://api.example.com\\@evil.test/public/a",
            "https://api.example.com%2fpublic%2f@evil.test/public/a",
            "https://user:pass@api.example.com/public/a",
            "https://@api.example.com/public/a",
            "https://evil.test#@api.example.com/public/a",
            "https://evil.test?@api.example.com/public/a",
        ],
    );
}

#[test]
fn s30_homographs_are_other_hosts() {
    denied(
        API,
        &Namespace::NetFetch,
        &[
            "https://аpi.example.com/public/a",
            "https://api.example.cоm/public/a",
            "https://xn--pi-6kc.example.com/public/a",
        ],
    );
    // Compatibility forms of the same letters are the same host.
    allowed(
        API,
        &Namespace::NetFetch,
        &[
            ("https://ＡＰＩ.example.com/public/a", "https://api.example.com/public/a"),
            ("https://api。example.com/public/a", "https://api.example.com/public/a"),
        ],
    );
    // A wildcard takes the label as the name servers see it.
    let any = r#"{"net.fetch":["https://*.example.com/**"]}"#;
    allowed(any, &Namespace::NetFetch, &[("https://аpi.example.com/", "https://xn--pi-6kc.example.com/")]);
}

#[test]
fn s30_only_http_and_https_are_fetched() {
    let any = r#"{"net.fetch":["https://**/**","http://**/**"]}"#;
    for scheme in ["gopher", "file", "ftp", "ws", "javascript", "https+unix", "httpss"] {
        denied(any, &Namespace::NetFetch, &[&format!("{scheme}://127.0.0.1/")]);
        refused(&format!(r#"{{"net.fetch":["{scheme}://127.0.0.1/**"]}}"#), "net.fetch");
    }
    denied(
        any,
        &Namespace::NetFetch,
        &["https:api.example.com", "//api.example.com/", "/etc/passwd", "data:,x"],
    );
}

#[test]
fn s30_an_address_is_the_same_in_octal_hex_and_as_one_number() {
    let loopback = r#"{"net.fetch":["http://127.0.0.1/**"]}"#;
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7f00:1]",
    ] {
        allowed(loopback, &Namespace::NetFetch, &[(&format!("http://{host}/a"), "http://127.0.0.1/a")]);
        // And no name, even where every name is granted.
        let names = r#"{"net.fetch":["http://*/**","http://*.*/**","http://*.*.*.*/**"]}"#;
        denied(names, &Namespace::NetFetch, &[&format!("http://{host}/a")]);
    }
    denied(
        loopback,
        &Namespace::NetFetch,
        &["http://0/", "http://[::1]/", "http://127.0.0.2/", "http://127.0.0.1.5/"],
    );
    for wild in ["http://127.0.0.*/**", "http://10.*/**", "http://*.1/**"] {
        refused(&format!(r#"{{"net.fetch":["{wild}"]}}"#), "net.fetch");
    }
}

#[test]
fn s31_a_mapped_address_in_a_grant_is_the_address() {
    let mapped = r#"{"net.fetch":["http://[::ffff:10.0.0.1]/**"]}"#;
    allowed(mapped, &Namespace::NetFetch, &[("http://10.0.0.1/", "http://10.0.0.1/")]);
}

#[test]
fn s30_a_wildcard_crosses_no_point_of_a_host_and_no_end_of_it() {
    let one = r#"{"net.fetch":["https://*.example.com/**"]}"#;
    denied(
        one,
        &Namespace::NetFetch,
        &[
            "https://example.com/",
            "https://a.b.example.com/",
            "https://evil.test/.example.com/",
            "https://evil.test?.example.com/",
            "https://evil.test#.example.com/",
            "https://example.com.evil.test/",
            "https://evilexample.com/",
        ],
    );
    for bad in ["https://**.example.com/", "https://*/**.rs", "http*://h/", "https://h:*/"] {
        refused(&format!(r#"{{"net.fetch":["{bad}"]}}"#), "net.fetch");
    }
}

#[test]
fn s30_ports_and_schemes_are_exact() {
    denied(
        API,
        &Namespace::NetFetch,
        &[
            "http://api.example.com/public/a",
            "https://api.example.com:80/public/a",
            "https://api.example.com:8443/public/a",
        ],
    );
    allowed(
        API,
        &Namespace::NetFetch,
        &[("https://api.example.com:0443/public/a", "https://api.example.com/public/a")],
    );
}

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

#[test]
fn bad_input_31_s35_a_budget_is_digits_and_nothing_else() {
    for bad in [
        "USD:-1",
        "USD:+1",
        "USD:1e9",
        "USD:1e400",
        "USD:NaN",
        "USD:Infinity",
        "USD:-0",
        "USD:0x10",
        "USD:",
        ":5",
        "5",
        "USD 5",
        "USD:5:5",
        "USD:5.",
        "USD:.5",
        "USD:1_000",
        "USD:1,000",
        "USD: 5",
        "USD:5 ",
        "USD:５",
        "USD:٣",
        "US D:5",
        "USD\u{200b}:5",
        "USD:12345678901234567890123456789",
        "USD:0.00000000000000000000000000001",
        "USD:99999999999999999999999999999999",
    ] {
        assert!(parse_budget(bad).is_err(), "{bad}");
        refused(&serde_json::json!({ "cost.budget": [bad] }).to_string(), "cost.budget");
    }
    refused(r#"{"cost.budget":["USD:5.00","USD:1.00"]}"#, "cost.budget");
    refused(r#"{"cost.budget":["USD:5.00","USD:5.00"]}"#, "cost.budget");
    for good in [
        "USD:0",
        "usd:5",
        "credits:1000",
        "x-acme.tokens:0.0000000000000001",
        "EUR:9999999999999999999999999999",
    ] {
        assert!(parse_budget(good).is_ok(), "{good}");
    }
}

#[test]
fn bad_input_42_s36_a_costs_value_is_exact_or_it_is_none() {
    for bad in
        ["1e400", "-1e400", "1e-29", "NaN", "nan", "Infinity", "0x1", "", "12345678901234567890123456789"]
    {
        assert!(Amount::parse_number(bad).is_err(), "{bad}");
    }
    assert_eq!(Amount::parse_number("-0"), Ok(Amount::ZERO));
    assert_eq!(Amount::parse_number("-0.0e5"), Ok(Amount::ZERO));
}

#[test]
fn bad_input_32_t102_an_end_is_in_the_future_and_in_utc_with_z() {
    let now = Timestamp::parse("2026-06-30T23:59:59Z").unwrap();
    let ends = |text: &str| {
        let json = serde_json::json!({ "expires_at": text });
        serde_json::from_value::<LeaseConstraints>(json).unwrap().effective(now)
    };
    for bad in [
        "2026-06-30T23:59:59Z",
        "2026-06-30T23:59:58.999Z",
        "1970-01-01T00:00:00Z",
        "2026-07-01T00:00:00",
        "2026-07-01T02:00:00+02:00",
        "2026-07-01T00:00:00+00:00",
        "2026-07-01T00:00:00-00:00",
        "2026-07-01T00:00:00z",
        "2026-06-30T23:59:60Z",
        "2026-12-31T23:59:60.5Z",
        "2026-02-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1800000000",
        "tomorrow",
        "",
    ] {
        let refused = ends(bad).expect_err(bad);
        assert_eq!(refused.code(), Code::InvalidRequest, "{bad}");
        assert!(refused.message().contains("expires_at"), "{refused}");
    }
    for good in ["2026-06-30T23:59:59.001Z", "2026-07-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert!(ends(good).is_ok(), "{good}");
    }
    assert!(serde_json::from_str::<LeaseConstraints>(r#"{"expires_at":1800000000}"#).is_err());
}
