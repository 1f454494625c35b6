//! Paths that were made to lead out of a granted tree.

use arcp_core::lease::Namespace;

use crate::attacks::{API, WS, allowed, denied, refused};

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
