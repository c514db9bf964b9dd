//! How a server is doing: what the checklist after a move asks of catalogs and statistics, each in
//! one statement whatever the number of tables.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::upkeep::{SequenceColumn, SequenceReach, SequenceUse, SourceUse, TargetUpkeep};
use towpath_model::{Failure, Result};

use super::{BACK, SAVEPOINT, sequence_states};
use crate::session::Session;

/// Columns asked for their furthest value in one statement.
const COLUMNS_AT_ONCE: usize = 200;

/// The version that remembers with which collations a database was made.
const DATABASES_HAVE_COLLATION_VERSIONS: u32 = 150_000;

async fn read<T: DeserializeOwned>(session: &mut Session, sql: &str, what: &str) -> Result<Vec<T>> {
    let failed = |failure: Failure| failure.while_doing(format!("could not read {what}"));
    session.fetch(sql, &[]).await.map_err(failed)
}

/// Reads what a target tells besides its structure, inside a transaction that reads.
pub async fn target_upkeep(session: &mut Session) -> Result<TargetUpkeep> {
    let broken_indexes = read(
        session,
        include_str!("upkeep/broken_indexes.sql"),
        "which indexes are broken",
    )
    .await?;
    let tables: Vec<TableRow> = read(
        session,
        include_str!("upkeep/tables.sql"),
        "which tables have statistics",
    )
    .await?;
    let stale_collations = match session.version_num() >= DATABASES_HAVE_COLLATION_VERSIONS {
        true => {
            let sql = include_str!("upkeep/stale_collations.sql");
            read(session, sql, "versions of collations").await?
        }
        false => Vec::new(),
    };
    Ok(TargetUpkeep {
        broken_indexes,
        tables: tables.len() as u64,
        without_statistics: tables
            .into_iter()
            .filter(|table| !table.has_statistics)
            .map(|table| QualifiedName::new(table.schema, table.name))
            .collect(),
        subscriptions: subscriptions(session).await?,
        jobs: jobs(session).await?,
        duplicate_indexes: read(
            session,
            include_str!("upkeep/duplicate_indexes.sql"),
            "which indexes are the same",
        )
        .await?,
        bare_foreign_keys: read(
            session,
            include_str!("upkeep/bare_foreign_keys.sql"),
            "which foreign keys have no index",
        )
        .await?,
        stale_collations,
        autovacuum: says(
            session,
            "select pg_catalog.bool_and(s.setting = 'on')::text
             from pg_catalog.pg_settings s
             where s.name in ('autovacuum', 'track_counts')",
        )
        .await?,
    })
}

#[derive(Deserialize)]
struct TableRow {
    schema: String,
    name: String,
    has_statistics: bool,
}

/// The answer to a question that is `true` as text.
async fn says(session: &mut Session, question: &str) -> Result<bool> {
    Ok(session.scalar(question, &[]).await?.as_deref() == Some("true"))
}

async fn subscriptions<T: DeserializeOwned>(session: &mut Session) -> Result<Vec<T>> {
    let question = "select pg_catalog.has_column_privilege(
                        'pg_catalog.pg_subscription', 'subconninfo', 'select')::text";
    let sql = match says(session, question).await? {
        true => include_str!("upkeep/subscriptions.sql"),
        false => include_str!("upkeep/subscription_names.sql"),
    };
    read(session, sql, "subscriptions").await
}

/// Jobs that the login may see. A policy shows it its own.
async fn jobs<T: DeserializeOwned>(session: &mut Session) -> Result<Vec<T>> {
    let question = "select coalesce(
                        pg_catalog.has_schema_privilege(n.oid, 'usage')
                            and pg_catalog.has_table_privilege(c.oid, 'select'), false)::text
                    from pg_catalog.pg_class c
                    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = 'cron'
                      and c.relname = 'job'
                      and c.relkind = 'r'";
    if !says(session, question).await? {
        return Ok(Vec::new());
    }
    session.execute("set local row_security = on").await?;
    let jobs = read(session, include_str!("upkeep/jobs.sql"), "scheduled jobs").await?;
    session.execute("set local row_security = off").await?;
    Ok(jobs)
}

/// Reads who uses a source and what of it nobody uses, inside a transaction that reads.
pub async fn source_use(session: &mut Session) -> Result<SourceUse> {
    let age = session
        .scalar(
            "select pg_catalog.floor(
                        extract(epoch from pg_catalog.now() - s.stats_reset))::int8::text
             from pg_catalog.pg_stat_database s
             where s.datname = pg_catalog.current_database()",
            &[],
        )
        .await?;
    Ok(SourceUse {
        sessions: read(session, include_str!("upkeep/sessions.sql"), "sessions").await?,
        unused_indexes: read(
            session,
            include_str!("upkeep/unused_indexes.sql"),
            "which indexes are used",
        )
        .await?,
        statistics_age_s: age.and_then(|seconds| seconds.parse().ok()),
    })
}

