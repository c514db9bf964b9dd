//! The target login creates roles and owns what it loads.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-login";
    let login = facts.target;
    if !login.can_create_roles && !login.is_superuser {
        return fail(
            CHECK,
            format!("{} may not create roles on the target", login.user),
            "connect as the RDS master user",
        );
    }
    pass(CHECK, format!("{} may create roles", login.user))
}
