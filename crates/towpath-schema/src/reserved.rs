//! What belongs to the platform: its schemas and its roles.

/// Schemas that the platform or its extensions make and fill.
const MANAGED_SCHEMAS: &[&str] = &[
    "_analytics",
    "_realtime",
    "_supavisor",
    "auth",
    "cron",
    "dbdev",
    "etl",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "pgbouncer",
    "pgmq",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "realtime",
    "repack",
    "storage",
    "supabase_functions",
    "supabase_subscription_mgmt",
    "tiger",
    "tiger_data",
    "topology",
    "vault",
];

const RESERVED_ROLES: &[&str] = &[
    "anon",
    "authenticated",
    "authenticator",
    "dashboard_user",
    "pgbouncer",
    "pgsodium_keyholder",
    "pgsodium_keyiduser",
    "pgsodium_keymaker",
    "pgtle_admin",
    "service_role",
];

/// Roles that policies and grants of user objects name: they are made anew on the target.
pub(crate) const API_ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];

/// The role that owns what the user made: its place is taken by the target's owner.
pub(crate) const USER_OWNER: &str = "postgres";

/// Whether the platform makes this schema.
pub(crate) fn is_managed_schema(schema: &str) -> bool {
    MANAGED_SCHEMAS.contains(&schema)
        || schema.starts_with("timescaledb_")
        || schema.starts_with("_timescaledb_")
}

/// Whether the role belongs to the platform. `postgres` does not: it is the user's own.
pub(crate) fn is_reserved_role(role: &str) -> bool {
    RESERVED_ROLES.contains(&role)
        || role.starts_with("supabase_")
        || role.starts_with("cli_login_")
        || is_server_role(role)
}

/// Whether the server brings the role along.
pub(crate) fn is_server_role(role: &str) -> bool {
    role.starts_with("pg_") || role.starts_with("rds_") || role == "rdsadmin"
}

/// Whether the role is one the API switches to.
pub(crate) fn is_api_role(role: &str) -> bool {
    API_ROLES.contains(&role)
}
