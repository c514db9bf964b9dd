//! Queries of `pg_stat_statements`, and what a server would do for them.
//!
//! Their text is never in an error and never in a log: constants are taken out of it, but comments
//! are not.

use serde_json::Value;
use sqlx::{Executor, Row};
use towpath_model::name::quote_identifier;
use towpath_model::upkeep::TopQuery;
use towpath_model::{ErrorKind, Failure, Result};

use super::server_code;
use crate::error::failure;
use crate::session::{Session, query};

/// Parameters that nobody would pass: a text with more is no query of an application.
const MOST_PARAMETERS: usize = 1000;

/// What planning, and each run of a query, may take.
const LIMITS: &str = "set local lock_timeout = '2s'; set local statement_timeout = '30s'; \
    set local plan_cache_mode = force_generic_plan";

/// Settings that decide what a plan costs. Anybody may set them for a session of their own.
pub const COST_SETTINGS: [&str; 11] = [
    "seq_page_cost",
    "random_page_cost",
    "cpu_tuple_cost",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "effective_cache_size",
    "work_mem",
    "hash_mem_multiplier",
    "max_parallel_workers_per_gather",
];

/// What a server answered about a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Parameters that the query has.
    pub parameters: usize,
    /// The plan, as `explain (verbose, format json)` gives it.
    pub plan: Value,
}

/// Queries of this database that took the most time, most first; nothing when the extension is not
/// there. In a transaction of its own.
pub async fn top_queries(session: &mut Session, limit: usize) -> Result<Option<Vec<TopQuery>>> {
    let schema = session
        .scalar(
            "select n.nspname::text
             from pg_catalog.pg_extension e
             join pg_catalog.pg_namespace n on n.oid = e.extnamespace
             where e.extname = 'pg_stat_statements'",
            &[],
        )
        .await?;
    let Some(schema) = schema else {
        return Ok(None);
    };
    session.begin_reading().await?;
    let sql =
        include_str!("upkeep/top_queries.sql").replace("{schema}", &quote_identifier(&schema));
    let queries = session.fetch(&sql, &[&limit.to_string()]).await;
    session.rollback().await?;
    let doing = "could not read pg_stat_statements";
    queries
        .map(Some)
        .map_err(|failure| failure.while_doing(doing))
}

/// Values of [`COST_SETTINGS`], in their order; those that the server does not know are left out.
pub async fn cost_settings(session: &mut Session) -> Result<Vec<(String, String)>> {
    #[derive(serde::Deserialize)]
    struct Row {
        name: String,
        value: String,
    }
    let names = serde_json::to_string(&COST_SETTINGS).unwrap_or_default();
    let rows: Vec<Row> = session
        .fetch(
            "select s.name, pg_catalog.current_setting(s.name) as value
             from pg_catalog.pg_settings s
             where s.name in (select pg_catalog.jsonb_array_elements_text($1::jsonb))
             order by 1",
            &[&names],
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.value)).collect())
}

/// Begins a transaction that plans queries and can change nothing, under the search path that the
/// queries' own sessions have.
pub async fn begin_planning(session: &mut Session, search_path: &str) -> Result<()> {
    session.begin_reading().await?;
    session.execute(LIMITS).await?;
    session.use_search_path(search_path).await
}

/// What the server would do for a query whose parameters it does not know. The inner failure is the
/// query's: the transaction of [`begin_planning`] goes on.
pub async fn explain(
    session: &mut Session,
    text: &str,
    settings: &[(String, String)],
) -> Result<Result<Explained>> {
    within_savepoint(session, async |session| {
        for (name, value) in settings {
            let set = "select pg_catalog.set_config($1, $2, true)";
            session.scalar(set, &[name, value]).await?;
        }
        let parameters = prepare(session, text).await?;
        let plan = ask(
            session,
            &format!(
                "explain (verbose, format json) execute towpath_query{}",
                nulls(parameters)
            ),
        )
        .await?;
        Ok(Explained { parameters, plan })
    })
    .await
}

