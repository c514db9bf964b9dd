//! Parameters of a group.

use std::collections::BTreeMap;

use towpath_model::Result;

use crate::aws;
use crate::client::RdsClient;

/// The parameters that are looked at.
pub const PARAMETERS: [&str; 16] = [
    "autovacuum",
    "checkpoint_timeout",
    "default_toast_compression",
    "idle_in_transaction_session_timeout",
    "maintenance_work_mem",
    "max_connections",
    "max_replication_slots",
    "max_wal_senders",
    "max_wal_size",
    "rds.allowed_extensions",
    "rds.force_ssl",
    "rds.logical_replication",
    "rds.restrict_password_commands",
    "session_replication_role",
    "shared_preload_libraries",
    "statement_timeout",
];

/// The values of [`PARAMETERS`] in a group, as written there: a formula stays a formula. Those
/// without a value are left out; the engine's default applies to them.
pub async fn parameters(client: &RdsClient, group: &str) -> Result<BTreeMap<String, String>> {
    let mut pages = client
        .api
        .describe_db_parameters()
        .db_parameter_group_name(group)
        .into_paginator()
        .send();
    let mut values = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                format!("could not read the parameters of group {group}"),
                "rds:DescribeDBParameters",
            )
        })?;
        for parameter in page.parameters() {
            let (Some(name), Some(value)) =
                (parameter.parameter_name(), parameter.parameter_value())
            else {
                continue;
            };
            if PARAMETERS.contains(&name) {
                values.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    Ok(values)
}
