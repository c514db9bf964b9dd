//! ctid ranges need a TID range scan, which PostgreSQL has since version 14.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass, warn};

/// The newest version that was tried as a source.
const NEWEST_TRIED: u32 = 18;

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-version";
    let major = facts.source.major();
    if major < 14 {
        return fail(
            CHECK,
            format!("the source is PostgreSQL {major}"),
            "upgrade the Supabase project to PostgreSQL 15 or newer first",
        );
    }
    if major > NEWEST_TRIED {
        return warn(
            CHECK,
            format!(
                "the source is PostgreSQL {major}, and nothing newer than {NEWEST_TRIED} was tried"
            ),
            "rehearse first, and look at what verification says about the structure",
        );
    }
    pass(CHECK, format!("PostgreSQL {major}"))
}
