//! What verification looks at.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "verify.max_differences",
        "TOWPATH_MAX_DIFFERENCES",
        "20",
        "differing rows named per table",
    ),
    setting(
        "verify.access_claims",
        "TOWPATH_ACCESS_CLAIMS",
        "",
        "JSON file of whom `verify --access` takes on besides those it finds: a list of {name, role, claims}",
    ),
    setting(
        "verify.access_users",
        "TOWPATH_ACCESS_USERS",
        "5",
        "users of auth.users that `verify --access` takes on",
    ),
    setting(
        "verify.access_rows",
        "TOWPATH_ACCESS_ROWS",
        "1000000",
        "rows up to which `verify --access` reads a relation whole for everybody; of larger ones it takes 2,000 keys",
    ),
    setting(
        "verify.access_timeout_s",
        "TOWPATH_ACCESS_TIMEOUT_S",
        "60",
        "seconds that one statement of `verify --access` may take on either side",
    ),
    setting(
        "verify.access_writes",
        "TOWPATH_ACCESS_WRITES",
        "explain",
        "explain: `verify --access` writes nothing, it asks for plans and asks policies about rows; attempt: it also writes on both sides, and rolls back",
    ),
    setting(
        "verify.queries",
        "TOWPATH_VERIFY_QUERIES",
        "0",
        "queries of the source's pg_stat_statements that `verify --health` reads and plans on both sides; 0 for none",
    ),
    setting(
        "verify.query_regression",
        "TOWPATH_QUERY_REGRESSION",
        "2.0",
        "how many times as much a query may cost, or take, on the target before `verify --health` names it",
    ),
    setting(
        "verify.signing_key",
        "TOWPATH_SIGNING_KEY",
        "",
        "file with the ed25519 private key that signs evidence, PKCS#8 PEM, mode 0600; the key of the run signs otherwise",
    ),
];
