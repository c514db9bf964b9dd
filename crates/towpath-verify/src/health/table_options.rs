//! Options that tables are stored and replicated by.

use towpath_model::health::HealthCheck;

use super::differences::{self, Part};
use super::{Facts, pass, warn};

const CHECK: &str = "table-options";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::TableOptions));
    if names.is_empty() {
        return pass(
            CHECK,
            "fill factors, autovacuum options and replica identities are as the run made them",
        );
    }
    warn(
        CHECK,
        "options of tables have changed",
        names,
        "`alter table … set (…)` or `replica identity …`, unless somebody changed it on purpose",
    )
}
