//! The mutations as data: `tests/fixtures/mutations/mutations.sql`.

use std::collections::BTreeMap;
use std::fmt;

use towpath_tests::sample::fixture;

use crate::values_every::types;

/// What `verify` is asked for in one go, and the column of the matrix.
pub(crate) struct Level {
    /// The word for it, as in [`towpath_verify::Level::label`] and in the file.
    pub(crate) label: &'static str,
    /// Heading of its column; without one it has none.
    pub(crate) heading: &'static str,
    /// How to ask for it.
    pub(crate) flags: &'static [&'static str],
    /// It changes what the flags of others mean.
    pub(crate) apart: bool,
}

/// What stands for the root hash that the run printed.
pub(crate) const ROOT: &str = "ROOT";

/// A refusal because of the hash that was demanded.
pub(crate) const DEMANDED: &str = "demanded";

const fn level(label: &'static str, flags: &'static [&'static str]) -> Level {
    Level {
        label,
        heading: label,
        flags,
        apart: false,
    }
}

pub(crate) const LEVELS: &[Level] = &[
    level("chunks", &["--chunks"]),
    level("counts", &["--counts"]),
    level("rows", &["--rows"]),
    Level {
        label: "live",
        heading: "rows, `--source live`",
        flags: &["--rows", "--source", "live"],
        apart: true,
    },
    // What the other way to read finds, and no column of its own.
    Level {
        label: "pushdown",
        heading: "",
        flags: &["--rows", "--source", "live", "--read", "pushdown"],
        apart: true,
    },
    level("sequences", &["--sequences"]),
    level("schema", &["--schema"]),
    level("access", &["--access"]),
    level("health", &["--health"]),
    Level {
        label: DEMANDED,
        heading: "`--expect-manifest`",
        flags: &["--expect-manifest", ROOT],
        apart: false,
    },
];

impl Level {
    /// The fewest calls that look at all of these.
    pub(crate) fn together<'l>(levels: &[&'l Level]) -> Vec<Vec<&'l Level>> {
        let (apart, joined): (Vec<&Level>, Vec<&Level>) =
            levels.iter().copied().partition(|level| level.apart);
        let mut calls: Vec<Vec<&Level>> = apart.into_iter().map(|level| vec![level]).collect();
        if !joined.is_empty() {
            calls.push(joined);
        }
        calls
    }

    /// The arguments of one call that looks at these.
    pub(crate) fn arguments<'l>(levels: &[&'l Level], root: &'l str) -> Vec<&'l str> {
        let mut arguments: Vec<&str> = levels
            .iter()
            .flat_map(|level| level.flags)
            .copied()
            .collect();
        // A root hash is demanded of whoever looks at something.
        if let [demanding] = levels
            && demanding.label == DEMANDED
        {
            arguments.push("--sequences");
        }
        for argument in &mut arguments {
            if *argument == ROOT {
                *argument = root;
            }
        }
        arguments
    }
}

/// Who runs the statements of a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Superuser of the target's server.
    Target,
    /// Owner of the target's database.
    Master,
    /// Nobody: the run store is edited.
    Store,
    /// Superuser of the source's server.
    Source,
}

/// Words that one difference holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(Vec<String>);

impl Names {
    fn of(words: &str) -> Self {
        Self(
            words
                .split(" / ")
                .map(|word| word.trim().to_owned())
                .collect(),
        )
    }

    /// Whether a text holds each of them, and not as a part of a longer word.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.0.iter().all(|word| {
            text.match_indices(word.as_str()).any(|(at, word)| {
                !is_part(text[..at].chars().next_back())
                    && !is_part(text[at + word.len()..].chars().next())
            })
        })
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// One kind of corruption.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) place: Place,
    pub(crate) id: String,
    /// The row of the matrix.
    pub(crate) words: String,
    /// The heading it stands under.
    pub(crate) group: String,
    /// By label of a level, what it says.
    found: BTreeMap<String, Vec<Names>>,
    /// What is done to the store.
    pub(crate) edits: Vec<String>,
    pub(crate) sql: String,
    pub(crate) undo: String,
}

