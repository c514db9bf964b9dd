//! What RDS says about an instance.

use aws_sdk_rds::types::DbInstance;
use serde::{Deserialize, Serialize};
use towpath_model::Result;

use crate::aws;
use crate::client::RdsClient;

/// An instance, as far as a migration cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    /// Its identifier.
    pub identifier: String,
    /// Engine, such as `postgres` or `aurora-postgresql`.
    pub engine: String,
    /// Version of the engine.
    pub engine_version: String,
    /// Host name of its endpoint; an instance that is being made has none.
    pub endpoint_host: Option<String>,
    /// Port of its endpoint.
    pub endpoint_port: Option<u16>,
    /// Status, such as `available`.
    pub status: String,
    /// Whether a standby in another zone exists.
    pub multi_az: bool,
    /// Whether its storage is encrypted.
    pub storage_encrypted: bool,
    /// Identifier of the authority that signed its certificate.
    pub ca_certificate_identifier: Option<String>,
    /// Whether its name resolves to a public address outside its network.
    pub publicly_accessible: bool,
    /// For how many days automated backups are kept; 0 means there are none.
    pub backup_retention_days: u32,
    /// Whether logins with IAM tokens are possible.
    pub iam_auth: bool,
    /// Parameter groups in use.
    pub parameter_groups: Vec<ParameterGroup>,
    /// Whether it is protected from deletion.
    pub deletion_protection: bool,
    /// Size of its storage.
    pub allocated_storage_gib: Option<u32>,
}

/// A parameter group of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterGroup {
    /// Its name.
    pub name: String,
    /// Whether its values are in force: `in-sync`, `pending-reboot`, …
    pub apply_status: String,
}

/// Finds an instance by its identifier, or by the endpoint that clients connect to. Nothing is
/// found for a name of one's own that leads to the endpoint: give the identifier then.
pub async fn find_instance(
    client: &RdsClient,
    host: &str,
    port: u16,
    identifier: Option<&str>,
) -> Result<Option<InstanceFacts>> {
    let mut pages = client
        .api
        .describe_db_instances()
        .set_db_instance_identifier(identifier.map(str::to_owned))
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) if aws::code(&error).is_some_and(is_missing) => return Ok(None),
            Err(error) => {
                return Err(aws::failure(
                    &error,
                    match identifier {
                        Some(identifier) => format!("could not describe instance {identifier}"),
                        None => "could not list the RDS instances".to_owned(),
                    },
                    "rds:DescribeDBInstances",
                ));
            }
        };
        let mut facts = page.db_instances().iter().map(facts);
        let sought = match identifier {
            Some(_) => facts.next(),
            None => facts.find(|facts| facts.answers_at(host, port)),
        };
        if sought.is_some() {
            return Ok(sought);
        }
    }
    Ok(None)
}

fn is_missing(code: &str) -> bool {
    matches!(code, "DBInstanceNotFound" | "DBInstanceNotFoundFault")
}

impl InstanceFacts {
    /// Whether this is the instance behind an address.
    pub fn answers_at(&self, host: &str, port: u16) -> bool {
        let plain = |host: &str| match host.trim_end_matches('.').to_ascii_lowercase() {
            host if host == "localhost" || host == "::1" => "127.0.0.1".to_owned(),
            host => host,
        };
        self.endpoint_port == Some(port)
            && self
                .endpoint_host
                .as_deref()
                .is_some_and(|known| plain(known) == plain(host))
    }
}

fn facts(instance: &DbInstance) -> InstanceFacts {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let endpoint = instance.endpoint();
    InstanceFacts {
        identifier: text(instance.db_instance_identifier()),
        engine: text(instance.engine()),
        engine_version: text(instance.engine_version()),
        endpoint_host: endpoint.and_then(|it| it.address()).map(str::to_owned),
        endpoint_port: endpoint
            .and_then(|it| it.port())
            .and_then(|port| u16::try_from(port).ok()),
        status: text(instance.db_instance_status()),
        multi_az: instance.multi_az().unwrap_or(false),
        storage_encrypted: instance.storage_encrypted().unwrap_or(false),
        ca_certificate_identifier: instance.ca_certificate_identifier().map(str::to_owned),
        publicly_accessible: instance.publicly_accessible().unwrap_or(false),
        backup_retention_days: count(instance.backup_retention_period()).unwrap_or(0),
        iam_auth: instance
            .iam_database_authentication_enabled()
            .unwrap_or(false),
        parameter_groups: instance
            .db_parameter_groups()
            .iter()
            .map(|group| ParameterGroup {
                name: text(group.db_parameter_group_name()),
                apply_status: text(group.parameter_apply_status()),
            })
            .collect(),
        deletion_protection: instance.deletion_protection().unwrap_or(false),
        allocated_storage_gib: count(instance.allocated_storage()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_rds::types::Endpoint;

    #[test]
    fn an_instance_is_known_by_its_endpoint() {
        let endpoint = Endpoint::builder()
            .address("orders.x1.eu-west-1.rds.amazonaws.com")
            .port(5432)
            .build();
        let facts = facts(&DbInstance::builder().endpoint(endpoint).build());
        assert!(facts.answers_at("Orders.x1.eu-west-1.rds.amazonaws.com.", 5432));
        assert!(!facts.answers_at("orders.x1.eu-west-1.rds.amazonaws.com", 5433));
        assert!(!facts.answers_at("orders", 5432));
    }
}
