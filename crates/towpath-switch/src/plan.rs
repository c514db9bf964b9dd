//! What a switch would do.

use std::fmt;

use serde::{Deserialize, Serialize};
use towpath_model::document::Document;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};

use crate::binding::{Binding, Subject};
use crate::lambda;

/// What will be switched, and what was looked at and is left alone.
#[derive(Debug, Clone, Default)]
pub struct SwitchPlan {
    /// What will be rewritten, in the order of writing.
    pub bindings: Vec<Binding>,
    /// What is left alone and worth telling.
    pub untouched: Vec<Untouched>,
    /// Names of the functions that were looked at.
    pub functions: Vec<String>,
}

/// Why something that has to do with the source is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// One of Supabase's HTTP APIs; RDS has nothing to answer there.
    DependsOnSupabase,
    /// Points at the source, but user or password are kept elsewhere.
    Incomplete,
    /// Points at the source's server, but at another database on it.
    OtherDatabase,
    /// Names the source in a way this towpath cannot rewrite.
    UnknownShape,
    /// Names a secret that does not exist.
    NoSuchSecret,
    /// Names a secret whose value is not text.
    BinarySecret,
    /// An alias leads to a published version, whose configuration cannot be changed.
    PublishedVersion,
}

impl Why {
    /// Whether the consumer will go on using the source's database when this is left alone. Most
    /// callers want to stop at these and let a person decide.
    pub const fn leaves_database_behind(self) -> bool {
        matches!(
            self,
            Why::Incomplete | Why::UnknownShape | Why::BinarySecret | Why::PublishedVersion
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::DependsOnSupabase => "still depends on Supabase",
            Why::Incomplete => "points at the source, but user or password are kept elsewhere",
            Why::OtherDatabase => "points at another database of the source's server",
            Why::UnknownShape => "names the source in a shape that cannot be rewritten",
            Why::NoSuchSecret => "names a secret that does not exist",
            Why::BinarySecret => "names a secret that is not text",
            Why::PublishedVersion => "leads to a published version, which keeps its configuration",
        })
    }
}

/// Something that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untouched {
    /// Whose it is, such as `lambda orders-api`.
    pub consumer: String,
    /// Name of the variable, field or alias.
    pub variable: String,
    /// Why.
    pub why: Why,
}

/// `switch/bindings.json`: the switch as people may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingsDocument {
    /// What is switched, masked.
    pub bindings: Vec<BindingReport>,
    /// What is left alone.
    pub untouched: Vec<Untouched>,
}

impl Document for BindingsDocument {
    const FORMAT: &'static str = "towpath-bindings";
    const VERSION: u32 = 1;
}

/// Refuses variable maps that Lambda would refuse. Asked before the first write of the whole plan:
/// a limit met in the middle of a cutover would be found too late.
pub(crate) fn check_sizes(bindings: &[Binding]) -> Result<()> {
    let mut excess = bindings
        .iter()
        .filter_map(|binding| match &binding.subject {
            Subject::Function(function) => {
                let size_bytes = lambda::size_bytes(&function.after);
                (size_bytes > lambda::LIMIT_BYTES).then_some((binding.name(), size_bytes))
            }
            Subject::Secret(_) => None,
        });
    let Some((name, size_bytes)) = excess.next() else {
        return Ok(());
    };
    let others = match excess.count() {
        0 => String::new(),
        others => format!(" (and {others} more functions exceed theirs)"),
    };
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "{name} would have {size_bytes} bytes of variables, and Lambda allows {}{others}",
            lambda::LIMIT_BYTES
        ),
    )
    .hint("remove variables that are not needed, or move the connection into a secret"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::FunctionBinding;
    use towpath_model::connection::Secret;

    #[test]
    fn a_map_above_the_limit_is_refused_by_name_and_size() {
        let with = |length: usize| {
            let after = [("K".to_owned(), Secret::new("x".repeat(length)))].into();
            Binding {
                subject: Subject::Function(FunctionBinding {
                    function: "orders-api".to_owned(),
                    revision: "r".to_owned(),
                    before: Default::default(),
                    after,
                }),
                changes: Vec::new(),
            }
        };
        // {"K":"…"} takes eight bytes beside the value.
        assert!(check_sizes(&[with(4088)]).is_ok());
        let refused = check_sizes(&[with(1), with(4089)]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Blocked);
        assert!(
            refused
                .to_string()
                .contains("lambda orders-api would have 4097 bytes")
        );
    }
}
