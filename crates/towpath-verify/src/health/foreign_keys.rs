//! Advice: foreign keys whose columns no index serves.

use towpath_model::health::HealthCheck;
use towpath_model::name::readable;

use super::{Facts, pass, warn};

pub(super) const CHECK: &str = "foreign-keys-indexed";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let bare = &facts.target.bare_foreign_keys;
    if bare.is_empty() {
        return pass(CHECK, "an index serves every foreign key");
    }
    let names = bare
        .iter()
        .map(|it| {
            let columns: Vec<String> = it.columns.iter().map(|column| readable(column)).collect();
            format!("{} ({})", it.key, columns.join(", "))
        })
        .collect();
    warn(
        CHECK,
        "advice: no index serves these foreign keys, so that a delete or a change of the row they refer to reads the whole table",
        names,
        "`create index concurrently` on the columns of those whose tables are big",
    )
}
