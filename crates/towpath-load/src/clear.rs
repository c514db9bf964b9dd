//! Clears the target, on the operator's word.

use serde::Deserialize;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::name::quote_identifier;
use towpath_model::structure::ObjectKind;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, SessionOptions, structure};

use crate::begin::removal;
use crate::large_objects;

#[derive(Deserialize)]
struct SchemaRow {
    name: String,
}

/// How to reach both sides for a clearing.
#[derive(Debug, Clone)]
pub struct ClearOptions {
    /// Source session.
    pub source: SessionOptions,
    /// Target session.
    pub target: SessionOptions,
    /// A random number, for the proof that the two are not one.
    pub token: i64,
}

/// Proves that the target is not the source by another name: a lock that a session of the source
/// holds must not be seen on the target. Needs no privilege on either.
async fn prove_two_databases(
    source: &ConnectionUrl,
    target: &mut Session,
    options: &ClearOptions,
) -> Result<()> {
    let mut holder = Session::connect(source, Side::Source, &options.source).await?;
    holder
        .execute(&format!(
            "select pg_catalog.pg_advisory_lock({})",
            options.token
        ))
        .await?;
    let seen = target
        .scalar(
            "select pg_catalog.count(*)::text
               from pg_catalog.pg_locks l
               join pg_catalog.pg_database d on d.oid = l.database
              where l.locktype = 'advisory' and d.datname = pg_catalog.current_database()
                and (l.classid::int8 << 32 | l.objid::int8) = $1::int8",
            &[&options.token.to_string()],
        )
        .await?;
    holder.close().await;
    if seen.as_deref() == Some("0") {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        "could not clear the target: it is the source, reached by another name",
    )
    .hint("check TOWPATH_SOURCE_URL and TOWPATH_TARGET_URL"))
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

/// Takes back what no schema took along: default privileges for everywhere, and settings of the
/// database that the login may reset.
async fn reset_defaults(session: &mut Session) -> Result<()> {
    let owners: Vec<SchemaRow> = session
        .fetch(
            "select distinct pg_catalog.pg_get_userbyid(defaclrole) as name
               from pg_catalog.pg_default_acl
              where pg_catalog.pg_has_role(defaclrole, 'USAGE')",
            &[],
        )
        .await?;
    if !owners.is_empty() {
        let found = structure::read(session).await?;
        let ours = found.objects.values().filter(|object| {
            object.id.kind == ObjectKind::DefaultPrivileges
                && owners.iter().any(|owner| owner.name == object.id.name)
        });
        for sql in ours.flat_map(removal) {
            session.execute(&sql).await?;
        }
    }
    // Without a right on a setting, `reset all` leaves that one (`GUCArrayReset` in `guc.c`).
    let owned: Option<String> = session
        .scalar(
            "select datname::pg_catalog.text
               from pg_catalog.pg_database
              where datname = pg_catalog.current_database()
                and pg_catalog.pg_has_role(datdba, 'USAGE')",
            &[],
        )
        .await?;
    match owned {
        Some(name) => {
            let sql = format!("alter database {} reset all", quote_identifier(&name));
            session.execute(&sql).await
        }
        None => Ok(()),
    }
}

/// Drops every schema of the target database that its login owns, with all that is in them, every
/// large object that it owns, publications, event triggers, foreign servers, default privileges and
/// settings of the database, and makes an empty `public`. Gives how many schemas were dropped.
pub async fn clear(
    source: &ConnectionUrl,
    target: &ConnectionUrl,
    options: &ClearOptions,
    confirmed: &str,
) -> Result<usize> {
    confirm_clear(target, confirmed)?;
    let mut session = Session::connect(target, Side::Target, &options.target).await?;
    prove_two_databases(source, &mut session, options).await?;
    large_objects::unlink_all(&mut session).await?;
    session.begin_writing("").await?;
    session.execute("set local lock_timeout = '30s'").await?;
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
    // Publications, event triggers and foreign servers hang on no schema.
    let globals: Vec<SchemaRow> = session
        .fetch(
            "select pg_catalog.format('publication %I', pubname) as name
               from pg_catalog.pg_publication
              where pg_catalog.pg_has_role(pubowner, 'USAGE')
             union all
             select pg_catalog.format('event trigger %I', evtname)
               from pg_catalog.pg_event_trigger
              where pg_catalog.pg_has_role(evtowner, 'USAGE')
             union all
             select pg_catalog.format('server %I cascade', srvname)
               from pg_catalog.pg_foreign_server
              where pg_catalog.pg_has_role(srvowner, 'USAGE')",
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
    reset_defaults(&mut session).await?;
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
