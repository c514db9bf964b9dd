//! Clears the target, on the operator's word.

use serde::Deserialize;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::name::quote_identifier;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, SessionOptions};

#[derive(Deserialize)]
struct SchemaRow {
    name: String,
}

/// Proves that the operator means this database: nothing else than its name is proof.
pub fn confirm_clear(target: &ConnectionUrl, confirmed: &str) -> Result<()> {
    if confirmed == target.database {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Usage,
        format!(
            "--replace names {confirmed:?}, the target database is {:?}",
            target.database
        ),
    )
    .hint("type the name of the database that should be cleared"))
}

/// Drops every schema of the target database that its login owns, with all that is in them, and
/// makes an empty `public`. Gives how many schemas were dropped.
pub async fn clear(
    target: &ConnectionUrl,
    options: &SessionOptions,
    confirmed: &str,
) -> Result<usize> {
    confirm_clear(target, confirmed)?;
    let mut session = Session::connect(target, Side::Target, options).await?;
    session.begin_writing("").await?;
    let schemas: Vec<SchemaRow> = session
        .fetch(
            "select nspname as name
               from pg_catalog.pg_namespace
              where nspname !~ '^pg_' and nspname <> 'information_schema'
                and pg_catalog.pg_has_role(nspowner, 'USAGE')
              order by nspname",
            &[],
        )
        .await?;
    // Publications and event triggers hang on no schema.
    let globals: Vec<SchemaRow> = session
        .fetch(
            "select pg_catalog.format('publication %I', pubname) as name
               from pg_catalog.pg_publication
              where pg_catalog.pg_has_role(pubowner, 'USAGE')
             union all
             select pg_catalog.format('event trigger %I', evtname)
               from pg_catalog.pg_event_trigger
              where pg_catalog.pg_has_role(evtowner, 'USAGE')",
            &[],
        )
        .await?;
    for global in &globals {
        session.execute(&format!("drop {}", global.name)).await?;
    }
    for schema in &schemas {
        session
            .execute(&format!(
                "drop schema {} cascade",
                quote_identifier(&schema.name)
            ))
            .await?;
    }
    session
        .execute(
            "create schema if not exists public;
             grant usage on schema public to public;
             comment on schema public is 'standard public schema'",
        )
        .await?;
    session.commit().await?;
    session.close().await;
    Ok(schemas.len())
}
