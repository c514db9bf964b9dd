//! A clone: an environment made of a run's rows, built aside and swapped in.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::masking::{ColumnTally, MaskSet};
use crate::name::QualifiedName;
use crate::rehearsal::MadeRole;

/// What names of databases begin with that a clone is built in, or that are kept after it.
const ASIDE: &str = "towpath_clone_";

/// What tokens, keys and passwords look like.
const SECRET: &str = "secret";

/// What the mark of a clone begins with, before its JSON.
const MARK: &str = "towpath clone: ";

/// The part of a plan that says that it is for a clone: nothing is switched by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClonePlan {
    /// Name of the database that it becomes.
    pub name: String,
    /// Name that it is built under.
    pub aside: String,
    /// The sealed run whose rows it is made of, in place of a fresh export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RunId>,
    /// The run whose stored chunks are used again where their table has not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuses: Option<RunId>,
    /// Masks, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<MaskSet>,
    /// What became of columns that hold personal data, or could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Covered>,
    /// What is kept, for people; nothing where every row goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Seed of the choice of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// What becomes of sequences.
    #[serde(default)]
    pub sequences: CloneSequences,
    /// Hash of all that the operator asked for: the same command goes on with the same clone only.
    pub order: crate::digest::Hash,
}

impl ClonePlan {
    /// The name of the database that a run builds a clone in.
    pub fn aside_of(run: &RunId) -> String {
        format!("{ASIDE}{}", run.as_str().replace('-', "_"))
    }

    /// The name that a clone gets when another one takes its place; of the run that made it.
    pub fn kept_of(run: &RunId) -> String {
        format!("{ASIDE}kept_{}", run.as_str().replace('-', "_"))
    }

    /// Whether a database is named like one that is built or kept. It is one only if it is marked.
    pub fn is_named_like_one(database: &str) -> bool {
        database.starts_with(ASIDE)
    }
}

/// What the coverage gate found before a clone was made: part of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// Columns that are masked; of partitions those of the table that they belong to.
    pub masked: usize,
    /// Columns that are neither masked nor allowed, and look like nothing.
    pub plain: usize,
    /// Columns that are allowed, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AllowedColumn>,
    /// Columns that look personal and go as they are, because the operator waived the gate.
    #[serde(default)]
    pub as_they_are: usize,
    /// Whether every column was held against those that were there when the masks were approved.
    #[serde(default)]
    pub approved: bool,
    /// What could not be looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What becomes of sequences in a clone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloneSequences {
    /// They stand where the source has them.
    #[default]
    Carry,
    /// Those that feed a column stand behind its greatest value, others at their start.
    Fit,
}

/// Where a clone is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloneState {
    /// Rows are going in, or were when somebody stopped.
    Building,
    /// It serves under its name.
    Serving,
    /// Another one has taken its place.
    Kept,
}

/// The comment on a clone's database. Nothing is renamed or dropped that does not carry one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloneMark {
    /// The run.
    pub run: RunId,
    /// Run store, without secrets.
    pub store: String,
    /// Name that it serves under, or is to.
    pub name: String,
    /// Where it is.
    pub state: CloneState,
    /// When this was written, RFC 3339.
    pub at: String,
    /// OID of the database: a comment travels with a dump, and is then about another database.
    #[serde(default)]
    pub oid: u32,
    /// Roles that were made with it. They stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<MadeRole>,
    /// The run whose rows it holds, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RunId>,
    /// `host:port/database` of the source.
    pub source: String,
    /// Masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<MaskSet>,
    /// Subset, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Evidence of its verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// When the snapshot of its rows was taken, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_at: Option<String>,
}

/// Version of marks that is written and read.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned<M> {
    v: u32,
    #[serde(flatten)]
    mark: M,
}

impl CloneMark {
    /// As a comment.
    pub fn render(&self) -> String {
        let versioned = Versioned {
            v: VERSION,
            mark: self,
        };
        let fields = serde_json::to_string(&versioned).unwrap_or_default();
        format!("{MARK}{fields}")
    }

    /// Reads a comment; nothing when it is not such a mark, or one of a later version: what this one
    /// does not know it would drop, writing the next.
    pub fn parse(comment: &str) -> Option<Self> {
        let versioned: Versioned<Self> = serde_json::from_str(comment.strip_prefix(MARK)?).ok()?;
        (versioned.v == VERSION).then_some(versioned.mark)
    }

    /// What its database is called in this state.
    pub fn database(&self) -> String {
        match self.state {
            CloneState::Building => ClonePlan::aside_of(&self.run),
            CloneState::Serving => self.name.clone(),
            CloneState::Kept => ClonePlan::kept_of(&self.run),
        }
    }

    /// Whether it is about the database that it was found on.
    pub fn is_of(&self, database: &str, oid: u32) -> bool {
        self.oid == oid && self.database() == database
    }
}

