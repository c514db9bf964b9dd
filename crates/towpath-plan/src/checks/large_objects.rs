//! Large objects live outside tables. They go along as rows of their own, under their OIDs, unless
//! the operator says otherwise.

use towpath_model::plan::CheckResult;

use super::{Facts, LargeObjectFate, fail, pass, some_of, warn};

/// The source's: each must be readable whole, and what stays behind is said.
pub(super) fn on_source(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-large-objects";
    let objects = facts.large_objects;
    match (objects.count, facts.large_object_fate) {
        (0, _) => pass(CHECK, "no large objects"),
        (count, LargeObjectFate::Leave) => warn(
            CHECK,
            format!("{count} large objects stay on the source"),
            "copy them by other means if anything still reads them",
        ),
        (count, LargeObjectFate::Refuse) => fail(
            CHECK,
            format!("the source holds {count} large objects"),
            "let them go along with `large_objects = \"carry\"` under [schema], or leave them behind with \"leave\"",
        ),
        (count, LargeObjectFate::Carry) if objects.unreadable == 0 => pass(
            CHECK,
            format!("{count} large objects can be read and go along"),
        ),
        (_, LargeObjectFate::Carry) => fail(
            CHECK,
            format!(
                "{} may not read {} large objects: {}",
                facts.source.user,
                objects.unreadable,
                named(&objects.unreadable_oids, objects.unreadable)
            ),
            "as their owner, `grant select on large object … to` the login; or leave all behind with `large_objects = \"leave\"` under [schema]",
        ),
    }
}

/// The target's: an OID can be taken only once, and what was there before towpath stays untouched.
pub(super) fn on_target(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-large-objects";
    let there = facts.target_large_objects;
    let found = if there.taken.is_empty() {
        format!("the target holds {} large objects already", there.count)
    } else {
        let count = u64::try_from(there.taken.len()).unwrap_or(u64::MAX);
        format!(
            "large objects of the same OID are on the target already: {}",
            named(&there.taken, count)
        )
    };
    if there.count == 0 || facts.target_state == super::TargetState::ThisRun {
        return pass(CHECK, "no large objects but this run's own");
    }
    if facts.will_be_cleared {
        return warn(
            CHECK,
            format!("{found}; those of the login will be dropped"),
            "end here if they are still needed",
        );
    }
    fail(
        CHECK,
        found,
        format!(
            "use another database, unlink them, or clear this one with --replace {}",
            facts.target.database
        ),
    )
}

/// The first OIDs, and how many more there are.
fn named(oids: &[u32], count: u64) -> String {
    let text = some_of(oids);
    let listed = u64::try_from(oids.len()).unwrap_or(u64::MAX);
    match count.saturating_sub(listed) {
        0 => text,
        _ => {
            let shown: Vec<String> = oids.iter().take(5).map(u32::to_string).collect();
            let shown_count = u64::try_from(shown.len()).unwrap_or(u64::MAX);
            format!("{} and {} more", shown.join(", "), count - shown_count)
        }
    }
}
