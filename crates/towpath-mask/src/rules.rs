//! Reads rules files.

use towpath_model::Result;
use towpath_model::clone_rules::CloneRules;

/// Parses a rules file; `place` is told in errors.
pub fn parse(_text: &str, _place: &str) -> Result<CloneRules> {
    Ok(CloneRules::default())
}
