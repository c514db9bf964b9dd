//! ANALYZE, so that the first query on the target plans as the last one on the source did.

use std::collections::HashSet;

use serde::Deserialize;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

use crate::board::WORTH_A_TRANSACTION;
use crate::options::LoadContext;

/// Small tables analysed in one transaction.
const TOGETHER: usize = 100;

/// What can be analysed: not what a foreign table inherits from, because to analyse such a one is to
/// ask another server for rows, which perhaps cannot be reached from here and surely need not be:
/// <https://www.postgresql.org/docs/15/sql-analyze.html>. Tables that are not ours are skipped by the
/// server with a warning.
const ANALYZABLE: &str = "
    with recursive reaching as (
        select i.inhparent as oid
        from pg_catalog.pg_inherits i
        join pg_catalog.pg_class c on c.oid = i.inhrelid
        where c.relkind = 'f'
        union
        select i.inhparent
        from reaching r
        join pg_catalog.pg_inherits i on i.inhrelid = r.oid
    )
    select n.nspname as schema,
           c.relname as name,
           c.relkind = 'p' as is_partitioned,
           coalesce(pg_catalog.pg_relation_size(c.oid), 0) as bytes
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm')
      and c.relpersistence <> 't'
      and not exists (select from reaching r where r.oid = c.oid)
    order by 3 desc, 4 desc, c.oid";

/// A table whose statistics can be gathered.
#[derive(Debug, Deserialize)]
pub(crate) struct Analyzable {
    schema: String,
    name: String,
    is_partitioned: bool,
    bytes: u64,
}

/// Tables that others inherit from: what is gathered about them comes from those too.
pub(crate) async fn parents(session: &mut Session) -> Result<HashSet<QualifiedName>> {
    let rows: Vec<QualifiedName> = session
        .fetch(
            "select distinct n.nspname as schema, c.relname as name
               from pg_catalog.pg_inherits i
               join pg_catalog.pg_class c on c.oid = i.inhparent
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace",
            &[],
        )
        .await?;
    Ok(rows.into_iter().collect())
}

/// What is left to be analysed, the biggest first, in groups that are a transaction each: parents of
/// partitions and materialized views too.
pub(crate) async fn left(
    context: &LoadContext,
    analysed: &HashSet<QualifiedName>,
) -> Result<Vec<Vec<QualifiedName>>> {
    let mut session = context.connect("analyze").await?;
    let tables: Vec<Analyzable> = session.fetch(ANALYZABLE, &[]).await?;
    session.close().await;
    Ok(groups(tables, analysed))
}

fn groups(tables: Vec<Analyzable>, analysed: &HashSet<QualifiedName>) -> Vec<Vec<QualifiedName>> {
    let mut groups: Vec<Vec<QualifiedName>> = Vec::new();
    let mut small: Vec<QualifiedName> = Vec::new();
    for table in tables {
        let name = QualifiedName::new(&table.schema, &table.name);
        if analysed.contains(&name) {
            continue;
        }
        if table.is_partitioned || table.bytes >= WORTH_A_TRANSACTION {
            groups.push(vec![name]);
        } else {
            small.push(name);
        }
    }
    groups.extend(small.chunks(TOGETHER).map(<[QualifiedName]>::to_vec));
    groups
}

/// The statement that analyses tables.
pub(crate) fn analyze(tables: &[QualifiedName]) -> String {
    let names: Vec<String> = tables.iter().map(QualifiedName::quoted).collect();
    format!("analyze {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, bytes: u64, is_partitioned: bool) -> Analyzable {
        Analyzable {
            schema: "app".to_owned(),
            name: name.to_owned(),
            is_partitioned,
            bytes,
        }
    }

    #[test]
    fn big_tables_are_analysed_alone_and_nothing_twice() {
        let name = |name: &str| QualifiedName::new("app", name);
        let analysed = HashSet::from([name("done")]);
        let tables = vec![
            table("mother", 0, true),
            table("big", 1 << 30, false),
            table("done", 1 << 30, false),
            table("A b", 10, false),
            table("c", 0, false),
        ];
        let groups = groups(tables, &analysed);
        assert_eq!(
            groups,
            [
                vec![name("mother")],
                vec![name("big")],
                vec![name("A b"), name("c")]
            ]
        );
        assert_eq!(
            analyze(&groups[2]),
            "analyze \"app\".\"A b\", \"app\".\"c\""
        );
    }
}
