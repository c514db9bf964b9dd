//! The rules file of clones: what is masked, what may stay as it is, what belongs together, and
//! which rows go. Written by people, as TOML.

use serde::{Deserialize, Serialize};

use crate::masking::{Condition, Locale, Transformer};

/// A rules file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneRules {
    /// Version of the format: 1.
    #[serde(default)]
    pub version: u32,
    /// Language of made-up data.
    #[serde(default)]
    pub locale: Locale,
    /// Masks. Of several that match a column the first one counts.
    #[serde(default, rename = "mask")]
    pub masks: Vec<MaskRule>,
    /// Columns that look personal and may stay as they are.
    #[serde(default, rename = "allow")]
    pub allows: Vec<AllowRule>,
    /// References that no foreign key tells of.
    #[serde(default, rename = "reference")]
    pub references: Vec<VirtualReference>,
    /// Which rows go; all unless told.
    #[serde(default)]
    pub subset: SubsetRules,
}

/// A mask for the columns that it matches: all that is said must match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskRule {
    /// Glob on `schema.table`; every table unless told. A name without a dot is of schema `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Glob on the column; every column unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Glob on the type as `format_type` writes it, of the domain or of what is below it.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Label under which equal values are masked alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// How.
    #[serde(flatten)]
    pub transformer: Transformer,
}

/// Columns that may stay as they are although they look personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowRule {
    /// Glob on `schema.table`.
    pub table: String,
    /// Glob on the column.
    pub column: String,
    /// Why; told in the report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A reference that no foreign key tells of: `from = "public.notes(author)"`, `to = "users(id)"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualReference {
    /// Table and columns that refer.
    pub from: String,
    /// Table and columns that are referred to.
    pub to: String,
    /// For a polymorphic reference: in which rows it leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}

/// Which rows go. Flags of the command line add to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubsetRules {
    /// Decides which rows `percent` and `limit` take: the same seed takes the same keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Tables that the choice begins with; those with a rule of their own besides.
    #[serde(default)]
    pub roots: Vec<String>,
    /// Of every root table without a rule of its own: so many per cent of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Likewise: so many rows at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Rules of tables.
    #[serde(default, rename = "table")]
    pub tables: Vec<TableRule>,
}

/// Which rows of one table go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRule {
    /// The table.
    pub table: String,
    /// Condition in SQL, over the table's columns.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// So many per cent of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// So many rows at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What becomes of rows that refer to kept ones: `follow` (they go, too, unless told), `leave`
    /// (they go only if something else wants them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Children>,
    /// All of it goes, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<WholeTable>,
}

/// What becomes of rows that refer to rows of a table that go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Children {
    /// They go, too.
    #[default]
    Follow,
    /// They go only if something else wants them.
    Leave,
}

/// A table as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WholeTable {
    /// Every row.
    All,
    /// No row, and none for anybody else.
    None,
}

impl SubsetRules {
    /// Whether every row of every table goes. Roots alone choose: all of them, and what belongs to them.
    pub fn is_everything(&self) -> bool {
        self.roots.is_empty()
            && self.percent.is_none()
            && self.limit.is_none()
            && self.tables.iter().all(|table| {
                table.condition.is_none()
                    && table.percent.is_none()
                    && table.limit.is_none()
                    && table.rows != Some(WholeTable::None)
            })
    }
}
