//! A source that refuses writes is nothing to begin a migration with: a cutover is under way there, or
//! was left behind.

use towpath_model::cutover::FENCE_SCHEMA;
use towpath_model::plan::CheckResult;
use towpath_model::structure::{ObjectId, ObjectKind};

use super::{Facts, pass, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-fence";
    let schema = ObjectId::global(ObjectKind::Schema, FENCE_SCHEMA);
    let mut objects = facts.schema.report.objects.iter();
    match objects.find(|report| report.object == schema) {
        None => pass(CHECK, "no fence of a cutover on the source"),
        Some(report) => warn(
            CHECK,
            report.reason.clone(),
            "if that cutover is over, `towpath unfence` with the run lifts it; `--source-only` where its store is gone",
        ),
    }
}
