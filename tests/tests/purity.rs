//! `arcp-core` stays without IO: no tokio, no clock, no async.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The packages that a user of `arcp-core` gets, without and with `features`.
fn tree(features: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "-p", "arcp-core", "-e", "normal", "--prefix", "none"])
        .args(features)
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = |line: &str| line.split(' ').next().unwrap().to_owned();
    String::from_utf8(output.stdout).unwrap().lines().map(name).collect()
}

#[test]
fn the_core_needs_no_async_runtime_and_no_io() {
    let packages = tree(&[]);
    assert!(packages.contains(&"serde_json".to_owned()), "{packages:?}");
    for unwanted in [
        "tokio",
        "tokio-util",
        "tokio-tungstenite",
        "tungstenite",
        "hyper",
        "hyper-util",
        "http",
        "tower",
        "async-std",
        "smol",
        "async-io",
        "async-executor",
        "async-trait",
        "futures-executor",
        "futures-util",
        "mio",
        "socket2",
        "getrandom",
        "rand",
    ] {
        assert!(!packages.iter().any(|name| name == unwanted), "{unwanted} is in the tree");
    }
    assert!(tree(&["--features", "ws"]).contains(&"tokio".to_owned()), "the check sees what is there");
}

/// The Rust files below `dir`.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_core_has_no_async_functions_and_reads_no_clock() {
    let mut files = Vec::new();
    sources(&workspace().join("arcp-core/src"), &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests may ask what time it is, and come last in a file.
        let code = text.split("#[cfg(test)]").next().unwrap();
        // The WebSocket and the kit that tests stores are behind features of their own.
        let path = file.to_string_lossy();
        let featured = ["transport/ws.rs", "store/flaky.rs", "store/kit.rs", "store/kit/"];
        let waits = featured.iter().any(|part| path.contains(part));
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            let asynchronous = line.contains("async fn") || line.contains(".await");
            let clock = line.contains("Instant::now") || line.contains("SystemTime::now");
            let random = line.contains("getrandom") || line.contains("rand::");
            if !line.starts_with("//") && ((asynchronous && !waits) || clock || random) {
                faults.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
