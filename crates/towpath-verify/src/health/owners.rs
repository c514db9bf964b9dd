//! Everything belongs to whom the run gave it.

use towpath_model::health::HealthCheck;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass};

const CHECK: &str = "owners";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::Owners));
    if !names.is_empty() {
        return fail(
            CHECK,
            "objects belong to somebody else",
            names,
            "`alter … owner to …`: owners pass row-level security, and SECURITY DEFINER functions act as theirs",
        );
    }
    let owned = facts.expected.objects.values();
    let count = owned.filter(|object| object.owner.is_some()).count();
    pass(
        CHECK,
        format!("{} belong to whom they should", counted(count, "object")),
    )
}
