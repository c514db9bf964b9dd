//! A script of statements that a person can read and psql can run, and that towpath reads back
//! statement by statement without parsing SQL: each statement is announced by a comment line that
//! holds its identity and its exact length in bytes.

use serde::{Deserialize, Serialize};

use crate::digest::Hash;
use crate::failure::{ErrorKind, Failure, Result};
use crate::name::QualifiedName;
use crate::structure::ObjectId;

/// When a statement runs. Phases run in this order; within a phase that [`Phase::is_parallel`],
/// statements may run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Roles, memberships, schemas, extensions, emulation, types, functions, bare tables, views:
    /// everything that must be there before rows, in the order of the script.
    PreData,
    /// Indexes, unique ones that a constraint will take over included.
    Index,
    /// Primary key, unique, exclusion and check constraints.
    Constraint,
    /// What needs parent and child indexes at once: attaching indexes of partitions, replica
    /// identity, cluster markers, extended statistics.
    IndexAttach,
    /// Foreign keys, not yet validated.
    ForeignKey,
    /// Validation of foreign keys.
    ForeignKeyValidate,
    /// Views that need a primary key, materialized views' contents, rules.
    View,
    /// Triggers and their enabled state.
    Trigger,
    /// Policies and row-level security switches.
    Policy,
    /// Privileges.
    Grant,
    /// Default privileges, settings of roles and database, publications, event triggers: what
    /// would change the meaning of the statements above if it came earlier.
    Last,
}

impl Phase {
    /// Every phase after the data, in order.
    pub const POST_DATA: [Phase; 10] = [
        Phase::Index,
        Phase::Constraint,
        Phase::IndexAttach,
        Phase::ForeignKey,
        Phase::ForeignKeyValidate,
        Phase::View,
        Phase::Trigger,
        Phase::Policy,
        Phase::Grant,
        Phase::Last,
    ];

    /// Whether statements of this phase may run side by side.
    pub const fn is_parallel(self) -> bool {
        matches!(self, Phase::Index | Phase::ForeignKeyValidate)
    }
}

/// What a statement does to its object, as it matters on a target that may have the object already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Not told: it runs whatever is there. What scripts of earlier versions say.
    #[default]
    Unknown,
    /// Makes the object, and fails when it is there.
    Make,
    /// Makes the unique index that the object, a constraint, takes over later.
    MakeIndex,
    /// Makes the object or brings it to what it should be; doing it twice is doing it once.
    Ensure,
    /// Says something about the object; doing it twice is doing it once.
    Set,
    /// Sets one part of the object; doing it twice is doing it once.
    SetPart(Part),
    /// Adds one part to the object, and fails when the part is there.
    Add(Part),
    /// Gives the object its owner.
    Own,
    /// Does what no structure shows. Doing it twice is doing it once.
    Always,
}

impl Effect {
    fn is_unknown(&self) -> bool {
        *self == Effect::Unknown
    }

    /// The part that it is about.
    pub const fn part(&self) -> Option<&Part> {
        match self {
            Effect::SetPart(part) | Effect::Add(part) => Some(part),
            _ => None,
        }
    }
}

/// A part of an object's structure: an aspect, an entry of a list in it, a field of that entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Aspect.
    pub aspect: String,
    /// Column, token, table or constraint in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Field of a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Part {
    /// A whole aspect.
    pub fn aspect(aspect: &str) -> Self {
        Self {
            aspect: aspect.to_owned(),
            of: None,
            field: None,
        }
    }

    /// An entry of an aspect.
    pub fn entry(aspect: &str, of: &str) -> Self {
        Self {
            of: Some(of.to_owned()),
            ..Self::aspect(aspect)
        }
    }

    /// A field of a column.
    pub fn column(column: &str, field: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::entry("columns", column)
        }
    }
}

/// One statement of the clean schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Position in its script, from 1; with the run id, the key in the target's ledger.
    pub no: u32,
    /// When it runs.
    pub phase: Phase,
    /// The object it makes or changes.
    pub object: ObjectId,
    /// The table it works on, for scheduling: statements on one table do not run side by side
    /// with others that lock it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<QualifiedName>,
    /// What it does to its object.
    #[serde(default, skip_serializing_if = "Effect::is_unknown")]
    pub effect: Effect,
    /// The SQL, one statement, without the final semicolon.
    #[serde(skip)]
    pub sql: String,
}

#[derive(Serialize, Deserialize)]
struct Announcement {
    #[serde(flatten)]
    statement: Statement,
    bytes: usize,
}

const OPENING: &str = "-- towpath script 1\n";
const ANNOUNCE: &str = "-- statement ";

/// Writes a script.
pub fn render(statements: &[Statement]) -> Result<String> {
    let mut text = String::from(OPENING);
    for statement in statements {
        let announcement = Announcement {
            statement: statement.clone(),
            bytes: statement.sql.len(),
        };
        let line = serde_json::to_string(&announcement).map_err(|cause| {
            Failure::new(
                ErrorKind::Internal,
                format!("could not write {}", statement.object),
            )
            .because(cause)
        })?;
        text.push_str(&format!("{ANNOUNCE}{line}\n{};\n\n", statement.sql));
    }
    Ok(text)
}

/// Reads a script back; `place` names it for the error.
pub fn parse(text: &str, place: &str) -> Result<Vec<Statement>> {
    let corrupt = |what: &str| {
        Failure::new(
            ErrorKind::DocumentCorrupt,
            format!("could not read {place}: {what}"),
        )
    };
    let mut rest = text
        .strip_prefix(OPENING)
        .ok_or_else(|| corrupt("not a towpath script"))?;
    let mut statements = Vec::new();
    while !rest.is_empty() {
        let (line, after) = rest
            .strip_prefix(ANNOUNCE)
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| corrupt("a statement is not announced"))?;
        let announcement: Announcement =
            serde_json::from_str(line).map_err(|cause| corrupt("bad line").because(cause))?;
        let sql = after
            .get(..announcement.bytes)
            .ok_or_else(|| corrupt("a statement is cut short"))?;
        rest = after[announcement.bytes..]
            .strip_prefix(";\n\n")
            .ok_or_else(|| corrupt("a statement has another length than announced"))?;
        statements.push(Statement {
            sql: sql.to_owned(),
            ..announcement.statement
        });
    }
    Ok(statements)
}

/// The hash of a script's text, as the manifest quotes it.
pub fn hash(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::ObjectKind;

    #[test]
    fn reads_back_what_it_wrote() {
        let statement = |no: u32, sql: &str| Statement {
            no,
            phase: Phase::PreData,
            object: ObjectId::of(ObjectKind::Function, "a\nb", "f;"),
            table: None,
            effect: Effect::SetPart(Part::column("a/b", "default")),
            sql: sql.to_owned(),
        };
        let all = vec![
            statement(
                1,
                "create function f() language sql as $$ select ';\n\n-- statement {' $$",
            ),
            statement(2, ""),
            statement(3, "select 'ü'\r\n"),
        ];
        let text = render(&all).unwrap();
        assert_eq!(parse(&text, "x").unwrap(), all);
        assert!(parse(&text[..text.len() - 4], "x").is_err());
    }
}
