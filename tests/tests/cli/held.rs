//! Files that a running server has open.

use arcp_tests::command::{Serving, arcp, run, text};
use serde_json::Value;

#[test]
fn tools_say_that_another_process_has_a_file_and_read_a_copy_of_it_and_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arcp.db");
    let serving = Serving::on(&file);
    let output = serving.submit(&["--agent", "credential", "--input", "{}", "--json"]);
    let end: Value = serde_json::from_slice(&output.stdout).unwrap();
    let session = end["session_id"].as_str().unwrap();
    let db = file.to_str().unwrap();
    let copy = folder.path().join("copy.db").to_str().unwrap().to_owned();
    let tools =
        |db: &str| [run(&["replay", "--session", session, "--db", db]), run(&["credentials", "--db", db])];
    for output in tools(db) {
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        for word in ["another process", db, "stop it", "copy", "-wal"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    for end in ["", "-wal"] {
        std::fs::copy(format!("{db}{end}"), format!("{copy}{end}")).unwrap();
    }
    for output in tools(&copy) {
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(end["job_id"].as_str().unwrap()));
    }

    let doctor = arcp(&["doctor", "--json", "--url", &serving.url, "--token", "secret", "--db", db]).output();
    let doctor = doctor.unwrap();
    assert_eq!(doctor.status.code(), Some(0), "{}", text(&doctor.stdout));
    let found = text(&doctor.stdout).lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let file = found.into_iter().find(|finding| finding["what"] == "file").unwrap();
    assert_eq!(file["level"], "warning");
    assert!(file["found"].as_str().unwrap().contains("another process"), "{file}");
}
