//! Brings tables of the target to where the source is now: for a source that accepts no writes to
//! them any more.
//!
//! Everything happens in one transaction of the target: rows of the source into temporary tables,
//! rows that are not on the source out, rows that are not on the target in. A process that dies leaves
//! the target as it was or as it should be, and doing it again writes nothing. Rows are the same when
//! their images are (`*=`, PostgreSQL manual, "Composite Type Comparison"): equal by `=` is not the
//! same, `1.0` is not `1.00` and `-0` is not `0`.

use serde::Deserialize;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Stage;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PlannedTable};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::{Session, SessionOptions};

use crate::guards::{CHANGED, Guards, Names, Role};
use crate::ledger;
use crate::narrow::Part;
use crate::options::LoadContext;
use crate::prepare::end_leftovers;
use crate::references::References;

/// How long a lock on the target is waited for: nobody should be at work there yet.
const LOCK_TIMEOUT: &str = "30s";

/// Memory of joins; rows of a big table are in temporary files.
const WORK_MEM: &str = "64MB";

/// Changed rows from which on a table is worth analysing again.
const WORTH_ANALYSING: u64 = 1000;

/// What was done to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCaughtUp {
    /// Which.
    pub table: QualifiedName,
    /// Rows that the target did not have as they are, written.
    pub written: u64,
    /// Rows of the target whose key is not on the source, deleted; without a key, all it had.
    pub removed: u64,
}

/// Which rows of a table travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those in which the servers' own digests differ, where the table is big.
    Differing,
    /// All.
    Whole,
}

/// A table's rows of the source, on the target.
struct Staged<'t> {
    table: &'t PlannedTable,
    /// The temporary table.
    name: String,
    /// How its rows are told apart; nothing where there is no primary key.
    key: Vec<KeyColumn>,
    /// Which rows they are; nothing where they are all.
    part: Option<Part>,
}

#[derive(Deserialize)]
struct KeyColumn {
    column: String,
    operator_schema: String,
    operator: String,
}

/// Makes `tables` on the target what they are on the source now, all of them or none, and refreshes
/// what is computed from them. Tables must not change on the source meanwhile.
pub async fn catch_up(
    context: &LoadContext,
    source: &ConnectionUrl,
    options: &SessionOptions,
    tables: &[&PlannedTable],
    extent: Extent,
) -> Result<Vec<TableCaughtUp>> {
    let mut options = options.clone();
    options.application_name = format!("towpath/{}/catch-up", context.plan.run);
    let mut source = Session::connect(source, Side::Source, &options).await?;
    source.begin_reading().await?;
    source.use_search_path(context.search_path()).await?;
    let mut target = context.connect("catch-up").await?;
    // A killed process may have left a transaction that holds the locks.
    end_leftovers(
        &mut target,
        &format!("{}/catch-up", context.application_prefix()),
    )
    .await?;
    target.begin_writing(context.search_path()).await?;
    let done = Box::pin(within(context, &mut source, &mut target, tables, extent)).await;
    let done = match done {
        Ok(done) => done,
        Err(failure) => {
            // Closing does it too, but then the locks would stay until the server notices.
            drop(target.rollback().await);
            return Err(failure);
        }
    };
    target.commit().await?;
    source.rollback().await?;
    source.close().await;
    analyse(context, &mut target, tables, &done).await;
    target.close().await;
    Ok(done)
}

