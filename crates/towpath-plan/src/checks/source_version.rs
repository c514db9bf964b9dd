//! ctid ranges need a TID range scan, which PostgreSQL has since version 14.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass};

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
    pass(CHECK, format!("PostgreSQL {major}"))
}
