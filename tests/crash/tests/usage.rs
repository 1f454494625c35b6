//! The program runs. That there is a test of it here has it built beside all tests, with their features.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[test]
fn the_crash_test_explains_itself() {
    let output = Command::new(env!("CARGO_BIN_EXE_crash")).arg("--help").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("--kills"));
}