impl Mutation {
    /// What a level says of it; nothing when it cannot see it.
    pub(crate) fn found_by(&self, level: &Level) -> &[Names] {
        let of = |label: &str| self.found.get(label);
        let found = match level.label {
            "live" | "pushdown" => of("live").or_else(|| of("rows")),
            label => of(label),
        };
        found.or_else(|| of("all")).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn needs_other_run(&self) -> bool {
        self.edits.iter().any(|edit| edit.starts_with("replay"))
    }

    fn begin(line: &str, group: &str) -> Self {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [place, id, words] = parts[..] else {
            panic!("{line} has not three parts");
        };
        let place = match place {
            "target" => Place::Target,
            "master" => Place::Master,
            "store" => Place::Store,
            "source" => Place::Source,
            other => panic!("{other} is no place"),
        };
        Self {
            place,
            id: id.to_owned(),
            words: words.replace("%TYPES%", &types().len().to_string()),
            group: group.to_owned(),
            found: BTreeMap::new(),
            edits: Vec::new(),
            sql: String::new(),
            undo: String::new(),
        }
    }

    fn expect(&mut self, line: &str) {
        let (label, words) = line.split_once(':').expect("a level and its words");
        let is_level = |label: &str| LEVELS.iter().any(|level| level.label == label);
        assert!(label == "all" || is_level(label), "{label} is no level");
        let names = self.found.entry(label.to_owned()).or_default();
        if words.trim() != "-" {
            names.push(Names::of(words));
        }
    }

    /// One bit of one value of each type: a row and a column for each.
    fn flip_one_bit(&mut self) {
        self.sql = fixture("mutations/one_bit.sql");
        for (at, of) in types().iter().enumerate() {
            if of.binary {
                self.expect(&format!("rows: rows bits_binary / changed id={at} (c{at})"));
            }
            self.expect(&format!("rows: rows bits_csv / changed id={at} (c{at})"));
        }
    }
}

/// All of them, in the order of the file.
pub(crate) fn mutations() -> Vec<Mutation> {
    let mut mutations: Vec<Mutation> = Vec::new();
    let mut group = String::new();
    let mut undoing = false;
    for line in fixture("mutations/mutations.sql").lines() {
        if let Some(heading) = line.strip_prefix("--# ") {
            heading.clone_into(&mut group);
        } else if let Some(line) = line.strip_prefix("--! ") {
            mutations.push(Mutation::begin(line, &group));
            undoing = false;
        }
        let Some(mutation) = mutations.last_mut() else {
            continue;
        };
        if let Some(line) = line.strip_prefix("--? ") {
            mutation.expect(line);
        } else if let Some(edit) = line.strip_prefix("--+ ") {
            mutation.edits.push(edit.to_owned());
        } else if line == "--* one-bit" {
            mutation.flip_one_bit();
        } else if line == "--- undo" {
            undoing = true;
        } else if !line.starts_with("--") {
            let script = match undoing {
                true => &mut mutation.undo,
                false => &mut mutation.sql,
            };
            script.push_str(line);
            script.push('\n');
        }
    }
    mutations
}

#[test]
fn every_mutation_does_something_and_has_a_name_of_its_own() {
    let all = mutations();
    assert!(all.len() > 120, "{}", all.len());
    for mutation in &all {
        let id = &mutation.id;
        let same = all.iter().filter(|other| other.id == *id).count();
        assert_eq!(same, 1, "{id} is there {same} times");
        let does = !mutation.sql.trim().is_empty() || !mutation.edits.is_empty();
        assert!(does, "{id} does nothing");
        let on_source = mutation.place == Place::Source;
        assert!(!on_source || !mutation.undo.is_empty(), "{id} stays");
    }
}

#[test]
fn a_name_is_no_part_of_a_longer_one() {
    let names = Names::of("rows texts / changed id=1");
    assert!(names.are_in("rows texts: changed id=1; missing id=2"));
    assert!(!names.are_in("rows texts: changed id=10"));
    assert!(!names.are_in("rows contexts texts: changed id=1"));
}