/// Reads how far every sequence is and how far the columns that it fills, in a transaction of its
/// own that reads. Columns first: whoever takes a value meanwhile moves the sequence before the row
/// is there, so a sequence that is read later is never seen behind for that reason.
pub async fn sequence_uses(session: &mut Session, search_path: &str) -> Result<Vec<SequenceUse>> {
    session.begin_reading().await?;
    let columns: Vec<SequenceColumn> = read(
        session,
        include_str!("upkeep/sequence_columns.sql"),
        "which columns take their values from sequences",
    )
    .await?;
    session.use_search_path(search_path).await?;
    let (asked, left): (Vec<SequenceColumn>, Vec<SequenceColumn>) =
        columns.into_iter().partition(|it| why_not(it).is_none());
    let mut furthest = Vec::with_capacity(asked.len());
    let mut states = Vec::with_capacity(asked.len());
    for columns in asked.chunks(COLUMNS_AT_ONCE) {
        furthest.extend(furthest_values(session, columns).await?);
        let names: Vec<QualifiedName> = columns.iter().map(|it| it.sequence.clone()).collect();
        states.extend(sequence_states(session, &names).await?);
    }
    session.rollback().await?;
    let mut uses: Vec<SequenceUse> = asked
        .into_iter()
        .zip(furthest)
        .zip(states)
        .map(|((of, furthest), state)| SequenceUse {
            of,
            found: furthest.map(|furthest| SequenceReach { state, furthest }),
        })
        .collect();
    uses.extend(left.into_iter().map(|of| SequenceUse {
        found: Err(why_not(&of).unwrap_or_default().to_owned()),
        of,
    }));
    Ok(uses)
}

/// Why the values of a column are not asked for.
fn why_not(column: &SequenceColumn) -> Option<&'static str> {
    if column.largest.is_none() {
        return Some("the column is no integer");
    }
    if !column.readable {
        return Some("the login may not read all of it");
    }
    (!column.is_cheap).then_some("a table of over 1 GiB has no index that begins with the column")
}

/// The planner looks into policies, indexes and checks, and a function in them may not work: then
/// each column is asked by itself.
async fn furthest_values(
    session: &mut Session,
    columns: &[SequenceColumn],
) -> Result<Vec<Result<Option<i64>, String>>> {
    if let Ok(values) = try_furthest(session, columns).await? {
        return Ok(values.into_iter().map(Ok).collect());
    }
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let answer = try_furthest(session, std::slice::from_ref(column)).await?;
        values.push(match answer {
            Ok(values) => Ok(values.into_iter().next().flatten()),
            Err(_) => Err("reading it failed".to_owned()),
        });
    }
    Ok(values)
}

/// The inner failure is the question's; the transaction goes on.
async fn try_furthest(
    session: &mut Session,
    columns: &[SequenceColumn],
) -> Result<Result<Vec<Option<i64>>>> {
    #[derive(Deserialize)]
    struct Row {
        position: usize,
        furthest: Option<i64>,
    }
    session.execute(SAVEPOINT).await?;
    let answer: Result<Vec<Row>> = session.fetch(&furthest_query(columns), &[]).await;
    session.execute(BACK).await?;
    Ok(answer.map(|rows| {
        let mut values = vec![None; columns.len()];
        for row in rows {
            if let Some(value) = values.get_mut(row.position) {
                *value = row.furthest;
            }
        }
        values
    }))
}

fn furthest_query(columns: &[SequenceColumn]) -> String {
    let branches: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(position, it)| {
            let most = if it.increment < 0 { "min" } else { "max" };
            format!(
                "select {position} as position, (select pg_catalog.{most}(t.{})::int8 from {} t) as furthest",
                quote_identifier(&it.column),
                it.table.quoted()
            )
        })
        .collect();
    branches.join("\nunion all\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(increment: i64) -> SequenceColumn {
        SequenceColumn {
            sequence: QualifiedName::new("public", "s"),
            table: QualifiedName::new("App", "odd\"t"),
            column: "Id".to_owned(),
            largest: Some(32_767),
            increment,
            min: 1,
            max: 9,
            cycles: false,
            readable: true,
            is_cheap: true,
        }
    }

    #[test]
    fn the_furthest_value_lies_where_the_sequence_goes() {
        assert_eq!(
            furthest_query(&[column(1), column(-2)]),
            "select 0 as position, (select pg_catalog.max(t.\"Id\")::int8 from \"App\".\"odd\"\"t\" t) as furthest\n\
             union all\n\
             select 1 as position, (select pg_catalog.min(t.\"Id\")::int8 from \"App\".\"odd\"\"t\" t) as furthest"
        );
    }

    #[test]
    fn what_is_not_asked_says_why() {
        assert_eq!(why_not(&column(1)), None);
        let text = SequenceColumn {
            largest: None,
            ..column(1)
        };
        assert!(why_not(&text).is_some());
        let closed = SequenceColumn {
            readable: false,
            ..column(1)
        };
        assert!(why_not(&closed).is_some());
    }
}
