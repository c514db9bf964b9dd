//! Text is sorted by the library that sorted it into the indexes.

use towpath_model::health::HealthCheck;

use super::{Facts, pass, warn};

const CHECK: &str = "collation-versions";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let stale = &facts.target.stale_collations;
    if stale.is_empty() {
        return pass(
            CHECK,
            "the library that sorts text is the one that built the indexes",
        );
    }
    warn(
        CHECK,
        "the library that sorts text has changed since the indexes were built, which may miss rows now",
        stale
            .iter()
            .map(|it| {
                format!(
                    "{} was made with {}, it is {} now",
                    it.name, it.recorded, it.actual
                )
            })
            .collect(),
        "`reindex` what is on text columns, then `alter database … refresh collation version`",
    )
}
