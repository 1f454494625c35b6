//! The README shows the programs of this crate, and shows them as they are; its tables are those of the code.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use arcp_tower::core::Feature;

const README: &str = include_str!("../../README.md");

/// Where the README is.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The rows of the table that begins with a line, as their cells.
fn table(first: &str) -> Vec<Vec<&'static str>> {
    let rows = README.lines().skip_while(|line| *line != first).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Where the links of a text lead.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What a browser jumps to for a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-');
    heading.to_lowercase().chars().filter(kept).collect::<String>().trim().replace(' ', "-")
}

#[test]
fn the_readme_has_the_axum_program_to_the_letter_in_at_most_25_lines() {
    let program = include_str!("../src/bin/axum.rs");
    assert!(README.contains(&format!("```rust,no_run\n{program}```\n")), "the README has another program");
    assert!(program.lines().count() <= 25, "it has {} lines", program.lines().count());
}

#[test]
fn the_readme_has_the_programs_for_actix_web_and_hyper_to_the_letter() {
    for program in [include_str!("../src/bin/actix.rs"), include_str!("../src/bin/hyper.rs")] {
        assert!(README.contains(&format!("```rust,no_run\n{program}```\n")), "it has another:\n{program}");
    }
}

#[test]
fn the_readme_lists_every_feature_of_6_2_with_a_section_that_tests_show() {
    let rows = table("| feature | section | example |");
    let listed: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let known: Vec<_> = Feature::ALL.iter().map(|feature| feature.as_str()).collect();
    assert_eq!(listed, known);
    let conformance = std::fs::read_to_string(root().join("CONFORMANCE.md")).unwrap();
    let headings: Vec<_> =
        conformance.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    for row in rows {
        let section = links(row[1]).next().unwrap().strip_prefix("CONFORMANCE.md#").unwrap();
        assert!(headings.iter().any(|heading| heading == section), "{section} is none of {headings:?}");
    }
}

#[test]
fn the_readme_lists_every_feature_of_every_crate() {
    let rows = table("| crate | feature | what it adds |");
    let mut listed: Vec<_> = rows.iter().map(|row| (row[0].trim_matches('`'), row[1])).collect();
    let mut known = Vec::new();
    let crates = ["core", "tower", "client", "process", "axum", "actix", "cli", "store-sqlite"];
    for name in crates.map(|name| format!("arcp-{name}")) {
        let manifest = std::fs::read_to_string(root().join(&name).join("Cargo.toml")).unwrap();
        let lines = manifest.lines().skip_while(|line| *line != "[features]").skip(1);
        let lines: Vec<_> = lines.take_while(|line| !line.starts_with('[')).collect();
        let default = lines.iter().find_map(|line| line.strip_prefix("default = ")).unwrap_or_default();
        for feature in lines.iter().filter_map(|line| line.split_once(" = ")).map(|(feature, _)| feature) {
            let by_default = if default.contains(&format!("\"{feature}\"")) { " (default)" } else { "" };
            known.push((name.clone(), format!("`{feature}`{by_default}")));
        }
    }
    known.retain(|(_, feature)| feature != "`default`");
    known.sort();
    listed.sort_unstable();
    let known: Vec<_> = known.iter().map(|(name, feature)| (&**name, &**feature)).collect();
    assert_eq!(listed, known);
}

#[test]
fn every_link_of_the_readme_leads_to_a_file() {
    let files = links(README).filter(|link| !link.contains("://"));
    let files: Vec<_> = files.map(|link| link.split('#').next().unwrap()).collect();
    assert!(files.len() > 30, "{files:?}");
    for file in files {
        assert!(root().join(file).is_file(), "{file}");
    }
}
