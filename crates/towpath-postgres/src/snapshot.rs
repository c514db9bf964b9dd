//! The exported snapshot, and the one session that keeps it alive.

use std::time::Duration;

use serde::Deserialize;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::session::Session;

/// How long the holder of a snapshot may be silent.
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(60);

/// Tables named in one `lock table`.
const LOCKED_AT_ONCE: usize = 200;

/// How long a reader of the snapshot waits for a lock. Somebody who waits for an exclusive lock on
/// a table of the export waits for the holder, and everybody after them waits too, the
/// application's queries included: better to give up the export than to stop the source.
pub(crate) const LOCK_TIMEOUT: &str = "10s";

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
        let doing = format!("could not export a snapshot on {}", session.side());
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
            .map_err(|failure| failure.while_doing(doing))?;
        Ok(Self { session, facts })
    }

    /// Locks tables against anything that would rewrite or empty them under the snapshot: TRUNCATE
    /// and rewriting ALTER TABLE are not MVCC-safe, a snapshot older than them finds the table
    /// empty (PostgreSQL manual, "Caveats" of concurrency control). Gives the tables that were
    /// rewritten between the snapshot and the lock, which the caller must not read.
    pub async fn lock(&mut self, tables: &[QualifiedName]) -> Result<Vec<QualifiedName>> {
        self.session
            .execute(&format!("set local lock_timeout = '{LOCK_TIMEOUT}'"))
            .await?;
        for batch in tables.chunks(LOCKED_AT_ONCE) {
            let names: Vec<String> = batch
                .iter()
                .map(|table| format!("only {}", table.quoted()))
                .collect();
            let sql = format!("lock table {} in access share mode", names.join(", "));
            self.session.execute(&sql).await.map_err(|failure| {
                failure.while_doing("could not lock the tables of the export on source")
            })?;
        }
        // The catalog is read by the snapshot, `pg_relation_filenode` by what is there now: under
        // the lock nothing moves any more, so a difference happened in between.
        let moved: Vec<QualifiedName> = self
            .session
            .fetch(
                "select n.nspname as schema, c.relname as name
                   from pg_catalog.pg_class c
                   join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                  where c.relkind = 'r'
                    and c.relfilenode is distinct from pg_catalog.pg_relation_filenode(c.oid)
                    and c.relfilenode <> 0",
                &[],
            )
            .await?;
        Ok(moved
            .into_iter()
            .filter(|name| tables.contains(name))
            .collect())
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
        tokio::time::timeout(KEEP_ALIVE_WAIT, self.session.execute("select 1"))
            .await
            .unwrap_or_else(|_| {
                Err(Failure::new(
                    ErrorKind::Connect,
                    "the session that holds the snapshot is silent",
                ))
            })
    }

    /// Lets the snapshot go.
    pub async fn release(mut self) -> Result<()> {
        self.session.rollback().await?;
        self.session.close().await;
        Ok(())
    }
}
