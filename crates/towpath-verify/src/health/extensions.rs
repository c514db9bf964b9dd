//! Extensions that the run made are there, in that version or a newer one.

use std::cmp::Ordering;

use towpath_model::health::HealthCheck;
use towpath_model::structure::{ObjectKind, StructureDifference};

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "extension-versions";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let (newer, worse): (Vec<_>, Vec<_>) =
        differences::of(facts, Part::Extensions).partition(|it| is_newer(it));
    if !worse.is_empty() {
        return fail(
            CHECK,
            "extensions are missing, older or elsewhere",
            differences::all_told(worse),
            "`create extension …` or `alter extension … update`; what it held is in the run's store",
        );
    }
    if !newer.is_empty() {
        return warn(
            CHECK,
            "extensions were updated since the run",
            differences::all_told(newer),
            "nothing, when somebody did it on purpose",
        );
    }
    let count = differences::expected(facts, ObjectKind::Extension);
    pass(
        CHECK,
        format!("{} in the versions of the run", counted(count, "extension")),
    )
}

fn is_newer(difference: &StructureDifference) -> bool {
    let StructureDifference::Changed {
        aspect,
        expected,
        found,
        ..
    } = difference
    else {
        return false;
    };
    let compared = expected
        .as_str()
        .zip(found.as_str())
        .map(|(expected, found)| compare_versions(expected, found));
    aspect == "version" && compared == Some(Ordering::Less)
}

/// By numbers where both have numbers: `1.10` comes after `1.9`.
fn compare_versions(left: &str, right: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(['.', '-', '_'])
            .map(|part| {
                let digits = part
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(part.len());
                let (number, rest) = part.split_at(digits);
                (number.parse().unwrap_or(0), rest.to_owned())
            })
            .collect()
    };
    parts(left).cmp(&parts(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(compare_versions("1.9", "1.10"), Ordering::Less);
        assert_eq!(compare_versions("3.4.2", "3.4"), Ordering::Greater);
        assert_eq!(compare_versions("0.8.0", "0.8.0"), Ordering::Equal);
    }
}
