//! The matrix in the documentation is made of the suite's table.

use std::fmt::Write as _;
use std::fs;

use super::table::{LEVELS, Mutation, mutations};

const BEGIN: &str = "<!-- mutations: begin -->\n";
const END: &str = "<!-- mutations: end -->";

/// A table for each group, a row for each mutation, a column for each level.
fn matrix(mutations: &[Mutation]) -> String {
    let columns = || LEVELS.iter().filter(|level| !level.heading.is_empty());
    let headings: Vec<&str> = columns().map(|level| level.heading).collect();
    let ruler = "---|".repeat(headings.len() + 1);
    let mut text = String::new();
    let mut group = "";
    for mutation in mutations {
        if mutation.group != group {
            group = &mutation.group;
            let headings = headings.join(" | ");
            write!(
                text,
                "\n### {group}\n\n| what went wrong | {headings} |\n|{ruler}\n"
            )
            .expect("write to a string");
        }
        let cell = |found: bool| if found { "**yes**" } else { "no" };
        let cells: Vec<&str> = columns()
            .map(|level| cell(!mutation.found_by(level).is_empty()))
            .collect();
        let words = mutation.words.replace('|', "\\|");
        writeln!(text, "| {words} | {} |", cells.join(" | ")).expect("write to a string");
    }
    text.push('\n');
    text
}

#[test]
fn the_matrix_in_the_documentation_is_that_of_the_suite() {
    let path = towpath_tests::repository().join("docs/concepts/verification.md");
    let page = fs::read_to_string(&path).expect("read verification.md");
    let (before, rest) = page.split_once(BEGIN).expect("the matrix begins somewhere");
    let (found, after) = rest.split_once(END).expect("the matrix ends somewhere");
    let wanted = matrix(&mutations());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("write it");
        return;
    }
    assert!(
        found == wanted,
        "the matrix in verification.md is not that of mutations.sql: UPDATE_GOLDEN=1 writes it anew"
    );
}