async fn within(
    context: &LoadContext,
    source: &mut Session,
    target: &mut Session,
    tables: &[&PlannedTable],
    extent: Extent,
) -> Result<Vec<TableCaughtUp>> {
    target
        .execute(&format!(
            "set local lock_timeout = '{LOCK_TIMEOUT}'; set local work_mem = '{WORK_MEM}'"
        ))
        .await?;
    ledger::open_caught_up(target).await?;
    let names = Names::of(tables.iter().map(|table| &table.name));
    let role = Role::take(target).await?;
    let references = References::of(target, &names, role).await?;
    target.use_search_path(context.search_path()).await?;
    let guards = Guards::of(target, &names, role).await?;
    references.take_off(target).await?;
    guards.take_off(target).await?;
    let mut done = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        context.stop.check()?;
        let doing = || format!("could not bring {} up to the source on target", table.name);
        let part = match extent {
            Extent::Differing => Part::of(source, target, table, &select(table))
                .await
                .map_err(|failure| failure.while_doing(doing()))?,
            Extent::Whole => None,
        };
        let staged = stage(context, source, target, table, at, part)
            .await
            .map_err(|failure| failure.while_doing(doing()))?;
        let changes = staged
            .apply(target)
            .await
            .map_err(|failure| failure.while_doing(doing()))?;
        let text = format!(
            "caught up {}: {} written, {} deleted",
            table.name, changes.written, changes.removed
        );
        context.events.note(Stage::Load, text);
        ledger::enter_caught_up(target, &context.plan.run, &table.id, &changes).await?;
        done.push(changes);
    }
    // No table with checks outstanding can be altered.
    target.execute("set constraints all immediate").await?;
    references.prove(target).await?;
    refresh(context, target, &names).await?;
    // Last: the steps above have to see every row of tables that force their policies.
    guards.put_back(target).await?;
    Ok(done)
}

/// Brings a table's rows to the target, as they come.
async fn stage<'t>(
    context: &LoadContext,
    source: &mut Session,
    target: &mut Session,
    table: &'t PlannedTable,
    at: usize,
    part: Option<Part>,
) -> Result<Staged<'t>> {
    let name = format!("pg_temp.towpath_source_{at}");
    let columns = columns_of(table, "");
    let like = format!(
        "create temporary table towpath_source_{at} on commit drop
             as select {columns} from only {} with no data",
        table.name.quoted()
    );
    target.execute(&like).await?;
    let options = copy_options(context, table);
    let list = match columns.is_empty() {
        true => String::new(),
        false => format!(" ({columns})"),
    };
    let into = format!("copy {name}{list} from stdin with ({options})");
    let rows = match &part {
        None => select(table),
        Some(part) => format!(
            "select {} from ({}) as t where {}",
            columns_of(table, "t."),
            select(table),
            part.condition()
        ),
    };
    let from = format!("copy ({rows}) to stdout with ({options})");
    let mut rows = source.copy_out(&from).await?;
    let mut copy = target.copy_in(&into).await?;
    // A message is a row, and most are small: sent one by one each would be a packet.
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let next = match rows.next().await {
            Ok(next) => next,
            Err(failure) => {
                drop(copy.abort("the source has no more rows to give").await);
                return Err(failure);
            }
        };
        let Some(row) = next else { break };
        buffer.extend_from_slice(&row);
        if buffer.len() >= BUFFER {
            copy.send(&buffer).await?;
            buffer.clear();
        }
    }
    copy.send(&buffer).await?;
    copy.finish().await?;
    drop(rows);
    target.execute(&format!("analyze {name}")).await?;
    let key = key(target, table).await?;
    Ok(Staged {
        table,
        name,
        key,
        part,
    })
}

/// Bytes sent at once.
const BUFFER: usize = 256 << 10;

fn columns_of(table: &PlannedTable, prefix: &str) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{prefix}{}", quote_identifier(column)))
        .collect();
    columns.join(", ")
}

/// The rows as the export read them: what it replaced is replaced here too.
fn select(table: &PlannedTable) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| match table.expressions.get(column) {
            None => quote_identifier(column),
            Some(expression) => format!("{expression} as {}", quote_identifier(column)),
        })
        .collect();
    format!(
        "select {} from only {}",
        columns.join(", "),
        table.name.quoted()
    )
}

fn copy_options(context: &LoadContext, table: &PlannedTable) -> String {
    match table.format {
        Format::Binary => "format binary".to_owned(),
        Format::Csv => format!(
            "format csv, null {}",
            quote_literal(&context.key.null_marker())
        ),
    }
}

