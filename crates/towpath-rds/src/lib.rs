//! The RDS API: instance facts, parameter groups and snapshots.

mod aws;
mod client;
mod instance;
mod parameters;
mod snapshot;

pub use client::{AwsOptions, RdsClient};
pub use instance::{InstanceFacts, ParameterGroup, find_instance};
pub use parameters::{PARAMETERS, parameters};
pub use snapshot::{SnapshotFacts, find_snapshot, snapshot_id, take_snapshot};
