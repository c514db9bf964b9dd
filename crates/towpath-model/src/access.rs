//! Whether roles may do on the target what they may do on the source: level `access` of
//! `verify/<n>.json`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{QualifiedName, readable};

/// What was compared, and what came of it. Holds names, counts and keys; of claims the label only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessProof {
    /// Roles that were taken on, on both sides.
    pub roles: Vec<String>,
    /// Who was taken on: each role with each set of claims, by its label.
    pub subjects: Vec<AccessSubject>,
    /// Relations looked at.
    pub relations: u64,
    /// Of them, those whose rows were looked at in part.
    pub sampled: Vec<SampledRelation>,
    /// Relations without a row on the source: there only privileges can be compared.
    pub empty: u64,
    /// Sets of visible rows compared: one for each subject and relation.
    pub visible_sets: u64,
    /// Attempts to write that were compared, each for one subject, relation and operation.
    pub writes: u64,
    /// How far those attempts went.
    pub write_attempts: WriteAttempts,
    /// What was not looked at, with the reason: never to be taken for equal.
    pub not_looked_at: Vec<NotLookedAt>,
    /// What differs. Each is a difference of the verification too.
    pub differences: Vec<AccessDifference>,
}

/// Somebody: a role with claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccessSubject {
    /// Role.
    pub role: String,
    /// Label of the claims, never their values.
    pub claims: String,
}

/// A relation too large to be compared row by row for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledRelation {
    /// Which.
    pub relation: QualifiedName,
    /// Rows exported.
    pub rows: u64,
    /// Rows of the sample.
    pub looked_at: u64,
}

/// How far attempts to write go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteAttempts {
    /// Privileges by `EXPLAIN`, policies by reading: nothing is written, not even for a moment.
    #[default]
    Explain,
    /// Rows are written as the subject, and rolled back.
    RollBack,
}

/// Something that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NotLookedAt {
    /// What: a role, a subject, a relation.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What somebody may do on one side and not on the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDifference {
    /// Role.
    pub role: String,
    /// Label of the claims.
    pub claims: String,
    /// Relation; nothing where the role itself is the matter.
    pub relation: Option<QualifiedName>,
    /// What was tried.
    pub operation: AccessOperation,
    /// What came of it on the source.
    pub source: AccessOutcome,
    /// What came of it on the target.
    pub target: AccessOutcome,
    /// Rows that only the source lets through, of those that both sides hold alike.
    #[serde(default)]
    pub only_source: u64,
    /// Rows that only the target lets through.
    #[serde(default)]
    pub only_target: u64,
    /// There are more such rows: not all were looked at.
    #[serde(default)]
    pub at_least: bool,
    /// Some of these rows.
    #[serde(default)]
    pub rows: Vec<AccessRow>,
}

/// A row that one side lets through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRow {
    /// The side that does: `source` or `target`.
    pub only_on: String,
    /// Columns and values of the primary key; for keyless relations empty.
    pub key: Vec<(String, String)>,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessOperation {
    /// `SET ROLE`.
    SetRole,
    /// Which privileges the role has, its own and those that come to it.
    Privileges,
    /// Reading.
    Select,
    /// Adding a row.
    Insert,
    /// Changing a row.
    Update,
    /// Removing a row.
    Delete,
}

impl AccessOperation {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SetRole => "set role",
            Self::Privileges => "privileges",
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum AccessOutcome {
    /// It is possible.
    Allowed,
    /// It is possible for this many rows of those looked at.
    Rows {
        /// How many.
        rows: u64,
    },
    /// The server refused.
    Refused {
        /// SQLSTATE.
        code: String,
    },
    /// The privileges there are, in words.
    Has {
        /// Such as `select, insert (id, name)`.
        privileges: String,
    },
}

impl fmt::Display for AccessOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Rows { rows: 1 } => f.write_str("1 row"),
            Self::Rows { rows } => write!(f, "{rows} rows"),
            Self::Refused { code } => match refusal(code) {
                Some(words) => write!(f, "refused: {words} ({code})"),
                None => write!(f, "refused ({code})"),
            },
            Self::Has { privileges } if privileges.is_empty() => f.write_str("none"),
            Self::Has { privileges } => f.write_str(privileges),
        }
    }
}

/// What the SQLSTATEs mean that people meet here (PostgreSQL manual, appendix A).
fn refusal(code: &str) -> Option<&'static str> {
    Some(match code {
        "42501" => "no privilege, or no policy that lets it",
        "42P17" => "a policy recurses without end",
        "42883" => "a function is missing",
        "42P01" => "a relation is missing",
        "42703" => "a column is missing",
        "3F000" => "a schema is missing",
        "22023" => "there is no such role",
        "44000" => "a check option",
        "25006" => "it would write",
        "P0001" => "a function raised it",
        _ => return None,
    })
}

impl AccessSubject {
    /// Role and claims in one line.
    pub fn words(&self) -> String {
        words(&self.role, &self.claims)
    }
}

fn words(role: &str, claims: &str) -> String {
    match claims {
        "" => readable(role),
        claims => format!("{} ({claims})", readable(role)),
    }
}

impl AccessDifference {
    /// Who tried what on which relation.
    pub fn subject(&self) -> String {
        let mut text = words(&self.role, &self.claims);
        text.push_str(": ");
        text.push_str(self.operation.label());
        if let Some(relation) = &self.relation {
            text.push_str(&format!(" on {relation}"));
        }
        text
    }
}

/// One line for people.
impl fmt::Display for AccessDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject())?;
        write!(f, ": source {}, target {}", self.source, self.target)?;
        if self.only_source + self.only_target > 0 {
            let more = if self.at_least { "at least " } else { "" };
            write!(
                f,
                "; {more}{} only on source, {} only on target",
                self.only_source, self.only_target
            )?;
        }
        for (at, row) in self
            .rows
            .iter()
            .filter(|row| !row.key.is_empty())
            .enumerate()
        {
            let key: Vec<String> = row
                .key
                .iter()
                .map(|(column, value)| format!("{} = {value}", readable(column)))
                .collect();
            let before = if at == 0 { ": " } else { "; " };
            write!(f, "{before}{} ({})", key.join(", "), row.only_on)?;
        }
        Ok(())
    }
}

impl AccessProof {
    /// One line for people: how much was compared.
    pub fn summary(&self) -> String {
        let counted = |count: u64, noun: &str| match count {
            1 => format!("1 {noun}"),
            count => format!("{count} {noun}s"),
        };
        let sets = match self.visible_sets {
            1 => "1 set of visible rows".to_owned(),
            sets => format!("{sets} sets of visible rows"),
        };
        let mut line = format!(
            "{} in {}, {}, {sets}, {} {}",
            counted(self.subjects.len() as u64, "subject"),
            counted(self.roles.len() as u64, "role"),
            counted(self.relations, "relation"),
            counted(self.writes, "write"),
            match self.write_attempts {
                WriteAttempts::Explain => "explained",
                WriteAttempts::RollBack => "tried and rolled back",
            },
        );
        if self.empty > 0 {
            line.push_str(&format!(
                "; {} without rows",
                counted(self.empty, "relation")
            ));
        }
        if !self.sampled.is_empty() {
            line.push_str(&format!("; {} looked at in part", self.sampled.len()));
        }
        if !self.not_looked_at.is_empty() {
            line.push_str(&format!("; {} not looked at", self.not_looked_at.len()));
        }
        line
    }
}

impl fmt::Display for NotLookedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}
