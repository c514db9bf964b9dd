//! Patterns on names: `*` for any characters, `?` for one, `[a-z]` for one of some, `{a,b}` for one of
//! several. For masks upper and lower case are the same: rather a column too many. For what lets a column
//! go as it is they differ, as in the catalog.

use globset::{GlobBuilder, GlobMatcher};
use towpath_model::name::QualifiedName;

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// They do.
    Differs,
    /// They do not.
    IsTheSame,
}

/// A pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(GlobMatcher);

impl Pattern {
    /// Reads one; the error says what is wrong with it.
    pub(crate) fn new(text: &str, case: Case) -> Result<Self, String> {
        GlobBuilder::new(text)
            .backslash_escape(true)
            .literal_separator(false)
            .case_insensitive(case == Case::IsTheSame)
            .build()
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|cause| cause.kind().to_string())
    }

    /// On `schema.table`; without a dot it is of schema `public`.
    pub(crate) fn of_table(text: &str, case: Case) -> Result<Self, String> {
        if text.contains('.') {
            Self::new(text, case)
        } else {
            Self::new(&format!("public.{text}"), case)
        }
    }

    /// Whether it matches a text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Whether it matches a table's name, as the catalog has it.
    pub(crate) fn is_table(&self, table: &QualifiedName) -> bool {
        self.0.is_match(format!("{}.{}", table.schema, table.name))
    }

    /// Whether it matches a type: as it is written, without what is in its brackets, or without its
    /// schema.
    pub(crate) fn is_type(&self, type_name: &str) -> bool {
        let bare = match (type_name.find('('), type_name.find(')')) {
            (Some(open), Some(close)) if open < close => {
                format!("{}{}", &type_name[..open], &type_name[close + 1..])
            }
            _ => type_name.to_owned(),
        };
        let unqualified = bare.rsplit_once('.').map(|(_, name)| name);
        self.is_match(type_name)
            || self.is_match(&bare)
            || unqualified.is_some_and(|name| self.is_match(name))
    }
}
