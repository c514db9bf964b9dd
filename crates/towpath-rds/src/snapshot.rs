//! Snapshots of an instance: the way back of a load.

use std::time::Duration;

use aws_sdk_rds::types::DbSnapshot;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use towpath_model::{ErrorKind, Failure, Result, RunId};

use crate::aws;
use crate::client::RdsClient;

/// A snapshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Its identifier.
    pub identifier: String,
    /// The instance it was taken of.
    pub instance: String,
    /// Status: `creating`, `available`, `failed`.
    pub status: String,
    /// How far it is.
    pub percent: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// The identifier of a run's snapshot.
pub fn snapshot_id(run: &RunId) -> String {
    // The service allows neither two dashes in a row nor one at the end.
    let words: Vec<&str> = run
        .as_str()
        .split('-')
        .filter(|it| !it.is_empty())
        .collect();
    format!("towpath-{}", words.join("-"))
}

/// Takes a snapshot of an instance and waits until it is available. When a snapshot of that
/// identifier exists already, it is the one: nothing new is taken.
///
/// When `wait` has passed, the snapshot is given as it is then; look at its status.
pub async fn take_snapshot(
    client: &RdsClient,
    instance: &str,
    snapshot_id: &str,
    wait: Duration,
) -> Result<SnapshotFacts> {
    let deadline = Instant::now() + wait;
    let mut snapshot = match find_snapshot(client, snapshot_id).await? {
        Some(snapshot) => snapshot,
        None => create(client, instance, snapshot_id).await?,
    };
    let mut pause = Duration::from_secs(1);
    loop {
        check(&snapshot, instance)?;
        if snapshot.status == "available" || Instant::now() >= deadline {
            return Ok(snapshot);
        }
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(Duration::from_secs(15));
        snapshot = find_snapshot(client, snapshot_id).await?.ok_or_else(|| {
            Failure::new(
                ErrorKind::Aws,
                format!("snapshot {snapshot_id} disappeared while it was made"),
            )
        })?;
    }
}

fn check(snapshot: &SnapshotFacts, instance: &str) -> Result<()> {
    let SnapshotFacts {
        identifier, status, ..
    } = snapshot;
    if !snapshot.instance.eq_ignore_ascii_case(instance) {
        return Err(Failure::new(
            ErrorKind::Conflict,
            format!(
                "snapshot {identifier} is of instance {}, not of {instance}",
                snapshot.instance
            ),
        )
        .hint("delete or rename it, or start a new run"));
    }
    if matches!(status.as_str(), "creating" | "available" | "copying") {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Aws,
        format!("snapshot {identifier} of instance {instance} is {status}"),
    )
    .hint("delete it, then run the same command again"))
}

async fn create(client: &RdsClient, instance: &str, snapshot_id: &str) -> Result<SnapshotFacts> {
    let call = client
        .api
        .create_db_snapshot()
        .db_instance_identifier(instance)
        .db_snapshot_identifier(snapshot_id);
    let error = match Box::pin(call.send()).await {
        Ok(answer) => {
            return answer.db_snapshot().map(facts).ok_or_else(|| {
                Failure::new(
                    ErrorKind::Aws,
                    format!("the answer to creating snapshot {snapshot_id} is empty"),
                )
            });
        }
        Err(error) => error,
    };
    // An earlier attempt, whose answer was lost, may have made it.
    if matches!(
        aws::code(&error),
        Some("DBSnapshotAlreadyExists" | "DBSnapshotAlreadyExistsFault")
    ) && let Some(snapshot) = find_snapshot(client, snapshot_id).await?
    {
        return Ok(snapshot);
    }
    Err(aws::failure(
        &error,
        format!("could not take snapshot {snapshot_id} of instance {instance}"),
        "rds:CreateDBSnapshot",
    ))
}

/// An RDS snapshot by its identifier; nothing when there is none.
pub async fn find_snapshot(client: &RdsClient, snapshot_id: &str) -> Result<Option<SnapshotFacts>> {
    let call = client
        .api
        .describe_db_snapshots()
        .db_snapshot_identifier(snapshot_id);
    match Box::pin(call.send()).await {
        Ok(answer) => Ok(answer.db_snapshots().first().map(facts)),
        Err(error) => match aws::code(&error) {
            Some("DBSnapshotNotFound" | "DBSnapshotNotFoundFault") => Ok(None),
            _ => Err(aws::failure(
                &error,
                format!("could not describe snapshot {snapshot_id}"),
                "rds:DescribeDBSnapshots",
            )),
        },
    }
}

fn facts(snapshot: &DbSnapshot) -> SnapshotFacts {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    SnapshotFacts {
        identifier: text(snapshot.db_snapshot_identifier()),
        instance: text(snapshot.db_instance_identifier()),
        status: text(snapshot.status()),
        percent: snapshot
            .percent_progress()
            .and_then(|percent| u32::try_from(percent).ok())
            .unwrap_or(0),
        encrypted: snapshot.encrypted().unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_ids_are_ones_the_service_takes() {
        let id = |run: &str| snapshot_id(&run.parse().unwrap());
        assert_eq!(id("20261122-7k2m9x0q"), "towpath-20261122-7k2m9x0q");
        assert_eq!(id("a--b-"), "towpath-a-b");
    }

    #[test]
    fn a_snapshot_of_another_instance_is_no_way_back() {
        let snapshot = |status: &str| SnapshotFacts {
            identifier: "towpath-1".to_owned(),
            instance: "orders".to_owned(),
            status: status.to_owned(),
            percent: 0,
            encrypted: true,
        };
        assert!(check(&snapshot("creating"), "orders").is_ok());
        assert_eq!(
            check(&snapshot("available"), "other").unwrap_err().kind(),
            ErrorKind::Conflict
        );
        assert!(check(&snapshot("failed"), "orders").is_err());
    }
}
