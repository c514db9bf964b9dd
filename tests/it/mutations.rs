//! Every kind of corruption, done once: each level finds what the matrix in
//! `docs/concepts/verification.md` says it finds, names it, and ends with exit code 12; and levels that
//! cannot see it stay clean, so that the matrix is true in both directions.
//!
//! The mutations are `tests/fixtures/mutations/mutations.sql`. One run is loaded; each mutation strikes a
//! clone of its target, or a copy of its store.

mod clean;
mod loaded;
mod matrix;
mod store;
mod table;

use std::io::Write as _;

use loaded::{Loaded, Outcome};
use table::{DEMANDED, LEVELS, Level, Mutation, Place, mutations};

/// Ids of mutations, separated by commas: these alone, each level by itself.
const ONLY: &str = "TOWPATH_TEST_MUTATIONS";

fn full() -> bool {
    std::env::var_os("TOWPATH_TEST_FULL").is_some()
}

/// What is wrong with what a level said: expectations that were not met, and differences that nobody
/// expected.
fn wrongs(level: &Level, expected: &[&Mutation], outcome: &Outcome) -> Vec<String> {
    let about = |id: &str, what: String| format!("{} of {id}: {what}", level.label);
    let told = outcome.told(level);
    let mut wrongs = Vec::new();
    for mutation in expected {
        for names in mutation.found_by(level) {
            if !told.iter().any(|text| names.are_in(text)) {
                wrongs.push(about(&mutation.id, format!("{names} is not told")));
            }
        }
    }
    let is_expected = |text: &String| {
        let mut all = expected
            .iter()
            .flat_map(|mutation| mutation.found_by(level));
        all.any(|names| names.are_in(text))
    };
    let id = match expected {
        [one] => one.id.as_str(),
        _ => "all at once",
    };
    for text in told.iter().filter(|text| !is_expected(text)) {
        wrongs.push(about(id, format!("nobody expected {text}")));
    }
    if !wrongs.is_empty() {
        wrongs.push(format!("  it said {}", told.join("\n          ")));
    }
    wrongs
}

/// One mutation, each level by itself where it must find something; the others must be clean.
fn alone(loaded: &Loaded, mutation: &Mutation) -> Vec<String> {
    let struck = loaded.copy(mutation);
    struck.strike(mutation);
    let (finding, blind): (Vec<&Level>, Vec<&Level>) = LEVELS
        .iter()
        .partition(|level| !mutation.found_by(level).is_empty());
    let mut wrong = Vec::new();
    for level in finding {
        let outcome = struck.verify(&[level]);
        wrong.extend(wrongs(level, &[mutation], &outcome));
    }
    // Together: clean together is clean each. The other way to read need not find nothing again.
    let blind: Vec<&Level> = blind
        .into_iter()
        .filter(|level| !level.heading.is_empty())
        .collect();
    for together in Level::together(&blind) {
        let outcome = struck.verify(&together);
        if !outcome.is_clean(&together) {
            let labels: Vec<&str> = together.iter().map(|level| level.label).collect();
            let (id, labels) = (&mutation.id, labels.join(", "));
            wrong.push(format!("{id} is not for {labels} to find:\n{outcome}"));
        }
    }
    struck.undo(mutation);
    wrong
}

/// Those of some places one by one: all of them, or those that a replay names.
fn each_alone(places: &[Place]) {
    let all = mutations();
    let named = std::env::var(ONLY).unwrap_or_default();
    let named: Vec<&str> = named.split(',').filter(|id| !id.is_empty()).collect();
    let is_wanted = |one: &&Mutation| {
        places.contains(&one.place) && (named.is_empty() || named.contains(&one.id.as_str()))
    };
    let mut wanted = all.iter().filter(is_wanted).peekable();
    if !full() && named.is_empty() {
        // Quick mode strikes the target with everything at once, below.
        assert!(wanted.peek().is_some(), "nothing strikes {places:?}");
        return;
    }
    if wanted.peek().is_none() {
        return;
    }
    let loaded = Loaded::new("", true);
    let mut wrong = Vec::new();
    for mutation in wanted {
        let of_it = alone(&loaded, mutation);
        if !of_it.is_empty() {
            let told = format!("{ONLY}={} replays this:\n{}", mutation.id, of_it.join("\n"));
            // There are many: whoever waits sees the first one at once.
            writeln!(std::io::stderr(), "{told}").expect("write to stderr");
            wrong.push(told);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_level_sees_of_the_target_what_the_matrix_says() {
    each_alone(&[Place::Target, Place::Master]);
}

#[test]
fn each_level_sees_of_store_and_source_what_the_matrix_says() {
    each_alone(&[Place::Store, Place::Source]);
}

/// The target's mutations all at once, each level asked once; those of the store one by one. What is
/// told beyond them is wrong too, so the rest of a clone is as clean as what was loaded.
#[test]
fn whatever_is_corrupted_is_found_and_named() {
    let loaded = Loaded::new("", false);
    let all = mutations();
    let mut wrong = Vec::new();
    let at_once: Vec<&Mutation> = all
        .iter()
        .filter(|one| matches!(one.place, Place::Target | Place::Master) && one.edits.is_empty())
        .collect();
    assert!(at_once.len() > 90, "{}", at_once.len());
    let struck = loaded.clone_of_target();
    for mutation in &at_once {
        struck.strike(mutation);
    }
    let is_of_target = |level: &&Level| !["chunks", DEMANDED].contains(&level.label);
    for level in LEVELS.iter().filter(is_of_target) {
        wrong.extend(wrongs(level, &at_once, &struck.verify(&[level])));
    }
    for mutation in &at_once {
        struck.undo(mutation);
    }
    drop(struck);
    let of_store = all
        .iter()
        .filter(|one| one.place == Place::Store && !one.needs_other_run());
    for mutation in of_store {
        let struck = loaded.copy(mutation);
        struck.strike(mutation);
        let chunks = &LEVELS[0];
        wrong.extend(wrongs(chunks, &[mutation], &struck.verify(&[chunks])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
