//! Makes the target ready for rows: ledger, schema before the data, and nothing stale.

use std::collections::{HashMap, HashSet};

use towpath_model::event::{Stage, Unit};
use towpath_model::manifest::StoredChunk;
use towpath_model::name::quote_identifier;
use towpath_model::plan::PlannedTable;
use towpath_model::schema::CleanSchema;
use towpath_model::script::{Phase, Statement};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::begin::{begin, refuse_unknown_rows, take_off_emptied};
use crate::early::Early;
use crate::large_objects;
use crate::ledger::{self, ChunkRow};
use crate::options::LoadContext;
use crate::script::{Batch, POST_DATA, PRE_DATA, run_batch};

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
    end_leftovers(&mut session, &context.application_prefix()).await?;
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
        let transaction = Batch {
            script: PRE_DATA,
            settings: SETTINGS,
            statements: batch,
            after: "",
        };
        run_batch(&mut session, context, transaction).await?;
        context.events.advance(Stage::PreData, batch.len() as u64);
    }
    context.events.finish(Stage::PreData);
    session.close().await;
    Ok(())
}

/// Ends sessions that a killed process of this run left on the target: those whose name begins like
/// this. Safe because the lease is ours: no live process works on this run.
pub(crate) async fn end_leftovers(session: &mut Session, named: &str) -> Result<()> {
    session
        .execute_with(
            "select pg_catalog.pg_terminate_backend(pid, 5000)
               from pg_catalog.pg_stat_activity
              where usename = current_user
                and datname = pg_catalog.current_database()
                and pid <> pg_catalog.pg_backend_pid()
                and pg_catalog.starts_with(application_name, $1)",
            &[named],
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
    early: &Early,
    known: &[StoredChunk],
) -> Result<Vec<QualifiedName>> {
    let mut session = context.connect("reset").await?;
    let run = &context.plan.run;
    let rows = ledger::chunks(&mut session, run).await?;
    refuse_unknown_rows(&mut session, context, &rows).await?;
    let unlogged = unlogged(&mut session).await?;
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
    let own_steps = ledger::own_steps(&mut session, run, POST_DATA).await?;
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
            take_early_off(
                &mut session,
                context,
                early.of_table(&table.name),
                &own_steps,
            )
            .await?;
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

async fn unlogged(session: &mut Session) -> Result<HashSet<QualifiedName>> {
    let names: Vec<QualifiedName> = session
        .fetch(
            "select n.nspname as schema, c.relname as name
               from pg_catalog.pg_class c
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'r' and c.relpersistence = 'u'",
            &[],
        )
        .await?;
    Ok(names.into_iter().collect())
}

/// Ends the process when the target has lost rows that this run has loaded. To be asked after a
/// connection broke: perhaps because the server crashed, which empties unlogged tables.
pub(crate) async fn refuse_emptied(session: &mut Session, context: &LoadContext) -> Result<()> {
    let unlogged = unlogged(session).await?;
    if unlogged.is_empty() {
        return Ok(());
    }
    let rows = ledger::chunks(session, &context.plan.run).await?;
    let filled: HashSet<&str> = rows
        .iter()
        .filter(|row| row.rows > 0)
        .map(|row| row.table_id.as_str())
        .collect();
    for table in &context.plan.tables {
        let had_rows = unlogged.contains(&table.name) && filled.contains(table.id.as_str());
        if had_rows && is_empty(session, table).await? {
            return Err(Failure::new(
                ErrorKind::Target,
                format!(
                    "the target has lost the rows of unlogged table {}: its server crashed",
                    table.name
                ),
            )
            .hint("the same command loads it again and goes on"));
        }
    }
    Ok(())
}

/// Takes off what this run has built on a table that is emptied, and forgets it, in the transaction
/// that is open. Rows go into a bare table twice as fast as into one with its indexes. What was on
/// the target before the run stays: others may lean on it, and rows are right with it too.
async fn take_early_off(
    session: &mut Session,
    context: &LoadContext,
    early: &[Statement],
    own_steps: &HashSet<u32>,
) -> Result<()> {
    let built: Vec<&Statement> = early
        .iter()
        .filter(|statement| own_steps.contains(&statement.no))
        .collect();
    if built.is_empty() {
        return Ok(());
    }
    // Keys first: they own their indexes and take them along.
    for statement in built.iter().rev() {
        session
            .execute(&removal(statement))
            .await
            .map_err(|failure| {
                failure.while_doing(format!(
                    "could not take {} off the target until its table is loaded again",
                    statement.object
                ))
            })?;
    }
    let numbers: Vec<u32> = built.iter().map(|statement| statement.no).collect();
    ledger::forget_steps(session, &context.plan.run, POST_DATA, &numbers).await
}

fn removal(statement: &Statement) -> String {
    let id = &statement.object;
    let schema = id.schema.as_deref().unwrap_or_default();
    if statement.phase == Phase::Index {
        let index = QualifiedName::new(schema, &id.name);
        return format!("drop index if exists {}", index.quoted());
    }
    let table = QualifiedName::new(schema, id.on.as_deref().unwrap_or_default());
    format!(
        "alter table only {} drop constraint {}",
        table.quoted(),
        quote_identifier(&id.name)
    )
}

async fn is_empty(session: &mut Session, table: &PlannedTable) -> Result<bool> {
    let sql = format!("select 'row' from only {} limit 1", table.name.quoted());
    Ok(session.scalar(&sql, &[]).await?.is_none())
}
