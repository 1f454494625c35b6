//! URLs that were made to look like a granted one.

use arcp_core::lease::Namespace;

use crate::attacks::{API, allowed, denied, refused};

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
fn s30_a_grant_is_of_its_own_scheme_and_no_other() {
    let any = r#"{"net.fetch":["https://**/**","http://**/**"]}"#;
    for scheme in ["gopher", "file", "ftp", "ws", "s3", "https+unix", "httpss"] {
        let target = format!("{scheme}://127.0.0.1/");
        denied(any, &Namespace::NetFetch, &[&target]);
        // What it means is up to the backend that takes it; the one that fetches does not.
        let own = format!(r#"{{"net.fetch":["{scheme}://127.0.0.1/**"]}}"#);
        allowed(&own, &Namespace::NetFetch, &[(&target, &target)]);
        denied(&own, &Namespace::NetFetch, &["http://127.0.0.1/", "https://127.0.0.1/", "zz://127.0.0.1/"]);
        refused(&format!(r#"{{"net.fetch":["{scheme}:///etc/**"]}}"#), "net.fetch");
    }
    let buckets = r#"{"net.fetch":["s3://example/**"]}"#;
    allowed(
        buckets,
        &Namespace::NetFetch,
        &[("s3://example/sales.csv", "s3://example/sales.csv"), ("S3://example/a/b", "s3://example/a/b")],
    );
    denied(
        buckets,
        &Namespace::NetFetch,
        &[
            "s3://example2/a",
            "s3://example/../other/a",
            "s3://example/%2e%2e/a",
            "s3://example//a",
            "s3://Example/a",
        ],
    );
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
