//! What holds rows together: keys, references, checks and types of columns, told from a structure.
//! Masks must respect them, and a subset is closed over them.

mod declared;
mod read;
mod text;

use std::collections::BTreeMap;

use crate::name::QualifiedName;

pub use declared::{condition_of, declared, idle, leading_table, table_named};

/// A column as masks and subsets see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnFacts {
    /// Name.
    pub name: String,
    /// Type as `format_type` writes it with an empty search path.
    pub type_name: String,
    /// The type below all domains; `enum` for an enum.
    pub base_type: String,
    /// Of an enum its labels, in order.
    pub labels: Vec<String>,
    /// It takes no NULL, by itself or by a domain.
    pub not_null: bool,
    /// It is generated, and copied by nobody.
    pub generated: bool,
    /// Of a generated column those that it is computed of, as far as they could be told.
    pub computed_of: Vec<String>,
    /// Comment.
    pub comment: Option<String>,
}

/// A foreign key, or a reference that the rules declare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Name of the constraint; of a declared one what the rules say.
    pub name: String,
    /// Table that refers.
    pub child: QualifiedName,
    /// Its columns.
    pub child_columns: Vec<String>,
    /// Table that is referred to.
    pub parent: QualifiedName,
    /// Its columns, in the same order.
    pub parent_columns: Vec<String>,
    /// `MATCH FULL`.
    pub is_full: bool,
    /// For a polymorphic reference: SQL over the child's columns that says in which rows it holds.
    pub condition: Option<String>,
    /// Declared by the rules: no constraint holds it.
    pub is_declared: bool,
    /// The last column of either side is a period, which several rows of the parent may cover
    /// together (since PostgreSQL 18).
    pub is_period: bool,
}

/// What must be unique: a primary key, a unique or exclusion constraint, or a unique index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UniqueKey {
    /// Name of constraint or index.
    pub name: String,
    /// Table.
    pub table: QualifiedName,
    /// Columns that take part, within expressions, too.
    pub columns: Vec<String>,
    /// Those of them that are in expressions or in its condition only.
    pub within: Vec<String>,
    /// Holds by an exclusion constraint: what is equal is not for towpath to say.
    pub is_exclusion: bool,
    /// `NULLS NOT DISTINCT`: one NULL is as much as it takes.
    pub nulls_are_equal: bool,
}

/// A check constraint of a table, or of the domain of a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// Name.
    pub name: String,
    /// Table.
    pub table: QualifiedName,
    /// Columns that it reads, as far as they could be told.
    pub columns: Vec<String>,
    /// The expression in SQL.
    pub expression: String,
}

/// Facts about one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Columns, in order.
    pub columns: Vec<ColumnFacts>,
    /// The partitioned table or the inheritance parent that it belongs to, nearest first.
    pub parents: Vec<QualifiedName>,
    /// It is partitioned: its rows are in its partitions.
    pub is_partitioned: bool,
    /// Columns that decide in which partition a row is, within expressions, too.
    pub partition_columns: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// By table, partitioned ones included.
    pub tables: BTreeMap<QualifiedName, TableFacts>,
    /// Foreign keys, those of partitioned tables once, as they were declared.
    pub references: Vec<Reference>,
    /// Unique keys.
    pub uniques: Vec<UniqueKey>,
    /// Checks.
    pub checks: Vec<Check>,
}
