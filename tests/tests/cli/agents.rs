//! The `arcp` command lists agents and prints their schemas.

use std::process::Output;

use arcp_tests::command::{Serving, arcp, text};
use serde_json::{Value, json};

fn agents(serving: &Serving, args: &[&str]) -> Output {
    let mut command = arcp(&[&["agents"], args].concat());
    command.env("ARCP_URL", &serving.url).env("ARCP_TOKEN", "secret").output().unwrap()
}

#[test]
fn agents_are_listed_for_people_and_for_programs_and_their_schemas_printed() {
    let serving = Serving::start(&["--demo-agents", "--token", "secret=me@example.com"]);
    let listed = agents(&serving, &[]);
    let lines: Vec<_> = text(&listed.stdout).lines().collect();
    assert!(lines.contains(&"echo@1.0.0") && lines.contains(&"echo@2.0.0  (default)"), "{lines:?}");
    assert!(lines.contains(&"chatty@1.0.0  (schema)  Logs lines."), "{lines:?}");

    let listed = agents(&serving, &["--json"]);
    let listed: Vec<Value> =
        text(&listed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |name: &str| listed.iter().find(|agent| agent["name"] == name).unwrap();
    assert_eq!(find("chatty")["versions"][0]["input_schema"]["required"], json!(["count"]));
    assert_eq!(find("echo")["versions"][0]["default"], false);
    assert_eq!(find("echo")["versions"][1]["default"], true);

    let schema: Value =
        serde_json::from_slice(&agents(&serving, &["--schema", "chatty@1.0.0"]).stdout).unwrap();
    assert_eq!(schema["input_schema"], find("chatty")["versions"][0]["input_schema"]);
    for nobody in ["nobody", "chatty@9"] {
        let refused = agents(&serving, &["--schema", nobody, "--json"]);
        assert_eq!(refused.status.code(), Some(1));
        let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(said["error"]["code"], "AGENT_NOT_AVAILABLE");
    }
}
