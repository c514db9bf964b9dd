//! Every index is there and can be used.

use towpath_model::health::HealthCheck;
use towpath_model::structure::{ObjectId, ObjectKind};
use towpath_model::upkeep::BrokenIndex;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "indexes";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let mut names = differences::all_told(differences::of(facts, Part::Indexes));
    let (known, broken): (Vec<&BrokenIndex>, Vec<&BrokenIndex>) = facts
        .target
        .broken_indexes
        .iter()
        .partition(|index| index.is_being_built || was_invalid(facts, index));
    for index in broken {
        let told = told(index);
        if !names.contains(&told) {
            names.push(told);
        }
    }
    if !names.is_empty() {
        return fail(
            CHECK,
            "indexes cannot be used",
            names,
            "`reindex index concurrently …`, or make the index again; drop one that a failed `create index concurrently` left",
        );
    }
    if !known.is_empty() {
        return warn(
            CHECK,
            "indexes cannot be used, as on the source or because they are being built",
            known.into_iter().map(told).collect(),
            "wait, or `reindex index concurrently …`",
        );
    }
    let count = differences::expected(facts, ObjectKind::Index);
    pass(
        CHECK,
        format!(
            "{}, and those of keys, are there and valid",
            counted(count, "index")
        ),
    )
}

/// In the same words as a difference of the structure, so that one index is told once.
fn told(broken: &BrokenIndex) -> String {
    let index = &broken.index;
    match broken.ready {
        true => format!("{} is not valid", id(broken)),
        false => format!("index {index} is not ready: writes pass it by"),
    }
}

fn id(broken: &BrokenIndex) -> ObjectId {
    let index = &broken.index;
    ObjectId::on(ObjectKind::Index, &index.schema, &index.table, &index.name)
}

fn was_invalid(facts: &Facts<'_>, broken: &BrokenIndex) -> bool {
    let aspect = |id: &ObjectId, aspect: &str| {
        let expected = facts.expected.objects.get(id)?;
        expected.aspects.get(aspect)?.as_bool()
    };
    let index = id(broken);
    let constraint = ObjectId {
        kind: ObjectKind::Constraint,
        ..index.clone()
    };
    aspect(&index, "valid") == Some(false) || aspect(&constraint, "index_valid") == Some(false)
}
