//! The README shows the programs of this crate, and shows them as they are.

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_has_the_axum_program_to_the_letter_in_at_most_25_lines() {
    let program = include_str!("../src/bin/axum.rs");
    assert!(README.contains(&format!("```rust,no_run\n{program}```\n")), "the README has another program");
    assert!(program.lines().count() <= 25, "it has {} lines", program.lines().count());
}
