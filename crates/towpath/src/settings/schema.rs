//! What becomes of the schema.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "schema.pg_dump",
        "TOWPATH_PG_DUMP",
        "pg_dump",
        "pg_dump of the source's major version or newer",
    ),
    setting(
        "schema.carry_auth_users",
        "TOWPATH_CARRY_AUTH_USERS",
        "auto",
        "auto: carry auth.users when something of yours depends on it; never: do not",
    ),
    setting(
        "schema.broken_triggers",
        "TOWPATH_BROKEN_TRIGGERS",
        "report",
        "report: triggers whose function surely fails on the target go as they are and are listed; disable: they go disabled",
    ),
    setting(
        "schema.large_objects",
        "TOWPATH_LARGE_OBJECTS",
        "carry",
        "carry: large objects go along under their OIDs; leave: leave them behind; refuse: stop when the source holds some",
    ),
    setting(
        "schema.service_role",
        "TOWPATH_SERVICE_ROLE",
        "policies",
        "policies: a policy on each table lets service_role pass row security; none: it sees what policies leave it",
    ),
    setting(
        "schema.secrets",
        "TOWPATH_SECRETS",
        "redact",
        "redact: secrets found in schema text and migration history stay on the source; carry: they go along",
    ),
];