/// The columns of the primary key on the target with the operators of its index: `=` of the search
/// path could be another one.
async fn key(session: &mut Session, table: &PlannedTable) -> Result<Vec<KeyColumn>> {
    let found: Vec<KeyColumn> = session
        .fetch(
            "select a.attname as column, n.nspname as operator_schema, o.oprname as operator
               from pg_catalog.pg_index i
               cross join lateral rows from (
                        pg_catalog.unnest(i.indkey::pg_catalog.int2[]),
                        pg_catalog.unnest(i.indclass::pg_catalog.oid[]))
                    with ordinality as k (key, class, at)
               join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.key
               join pg_catalog.pg_opclass c on c.oid = k.class
               join pg_catalog.pg_amop m
                 on m.amopfamily = c.opcfamily and m.amopstrategy = 3 and m.amoppurpose = 's'
                and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
               join pg_catalog.pg_operator o on o.oid = m.amopopr
               join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
              where i.indrelid = $1::pg_catalog.regclass and i.indisprimary
                and k.at <= i.indnkeyatts
              order by k.at",
            &[&table.name.quoted()],
        )
        .await?;
    // All of it or nothing: half a key does not tell rows apart.
    let is_whole =
        found.len() == table.key.len() && found.iter().all(|key| table.key.contains(&key.column));
    Ok(if is_whole { found } else { Vec::new() })
}

impl Staged<'_> {
    /// Out with what is not on the source, then in with what is not here: at no time do two rows want
    /// the same unique value that did not want it on the source.
    async fn apply(&self, session: &mut Session) -> Result<TableCaughtUp> {
        let (written, removed) = match self.key.is_empty() {
            true => self.apply_all(session).await?,
            false => self.apply_by_key(session).await?,
        };
        Ok(TableCaughtUp {
            table: self.table.name.clone(),
            written,
            removed,
        })
    }

    async fn apply_by_key(&self, session: &mut Session) -> Result<(u64, u64)> {
        let (target, staged) = (self.table.name.quoted(), &self.name);
        let same_key = self.same_key();
        let gone = format!(
            "delete from only {target} as t
              where not exists (select from {staged} as s where {same_key}){}",
            self.and_of_part()
        );
        let removed = session.execute_with(&gone, &[]).await?;
        let other = format!(
            "delete from only {target} as t using {staged} as s
              where {same_key}
                and row({})::record operator(pg_catalog.*<>) row({})::record",
            columns_of(self.table, "t."),
            columns_of(self.table, "s.")
        );
        session.execute_with(&other, &[]).await?;
        let missing = format!(
            "{} where not exists (select from only {target} as t where {same_key})",
            self.insert()
        );
        let written = session.execute_with(&missing, &[]).await?;
        Ok((written, removed))
    }

    /// Without a key there is nothing to pair rows by.
    async fn apply_all(&self, session: &mut Session) -> Result<(u64, u64)> {
        let condition = self.part.as_ref().map(Part::condition);
        let all = format!(
            "delete from only {} as t{}",
            self.table.name.quoted(),
            condition.map_or_else(String::new, |it| format!(" where {it}"))
        );
        let removed = session.execute_with(&all, &[]).await?;
        let written = session.execute_with(&self.insert(), &[]).await?;
        Ok((written, removed))
    }

    /// Rows of other buckets are the same on both sides, and not among those that came.
    fn and_of_part(&self) -> String {
        let condition = self.part.as_ref().map(Part::condition);
        condition.map_or_else(String::new, |it| format!(" and {it}"))
    }

    /// Values of identity columns are the source's, whatever the column says.
    fn insert(&self) -> String {
        let list = match columns_of(self.table, "") {
            list if list.is_empty() => String::new(),
            list => format!(" ({list})"),
        };
        format!(
            "insert into {}{list} overriding system value select {} from {} as s",
            self.table.name.quoted(),
            columns_of(self.table, "s."),
            self.name
        )
    }

    fn same_key(&self) -> String {
        let pairs: Vec<String> = self
            .key
            .iter()
            .map(|key| {
                let column = quote_identifier(&key.column);
                let schema = quote_identifier(&key.operator_schema);
                format!("t.{column} operator({schema}.{}) s.{column}", key.operator)
            })
            .collect();
        pairs.join(" and ")
    }
}

