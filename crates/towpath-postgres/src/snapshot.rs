//! The exported snapshot, and the one session that keeps it alive.

use serde::Deserialize;
use towpath_model::Result;

use crate::session::Session;

/// Facts of an exported snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SnapshotFacts {
    /// Name to import it by; valid as long as the holder's transaction.
    pub id: String,
    /// `pg_current_snapshot()`: which transactions it sees. Two snapshots of one cluster with the
    /// same text see the same rows.
    pub snapshot: String,
    /// WAL position when it was taken.
    pub lsn: String,
    /// Time on the server when it was taken, RFC 3339 in UTC.
    pub taken_at: String,
}

/// Holds an exported snapshot open. Dropping it ends the snapshot for importers to come, not for
/// sessions that imported it already.
pub struct SnapshotHolder {
    session: Session,
    facts: SnapshotFacts,
}

impl SnapshotHolder {
    /// Takes and exports a snapshot on this session.
    pub async fn take(mut session: Session) -> Result<Self> {
        session.begin_reading().await?;
        let facts = session
            .fetch_one(
                "select pg_catalog.pg_export_snapshot() as id,
                        pg_catalog.pg_current_snapshot()::text as snapshot,
                        pg_catalog.pg_current_wal_lsn()::text as lsn,
                        to_char(pg_catalog.transaction_timestamp() at time zone 'UTC',
                                'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as taken_at",
                &[],
            )
            .await
            .map_err(|failure| failure.while_doing("could not export a snapshot on source"))?;
        Ok(Self { session, facts })
    }

    /// The facts.
    pub fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    /// The holder's own session, which sees the snapshot too.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Asks the server something, so that nothing in between takes the connection for idle, and so
    /// that a lost holder is noticed.
    pub async fn keep_alive(&mut self) -> Result<()> {
        self.session.execute("select 1").await
    }

    /// Lets the snapshot go.
    pub async fn release(mut self) -> Result<()> {
        self.session.rollback().await?;
        self.session.close().await;
        Ok(())
    }
}
