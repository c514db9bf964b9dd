//! A login that does not bypass row-level security reads filtered tables without any error.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass, some_of};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-login";
    let login = facts.source;
    if login.bypasses_rls || login.is_superuser {
        return pass(CHECK, format!("{} bypasses row-level security", login.user));
    }
    let filtered: Vec<_> = facts
        .relations
        .iter()
        .filter(|table| table.row_security)
        .filter(|table| table.force_row_security || table.owner != login.user)
        .map(|table| &table.name)
        .collect();
    if filtered.is_empty() {
        return pass(CHECK, format!("{} meets no row-level security", login.user));
    }
    fail(
        CHECK,
        format!(
            "{} does not bypass row-level security and would read {} tables filtered: {}",
            login.user,
            filtered.len(),
            some_of(&filtered)
        ),
        "connect as the role postgres of the Supabase project",
    )
}