/// How many milliseconds a query without parameters takes: the shorter of two runs, because the
/// first one may have to fetch what the second one finds.
pub async fn time(session: &mut Session, text: &str) -> Result<Result<f64>> {
    within_savepoint(session, async |session| {
        prepare(session, text).await?;
        let run = "explain (analyze, timing off, format json) execute towpath_query";
        let mut shortest = f64::INFINITY;
        for _ in 0..2 {
            let plan = ask(session, run).await?;
            let took = plan
                .pointer("/0/Execution Time")
                .and_then(Value::as_f64)
                .unwrap_or(f64::INFINITY);
            shortest = shortest.min(took);
        }
        Ok(shortest)
    })
    .await
}

/// Whether a volatile function has one of these names, in whatever schema.
pub async fn any_volatile(session: &mut Session, functions: &[String]) -> Result<bool> {
    let names = serde_json::to_string(functions).unwrap_or_default();
    let answer = session
        .scalar(
            "select exists (
                 select
                 from pg_catalog.pg_proc p
                 where p.provolatile = 'v'
                   and p.proname in (select pg_catalog.jsonb_array_elements_text($1::jsonb)))::text",
            &[&names],
        )
        .await?;
    Ok(answer.as_deref() == Some("true"))
}

/// The SQLSTATE of a refusal, where a server said one.
pub fn sqlstate(failure: &Failure) -> Option<&str> {
    server_code(failure)
}

/// Does something with a prepared query; neither it nor what it did to the session is left.
async fn within_savepoint<T>(
    session: &mut Session,
    work: impl AsyncFnOnce(&mut Session) -> Result<T>,
) -> Result<Result<T>> {
    session.execute("savepoint towpath_query").await?;
    let done = work(session).await;
    session
        .execute(
            "rollback to savepoint towpath_query; release savepoint towpath_query; deallocate all",
        )
        .await?;
    Ok(done)
}

/// Prepares a query and gives the number of its parameters. Only what can be prepared gets through
/// the grammar (`PreparableStmt`), and the extended protocol takes no second statement after it.
async fn prepare(session: &mut Session, text: &str) -> Result<usize> {
    one_row(session, &format!("prepare towpath_query as {text}")).await?;
    let count = session
        .scalar(
            "select coalesce(pg_catalog.cardinality(s.parameter_types), 0)::text
             from pg_catalog.pg_prepared_statements s
             where s.name = 'towpath_query'",
            &[],
        )
        .await?;
    count
        .and_then(|count| count.parse().ok())
        .filter(|count| *count <= MOST_PARAMETERS)
        .ok_or_else(|| Failure::new(ErrorKind::Internal, "a query has too many parameters"))
}

/// `(null, null)`; nothing for none.
fn nulls(parameters: usize) -> String {
    match parameters {
        0 => String::new(),
        many => format!("({})", vec!["null"; many].join(", ")),
    }
}

async fn ask(session: &mut Session, sql: &str) -> Result<Value> {
    let text = one_row(session, sql).await?.unwrap_or_default();
    serde_json::from_str(&text).map_err(|cause| {
        Failure::new(ErrorKind::Internal, "a plan is not what it should be").because(cause)
    })
}

/// The first column of the first row, whatever its type. Errors do not quote the statement.
async fn one_row(session: &mut Session, sql: &str) -> Result<Option<String>> {
    let side = session.side();
    let doing = || format!("could not plan a query on {side}");
    let work = session.connection.fetch_optional(query(sql, &[]));
    let row = Box::pin(session.watch.over(doing, work)).await?;
    match row {
        None => Ok(None),
        Some(row) => row
            .try_get_unchecked(0)
            .map_err(|cause| failure(side, doing(), cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_null() {
        assert_eq!(nulls(0), "");
        assert_eq!(nulls(3), "(null, null, null)");
    }
}