/// Materialized views whose query reaches a changed table, through views and other materialized
/// views, those first that others read; and those that call a function of the user's, whose body may
/// read anything.
async fn refresh(context: &LoadContext, session: &mut Session, names: &Names) -> Result<()> {
    let sql = format!(
        "with recursive changed as ({CHANGED}), edge as (
             select distinct r.ev_class as reader, d.refobjid as read
               from pg_catalog.pg_rewrite r
               join pg_catalog.pg_depend d
                 on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
                and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                and d.refobjid <> r.ev_class
         ), calls as (
             select distinct r.ev_class as reader
               from pg_catalog.pg_rewrite r
               join pg_catalog.pg_depend d
                 on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
                and d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
               join pg_catalog.pg_proc p on p.oid = d.refobjid
               join pg_catalog.pg_namespace n on n.oid = p.pronamespace
              where n.nspname <> 'pg_catalog'
                and not exists (select from pg_catalog.pg_depend e
                                 where e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                                   and e.objid = p.oid and e.deptype = 'e')
         ), reached as (
             select oid from changed
             union
             select reader from calls
             union
             select found.oid
               from reached
               cross join lateral (
                    select e.reader as oid from edge e where e.read = reached.oid
                    union all
                    select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = reached.oid
               ) as found
         ), depth as (
             select c.oid, 0 as depth
               from reached
               join pg_catalog.pg_class c on c.oid = reached.oid
             union
             select e.reader, d.depth + 1
               from depth d
               join edge e on e.read = d.oid
              where d.depth < 100
         )
         select n.nspname as schema, c.relname as name
           from depth d
           join pg_catalog.pg_class c on c.oid = d.oid
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where c.relkind = 'm' and c.relispopulated
          group by c.oid, n.nspname, c.relname
          order by pg_catalog.max(d.depth), n.nspname, c.relname"
    );
    let views: Vec<QualifiedName> = session.fetch(&sql, &names.parameters()).await?;
    for view in views {
        context.stop.check()?;
        session
            .execute(&format!("refresh materialized view {}", view.quoted()))
            .await
            .map_err(|failure| {
                failure.while_doing(format!("could not refresh {view} after catching up"))
            })?;
        let text = format!("refreshed {view}");
        context.events.note(Stage::Load, text);
    }
    Ok(())
}

/// Statistics that are a little old cost a plan, not a row: a failure is told and nothing more.
async fn analyse(
    context: &LoadContext,
    session: &mut Session,
    tables: &[&PlannedTable],
    done: &[TableCaughtUp],
) {
    let estimate = |name: &QualifiedName| {
        let table = tables.iter().find(|table| table.name == *name);
        table.map_or(0, |table| u64::try_from(table.estimated_rows).unwrap_or(0))
    };
    for changes in done {
        let changed = changes.written.max(changes.removed);
        if changed < WORTH_ANALYSING || changed < estimate(&changes.table) / 10 {
            continue;
        }
        let sql = format!("analyze {}", changes.table.quoted());
        if let Err(failure) = session.execute(&sql).await {
            let text = format!("could not analyse {}: {failure}", changes.table);
            context.events.note(Stage::Load, text);
            return;
        }
    }
}

/// Whether every table is one that can be caught up: large objects are in no table.
pub fn refuse_large_objects(tables: &[&PlannedTable]) -> Result<()> {
    if tables.iter().all(|table| table.rows.is_table()) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        "large objects have changed on the source since the export, and only tables can be caught up",
    )
    .hint("begin a new run with the writers of large objects stopped"))
}
