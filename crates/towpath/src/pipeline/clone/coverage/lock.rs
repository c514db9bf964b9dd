//! What was approved: every column that there was when somebody looked at the masks. Kept beside the
//! rules file and committed with it, so that a column that comes later is noticed by whoever clones,
//! and by whoever reads the change.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use towpath_model::{ErrorKind, Failure, Result};

use super::columns::Column;

/// The version that is written and read.
const VERSION: u32 = 1;

/// What stands behind the type of a column that was masked; no type is written like this.
const MASKED: &str = ", masked";

/// What people read first in the file.
const HEAD: &str = "# Columns that were there when the masks were approved, with their types, and which of them\n\
                    # were masked. Written by `towpath mask approve`; belongs beside the rules file, in the\n\
                    # repository.\n";

/// Approved columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    version: u32,
    /// Types by table and column, and [`MASKED`] behind those that were masked.
    #[serde(default)]
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

/// What is new about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    New,
    /// It was masked: somebody has changed the rules.
    Unmasked,
    /// It was of this type.
    Type {
        /// As approved.
        was: String,
        /// As it is.
        is: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("it was not there when the masks were approved"),
            Self::Unmasked => f.write_str("it was masked when the masks were approved"),
            Self::Type { was, is } => {
                write!(
                    f,
                    "it was of type {was} when the masks were approved, and is {is}"
                )
            }
        }
    }
}

impl Approved {
    /// Where the file of a rules file is: `towpath.clone.toml` has `towpath.clone.lock`.
    pub fn path(rules: &Path) -> PathBuf {
        rules.with_extension("lock")
    }

    /// That of a rules file, where there is one.
    pub fn read(rules: Option<&Path>) -> Result<Option<Self>> {
        let Some(path) = rules.map(Self::path) else {
            return Ok(None);
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => {
                return Err(Failure::new(
                    ErrorKind::Config,
                    format!("could not read the approved columns in {}", path.display()),
                )
                .because(cause));
            }
        };
        Self::parse(&text)
            .map(Some)
            .map_err(|failure| failure.at(path.display().to_string()))
    }

    fn parse(text: &str) -> Result<Self> {
        let broken = || {
            Failure::new(ErrorKind::Config, "the approved columns cannot be read")
                .hint("take the file from the repository again, or write it anew with `towpath mask approve`")
        };
        let approved: Self = toml::from_str(text).map_err(|cause| {
            let why = cause.message().to_owned();
            broken().because(why)
        })?;
        if approved.version != VERSION {
            return Err(Failure::new(
                ErrorKind::DocumentVersion,
                format!(
                    "approved columns are of version {}, and this towpath reads version {VERSION}",
                    approved.version
                ),
            ));
        }
        Ok(approved)
    }

    /// Of these columns.
    pub fn of<'c>(columns: impl Iterator<Item = (&'c Column, bool)>) -> Self {
        let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (column, is_masked) in columns {
            let told = match is_masked {
                true => format!("{}{MASKED}", column.type_name),
                false => column.type_name.clone(),
            };
            tables
                .entry(column.table.to_string())
                .or_default()
                .insert(column.name.clone(), told);
        }
        Self {
            version: VERSION,
            tables,
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    /// What is new about a column that is neither masked nor allowed, if anything is.
    pub fn change(&self, column: &Column) -> Option<Change> {
        let table = self.tables.get(&column.table.to_string());
        let Some(was) = table.and_then(|columns| columns.get(&column.name)) else {
            return Some(Change::New);
        };
        match was.strip_suffix(MASKED) {
            Some(_) => Some(Change::Unmasked),
            None if *was != column.type_name => Some(Change::Type {
                was: was.clone(),
                is: column.type_name.clone(),
            }),
            None => None,
        }
    }

    /// Writes it beside a rules file, whole or not at all; gives where.
    pub fn write(&self, rules: &Path) -> Result<PathBuf> {
        let path = Self::path(rules);
        let failed = || {
            Failure::new(
                ErrorKind::Config,
                format!("could not write the approved columns to {}", path.display()),
            )
        };
        let aside = path.with_extension("lock.new");
        std::fs::write(&aside, self.render()).map_err(|cause| failed().because(cause))?;
        std::fs::rename(&aside, &path).map_err(|cause| failed().because(cause))?;
        Ok(path)
    }

    fn render(&self) -> String {
        let mut text = format!("{HEAD}version = {}\n", self.version);
        for (table, columns) in &self.tables {
            text.push_str(&format!("\n[tables.{}]\n", toml_text(table)));
            for (column, type_name) in columns {
                text.push_str(&format!(
                    "{} = {}\n",
                    toml_text(column),
                    toml_text(type_name)
                ));
            }
        }
        text
    }
}

/// A text as TOML has it between double quotes: as JSON, but for one control character.
pub(super) fn toml_text(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::QualifiedName;

    fn column(table: &str, name: &str, type_name: &str) -> Column {
        Column {
            table: QualifiedName::new("public", table),
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            wanted: Default::default(),
        }
    }

    #[test]
    fn what_was_approved_is_read_back_and_what_changed_is_told() {
        let columns = [
            column("users", "id", "uuid"),
            column("odd \"name\".x", "é\n=\u{7f}", "text"),
        ];
        let masked = column("users", "mail", "text");
        let all = columns.iter().map(|column| (column, false));
        let approved = Approved::of(all.chain([(&masked, true)]));
        let read = Approved::parse(&approved.render()).unwrap();
        assert_eq!(read, approved);
        assert_eq!(read.len(), 3);
        assert!(columns.iter().all(|column| read.change(column).is_none()));
        // A rule that is gone has left a column open that nobody has approved as such.
        assert_eq!(read.change(&masked), Some(Change::Unmasked));
        assert_eq!(
            read.change(&column("users", "phone", "text")),
            Some(Change::New)
        );
        let changed = read.change(&column("users", "id", "text")).unwrap();
        assert_eq!(
            changed.to_string(),
            "it was of type uuid when the masks were approved, and is text"
        );
    }

    #[test]
    fn a_later_version_is_not_guessed_at() {
        let failure = Approved::parse("version = 2").unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::DocumentVersion);
        assert_eq!(
            Approved::parse("versoin = 1").unwrap_err().kind(),
            ErrorKind::Config
        );
    }
}