/// What verification found out about a clone as a clone: part of the evidence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CloneProof {
    /// Masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<MaskSet>,
    /// Tables with masked columns whose other columns were read and compared.
    pub unmasked_tables: u64,
    /// What masking did, by table and column.
    pub columns: Vec<MaskedTable>,
    /// References that were proven to lead to rows that are there, declared ones included.
    pub references_checked: u64,
    /// Unique keys that were proven to hold.
    pub uniques_checked: u64,
    /// What the residual scan read, and what it looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<ResidualScan>,
    /// Columns that look personal and were allowed to stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AllowedColumn>,
    /// What was not looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_looked_at: Vec<String>,
}

/// A column that looks personal, or is named by a rule, and may stay as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedColumn {
    /// Table.
    pub table: QualifiedName,
    /// Column.
    pub column: String,
    /// Why; what the rule says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How often something was found there that a masked column of the source holds, or a secret.
    #[serde(default)]
    pub hits: u64,
}

/// What masking did to the columns of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskedTable {
    /// Table.
    pub table: QualifiedName,
    /// By column.
    pub columns: BTreeMap<String, ColumnTally>,
}

/// What the residual scan of a clone read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResidualScan {
    /// Columns read.
    pub columns: u64,
    /// Values read.
    pub values: u64,
    /// Personal-looking values within them.
    pub personal_looking: u64,
    /// Original values that they were compared with.
    pub originals: u64,
    /// How likely a value is taken for an original by chance.
    pub false_positive: f64,
}

/// Something in a clone that should not be there, or is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum CloneFinding {
    /// The columns that are not masked differ from the source's.
    Unmasked {
        /// Table.
        table: QualifiedName,
        /// What was found.
        found: String,
    },
    /// Values of a masked column are what they were.
    Unchanged {
        /// Table.
        table: QualifiedName,
        /// Column.
        column: String,
        /// How many.
        rows: u64,
    },
    /// A reference leads nowhere.
    Dangling {
        /// The reference.
        reference: String,
        /// Table that refers.
        table: QualifiedName,
        /// How many rows.
        rows: u64,
    },
    /// A key is not unique.
    Duplicate {
        /// The key.
        key: String,
        /// Table.
        table: QualifiedName,
        /// How many values are there more than once.
        values: u64,
    },
    /// Values that the source has in a masked column are in the clone.
    Original {
        /// Table, or where else it was found: `statistics`, `schema`.
        place: String,
        /// Column, where there is one.
        column: String,
        /// What they look like: `e-mail`, `number`, `IBAN`, `name`, `secret`.
        looks_like: String,
        /// How many.
        values: u64,
    },
}

impl fmt::Display for CloneFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmasked { table, found } => {
                write!(
                    f,
                    "table {table}: columns that are not masked differ: {found}"
                )
            }
            Self::Unchanged {
                table,
                column,
                rows,
            } => match rows {
                1 => write!(
                    f,
                    "table {table}: 1 value of masked column {column} is what it was"
                ),
                rows => write!(
                    f,
                    "table {table}: {rows} values of masked column {column} are what they were"
                ),
            },
            Self::Dangling {
                reference,
                table,
                rows,
            } => match rows {
                1 => write!(f, "table {table}: 1 row of {reference} leads nowhere"),
                rows => write!(f, "table {table}: {rows} rows of {reference} lead nowhere"),
            },
            Self::Duplicate { key, table, values } => match values {
                1 => write!(f, "table {table}: 1 value of {key} is there more than once"),
                values => write!(
                    f,
                    "table {table}: {values} values of {key} are there more than once"
                ),
            },
            Self::Original {
                place,
                column,
                looks_like,
                values,
            } => {
                let (count, look, are) = match values {
                    1 => ("1 value".to_owned(), "looks", "is"),
                    values => (format!("{values} values"), "look", "are"),
                };
                write!(f, "{place}: {count} of {column} {look} like {looks_like}")?;
                // What opens doors must not stand there, whoever it was made for.
                match looks_like == SECRET {
                    true => Ok(()),
                    false => write!(f, " and {are} the source's own"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_of_one_and_of_many() {
        let table = QualifiedName::new("public", "t");
        let of = |count: u64, looks_like: &str| {
            let found = [
                CloneFinding::Unchanged {
                    table: table.clone(),
                    column: "c".to_owned(),
                    rows: count,
                },
                CloneFinding::Dangling {
                    reference: "r".to_owned(),
                    table: table.clone(),
                    rows: count,
                },
                CloneFinding::Duplicate {
                    key: "k".to_owned(),
                    table: table.clone(),
                    values: count,
                },
                CloneFinding::Original {
                    place: "public.t".to_owned(),
                    column: "c".to_owned(),
                    looks_like: looks_like.to_owned(),
                    values: count,
                },
            ];
            found.map(|it| it.to_string())
        };
        assert_eq!(
            of(1, "e-mail"),
            [
                "table public.t: 1 value of masked column c is what it was",
                "table public.t: 1 row of r leads nowhere",
                "table public.t: 1 value of k is there more than once",
                "public.t: 1 value of c looks like e-mail and is the source's own",
            ]
        );
        assert_eq!(
            of(2, "secret"),
            [
                "table public.t: 2 values of masked column c are what they were",
                "table public.t: 2 rows of r lead nowhere",
                "table public.t: 2 values of k are there more than once",
                "public.t: 2 values of c look like secret",
            ]
        );
    }
}
