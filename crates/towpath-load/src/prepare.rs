//! Makes the target ready for rows: ledger, schema before the data, and nothing stale.

use std::collections::{HashMap, HashSet};

use towpath_model::event::{Stage, Unit};
use towpath_model::manifest::StoredChunk;
use towpath_model::plan::PlannedTable;
use towpath_model::schema::CleanSchema;
use towpath_model::script::Statement;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

use crate::begin::{begin, refuse_unknown_rows, take_off_emptied};
use crate::large_objects;
use crate::ledger::{self, ChunkRow};
use crate::options::LoadContext;
use crate::script::{PRE_DATA, run_batch};

/// Statements per transaction. All of a small schema goes in or nothing does; a huge one must not
/// run into the limit on locks that one transaction holds.
const BATCH: usize = 1000;

/// Functions may call what comes later in the script, or what the target will never have; they are
/// carried all the same, and the report says which will fail.
const SETTINGS: &str = "set local check_function_bodies = off";

/// Makes the ledger and applies the pre-data script: each statement once, and none whose effect was
/// there when the run began.
pub async fn prepare(context: &LoadContext, schema: &CleanSchema) -> Result<()> {
    let mut session = context.connect("prepare").await?;
    end_leftovers(&mut session, context).await?;
    begin(&mut session, context, schema).await?;
    let run = &context.plan.run;
    let done = ledger::steps(&mut session, run, PRE_DATA).await?;
    let left: Vec<&Statement> = schema
        .pre_data
        .iter()
        .filter(|statement| !done.contains(&statement.no))
        .collect();
    context
        .events
        .start(Stage::PreData, left.len() as u64, Unit::Items);
    for batch in left.chunks(BATCH) {
        context.stop.check()?;
        run_batch(&mut session, context, PRE_DATA, batch, SETTINGS).await?;
        context.events.advance(Stage::PreData, batch.len() as u64);
    }
    context.events.finish(Stage::PreData);
    session.close().await;
    Ok(())
}

/// Ends sessions that a killed process of this run left on the target. Safe because the lease is
/// ours: no live process works on this run.
async fn end_leftovers(session: &mut Session, context: &LoadContext) -> Result<()> {
    session
        .execute_with(
            "select pg_catalog.pg_terminate_backend(pid, 5000)
               from pg_catalog.pg_stat_activity
              where usename = current_user
                and datname = pg_catalog.current_database()
                and pid <> pg_catalog.pg_backend_pid()
                and pg_catalog.starts_with(application_name, $1)",
            &[&context.application_prefix()],
        )
        .await
        .map(|_| ())
}

/// Empties tables whose rows are not what the ledger says: those that hold a chunk which is not
/// among `known` (it was loaded from a snapshot that is gone and shows other rows now), and
/// unlogged ones that a crash of the target has emptied. Refuses tables whose rows the ledger knows
/// nothing of. Must run before any chunk is loaded.
pub async fn reset_stale(
    context: &LoadContext,
    schema: impl AsyncFnOnce() -> Result<CleanSchema>,
    known: &[StoredChunk],
) -> Result<Vec<QualifiedName>> {
    let mut session = context.connect("reset").await?;
    let run = &context.plan.run;
    let rows = ledger::chunks(&mut session, run).await?;
    refuse_unknown_rows(&mut session, context, &rows).await?;
    let unlogged: Vec<QualifiedName> = session
        .fetch(
            "select n.nspname as schema, c.relname as name
               from pg_catalog.pg_class c
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'r' and c.relpersistence = 'u'",
            &[],
        )
        .await?;
    let unlogged: HashSet<QualifiedName> = unlogged.into_iter().collect();
    let mut by_table: HashMap<&str, Vec<&ChunkRow>> = HashMap::new();
    for row in &rows {
        by_table.entry(&row.table_id).or_default().push(row);
    }
    let mut stored: HashMap<(&str, u32), Vec<&StoredChunk>> = HashMap::new();
    for chunk in known {
        let place = (chunk.chunk.table.as_str(), chunk.chunk.no);
        stored.entry(place).or_default().push(chunk);
    }
    let is_stored = |row: &ChunkRow| {
        let chunks = stored.get(&(row.table_id.as_str(), row.no));
        chunks.is_some_and(|chunks| chunks.iter().any(|chunk| row.is(chunk)))
    };
    let mut reset = Vec::new();
    let mut emptied: Vec<&PlannedTable> = Vec::new();
    for table in &context.plan.tables {
        let entered = by_table.remove(table.id.as_str()).unwrap_or_default();
        if !table.rows.is_table() {
            if large_objects::reset(context, &mut session, table, &entered, known).await? {
                reset.push(table.name.clone());
            }
            continue;
        }
        let stale = entered.iter().any(|row| !is_stored(row));
        let has_rows = entered.iter().any(|row| row.rows > 0);
        let lost =
            has_rows && unlogged.contains(&table.name) && is_empty(&mut session, table).await?;
        if lost {
            emptied.push(table);
        } else if stale {
            session.begin_writing(context.search_path()).await?;
            session
                .execute(&format!("truncate only {}", table.name.quoted()))
                .await?;
            ledger::forget_table(&mut session, run, table.id.as_str()).await?;
            session.commit().await?;
            reset.push(table.name.clone());
        }
    }
    if !emptied.is_empty() {
        let names: Vec<QualifiedName> = emptied.iter().map(|table| table.name.clone()).collect();
        // All in one: an unlogged table may refer to another that was emptied with it.
        let schema = schema().await?;
        session.begin_writing("").await?;
        take_off_emptied(&mut session, context, &schema, &names).await?;
        for table in emptied {
            ledger::forget_table(&mut session, run, table.id.as_str()).await?;
        }
        session.commit().await?;
        reset.extend(names);
    }
    session.close().await;
    Ok(reset)
}

async fn is_empty(session: &mut Session, table: &PlannedTable) -> Result<bool> {
    let sql = format!("select 'row' from only {} limit 1", table.name.quoted());
    Ok(session.scalar(&sql, &[]).await?.is_none())
}
