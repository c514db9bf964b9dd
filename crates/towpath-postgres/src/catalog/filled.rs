//! Which tables hold rows.

use serde::Deserialize;
use towpath_model::{QualifiedName, Result};

use crate::session::Session;

/// Tables asked in one statement.
const AT_ONCE: usize = 200;

/// Tables of users that take up room: only these can hold rows. Those of extensions, of towpath and
/// of the service's own administrator hold what belongs there.
const CANDIDATES: &str = "
    select n.nspname as schema,
           c.relname as name,
           pg_catalog.has_table_privilege(c.oid, 'SELECT')
               and not pg_catalog.row_security_active(c.oid) as readable
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r'
      and c.relpersistence <> 't'
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'towpath')
      and pg_catalog.pg_get_userbyid(c.relowner) <> 'rdsadmin'
      and pg_catalog.pg_relation_size(c.oid) > 0
      and not exists (
          select
          from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::regclass
            and d.objid = c.oid
            and d.deptype = 'e')
    order by n.nspname, c.relname";

#[derive(Deserialize)]
struct CandidateRow {
    schema: String,
    name: String,
    readable: bool,
}

/// Every table that holds a row. One that cannot be read counts as one that does: whatever takes up
/// room there was put there by somebody. Asked inside a transaction, under the search path that the
/// tables' own functions need (see [`Session::use_search_path`]), and with an empty one afterwards.
pub async fn filled_tables(session: &mut Session, search_path: &str) -> Result<Vec<QualifiedName>> {
    let candidates: Vec<CandidateRow> = session.fetch(CANDIDATES, &[]).await?;
    let (readable, closed): (Vec<CandidateRow>, Vec<CandidateRow>) =
        candidates.into_iter().partition(|table| table.readable);
    let name = |row: CandidateRow| QualifiedName::new(row.schema, row.name);
    let mut filled: Vec<QualifiedName> = closed.into_iter().map(name).collect();
    let readable: Vec<QualifiedName> = readable.into_iter().map(name).collect();
    session.use_search_path(search_path).await?;
    for tables in readable.chunks(AT_ONCE) {
        filled.extend(with_rows(session, tables).await?);
    }
    session.use_search_path("").await?;
    filled.sort();
    Ok(filled)
}

/// The planner looks into indexes and checks, and a function in them may call what is not there yet:
/// then each table is asked by itself.
async fn with_rows(session: &mut Session, tables: &[QualifiedName]) -> Result<Vec<QualifiedName>> {
    if let Some(filled) = try_with_rows(session, tables).await? {
        return Ok(filled);
    }
    let mut filled = Vec::new();
    for table in tables {
        let one = std::slice::from_ref(table);
        match try_with_rows(session, one).await? {
            Some(answer) => filled.extend(answer),
            None => filled.push(table.clone()),
        }
    }
    Ok(filled)
}

/// Nothing when the question failed; the transaction goes on.
async fn try_with_rows(
    session: &mut Session,
    tables: &[QualifiedName],
) -> Result<Option<Vec<QualifiedName>>> {
    session.execute("savepoint towpath_question").await?;
    let answer = ask(session, tables).await;
    session
        .execute("rollback to savepoint towpath_question; release savepoint towpath_question")
        .await?;
    Ok(answer.ok())
}

async fn ask(session: &mut Session, tables: &[QualifiedName]) -> Result<Vec<QualifiedName>> {
    let questions: Vec<String> = tables
        .iter()
        .map(|table| format!("exists (select from only {})", table.quoted()))
        .collect();
    let sql = format!(
        "select pg_catalog.array_to_string(array[{}], ',')",
        questions.join(", ")
    );
    let answers = session.scalar(&sql, &[]).await?.unwrap_or_default();
    Ok(tables
        .iter()
        .zip(answers.split(','))
        .filter(|(_, answer)| *answer == "t")
        .map(|(table, _)| table.clone())
        .collect())
}
