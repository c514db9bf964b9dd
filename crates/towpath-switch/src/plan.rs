//! What a switch would do.

use serde::{Deserialize, Serialize};
use towpath_model::document::Document;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};

use crate::binding::{Binding, Subject};
use crate::completion::Note;
use crate::lambda;
use crate::left::{Untouched, Why};

/// What will be switched, and what was looked at and is left alone.
#[derive(Debug, Clone, Default)]
pub struct SwitchPlan {
    /// What will be rewritten, in the order of writing.
    pub bindings: Vec<Binding>,
    /// What is left alone and worth telling.
    pub untouched: Vec<Untouched>,
    /// What there is to know besides.
    pub notes: Vec<Note>,
    /// Names of the functions that were looked at.
    pub functions: Vec<String>,
    /// Functions whose `$LATEST` has nothing to do with the source, with those of their published
    /// versions that have.
    pub behind: Vec<(String, Vec<String>)>,
}

impl SwitchPlan {
    /// Tells which functions would have more variables than Lambda takes. They stay in the plan,
    /// so that it is seen what makes them so large.
    pub(crate) fn tell_sizes(&mut self) {
        let too_large = self.bindings.iter().filter_map(|binding| {
            let Subject::Function(function) = &binding.subject else {
                return None;
            };
            let size_bytes = lambda::size_bytes(&function.after);
            (size_bytes > lambda::LIMIT_BYTES).then(|| Untouched {
                consumer: binding.name(),
                variable: format!("{size_bytes} bytes"),
                why: Why::TooLarge,
                owner: None,
            })
        });
        self.untouched.extend(too_large);
    }
}

/// `switch/bindings.json`: the switch as people may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingsDocument {
    /// What is switched, masked.
    pub bindings: Vec<BindingReport>,
    /// What is left alone.
    pub untouched: Vec<Untouched>,
    /// What there is to know besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
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
            _ => None,
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
                    network: None,
                }),
                readers: Vec::new(),
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
