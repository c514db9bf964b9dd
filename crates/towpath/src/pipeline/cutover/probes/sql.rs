//! What consumers find when they log in at the target with what they get.
//!
//! A login that sees nothing is not refused: row-level security answers an empty table, and the
//! consumer goes on with it. So tables are read, not asked for their privileges.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use towpath_model::connection::{ConnectionUrl, Endpoint, Side};
use towpath_model::name::quote_identifier;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::{Session, SessionOptions};
use towpath_switch::{Mapping, PasswordBy};
use towpath_verify::AccessClaims;

use crate::consumers;
use crate::context::Context;
use crate::pipeline::cutover::probes::wanted::{Table, Wanted};

/// Tables with row-level security that are read though nobody named them.
const SAMPLE: u32 = 25;

/// Which server answers: no proxy and no pooler changes these, and no two databases share them.
const IDENTITY: &str = "
select pg_catalog.concat_ws(' ',
         extract(epoch from pg_catalog.pg_postmaster_start_time()),
         (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))";

/// Tables whose policies decide what this login sees. `row_security_active` knows of owners, of
/// BYPASSRLS and of FORCE.
const GUARDED: &str = "
select n.nspname as schema, c.relname as name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and c.relrowsecurity and not c.relispartition
   and n.nspname not in ('pg_catalog', 'information_schema', 'towpath')
   and pg_catalog.has_schema_privilege(n.oid, 'usage')
   and pg_catalog.has_table_privilege(c.oid, 'select')
   and pg_catalog.row_security_active(c.oid)
 order by 1, 2
 limit $1::int8";

const ROLE: &str = "
select pg_catalog.pg_has_role(oid, 'member')::text
  from pg_catalog.pg_roles where rolname = $1";

#[derive(Deserialize)]
struct Guarded {
    schema: String,
    name: String,
}

/// A login that consumers get.
struct Login {
    url: ConnectionUrl,
    /// Roles on the source whose users get it, as far as the configuration says.
    before: Vec<String>,
}

/// Logs in as consumers will, and reads. Gives what was seen.
pub async fn ask(context: &Context, wanted: &Wanted) -> Result<String> {
    let mapping = consumers::mapping(context)?;
    if mapping.password_by != PasswordBy::Value {
        return Ok("skipped: consumers fetch their password themselves".to_owned());
    }
    let mut seen = Vec::new();
    for login in logins(&mapping) {
        seen.push(Box::pin(ask_as(context, wanted, &login)).await?);
    }
    Ok(seen.join("; "))
}

/// The user of the target's URL, and every other that somebody is mapped to and whose password is
/// known.
fn logins(mapping: &Mapping) -> Vec<Login> {
    let before = |user: &str| {
        let mapped = mapping.users.iter().filter(|(_, new)| *new == user);
        let mut before: Vec<String> = mapped.map(|(old, _)| old.clone()).collect();
        before.push(user.to_owned());
        before
    };
    let mut logins = vec![Login {
        url: mapping.target.clone(),
        before: before(&mapping.target.user),
    }];
    let others: BTreeSet<&String> = mapping.users.values().collect();
    for user in others {
        if let Some(password) = mapping.passwords.get(user)
            && *user != mapping.target.user
        {
            logins.push(Login {
                url: ConnectionUrl {
                    user: user.clone(),
                    password: Some(password.clone()),
                    ..mapping.target.clone()
                },
                before: before(user),
            });
        }
    }
    logins
}

async fn ask_as(context: &Context, wanted: &Wanted, login: &Login) -> Result<String> {
    let url = &login.url;
    if url.endpoint() == Endpoint::TransactionPooler {
        return Ok(format!(
            "skipped: {} is a transaction pooler, which gives no session to prove anything with",
            url.identity()
        ));
    }
    let connecting = connect(context, url, Side::Target, wanted).await;
    let mut consumer = connecting.map_err(|failure| match failure.kind() {
        ErrorKind::Connect => Failure::new(
            ErrorKind::Connect,
            "this machine cannot reach what consumers get",
        )
        .because(failure)
        .hint("where only consumers can, as with an RDS Proxy, set probe.sql to off"),
        _ => failure.while_doing("what consumers get is no login at the target"),
    })?;
    let seen = Box::pin(read(context, wanted, login, &mut consumer)).await;
    consumer.close().await;
    seen
}

async fn connect(
    context: &Context,
    url: &ConnectionUrl,
    side: Side,
    wanted: &Wanted,
) -> Result<Session> {
    let mut options: SessionOptions = context.session_options(side, "towpath/probe");
    options.connect_timeout = options.connect_timeout.min(wanted.timeout);
    Session::connect(url, side, &options).await
}

async fn read(
    context: &Context,
    wanted: &Wanted,
    login: &Login,
    consumer: &mut Session,
) -> Result<String> {
    let target = context.url(Side::Target)?;
    let mut own = connect(context, &target, Side::Target, wanted).await?;
    let seen = Box::pin(compare(context, wanted, login, consumer, &mut own)).await;
    own.close().await;
    seen
}

async fn compare(
    context: &Context,
    wanted: &Wanted,
    login: &Login,
    consumer: &mut Session,
    own: &mut Session,
) -> Result<String> {
    let url = &login.url;
    let (there, here) = (
        consumer.scalar(IDENTITY, &[]).await?,
        own.scalar(IDENTITY, &[]).await?,
    );
    if there != here {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "what consumers get ({}) leads to another server or database than the target ({})",
                url.identity(),
                context.url(Side::Target)?.identity()
            ),
        )
        .hint("correct switch.url; a read replica is another server too"));
    }
    for table in &wanted.tables {
        named(wanted, login, consumer, own, table).await?;
    }
    let sampled = Box::pin(sample(context, wanted, login, consumer, own)).await?;
    Ok(format!(
        "{} logs in at {}; {} of probe.tables hold rows; {sampled}",
        url.user,
        url.identity(),
        wanted.tables.len()
    ))
}

/// A table that the configuration says is not empty.
async fn named(
    wanted: &Wanted,
    login: &Login,
    consumer: &mut Session,
    own: &mut Session,
    table: &Table,
) -> Result<()> {
    if has_rows(consumer, wanted, &table.name, table.reader.as_ref()).await? {
        return Ok(());
    }
    let user = &login.url.user;
    let reader = match &table.reader {
        Some(reader) => format!("{user} as {:?}", reader.name),
        None => user.clone(),
    };
    let why = if has_rows(own, wanted, &table.name, None).await? {
        format!(
            "row-level security leaves nothing of {} to {reader}",
            table.name
        )
    } else {
        format!("{} holds no row on the target", table.name)
    };
    Err(Failure::new(ErrorKind::Blocked, why)
        .hint("it stands in probe.tables; look at the policies with `towpath verify --access`"))
}

/// Tables that nobody named. One that reads empty is a failure only when a role of that name reads
/// rows in it on the source: what consumers could not see before is not missed now.
async fn sample(
    context: &Context,
    wanted: &Wanted,
    login: &Login,
    consumer: &mut Session,
    own: &mut Session,
) -> Result<String> {
    begin(consumer, wanted, None).await?;
    let guarded: Vec<Guarded> = consumer.fetch(GUARDED, &[&SAMPLE.to_string()]).await?;
    consumer.rollback().await?;
    let mut empty = Vec::new();
    for Guarded { schema, name } in &guarded {
        let table = QualifiedName::new(schema, name);
        // A policy may call what this login may not call: that reads as little as an empty table.
        let is_filled = match has_rows(consumer, wanted, &table, None).await {
            Err(failure) if failure.kind() == ErrorKind::Target => false,
            other => other?,
        };
        if !is_filled && has_rows(own, wanted, &table, None).await? {
            empty.push(table);
        }
    }
    if empty.is_empty() {
        return Ok(format!(
            "{} of row-level security read as they should",
            guarded.len()
        ));
    }
    let told: Vec<String> = empty.iter().map(ToString::to_string).collect();
    let (told, user) = (told.join(", "), &login.url.user);
    match seen_on_source(context, wanted, &login.before, &empty).await {
        Ok(Some((role, table))) => Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "row-level security leaves nothing of {table} to {user}; on the source {role} reads rows in it"
            ),
        )
        .hint("give the role a policy, or consumers another user (switch.url); `towpath verify --access` shows what each role sees")),
        Ok(None) => Ok(format!(
            "warning: row-level security leaves nothing of {told} to {user}; name what consumers need in probe.tables"
        )),
        Err(failure) => Ok(format!(
            "warning: row-level security leaves nothing of {told} to {user}, and the source could not be asked whether it did so before ({failure})"
        )),
    }
}

/// The first of the tables in which one of these roles reads rows on the source; nothing where
/// there is no such role, or this login may not take it on.
async fn seen_on_source(
    context: &Context,
    wanted: &Wanted,
    roles: &[String],
    tables: &[QualifiedName],
) -> Result<Option<(String, QualifiedName)>> {
    let url = context.url(Side::Source)?;
    let mut source = connect(context, &url, Side::Source, wanted).await?;
    let mut found = None;
    for role in roles {
        if source.scalar(ROLE, &[role]).await?.as_deref() != Some("true") {
            continue;
        }
        let reader = AccessClaims {
            name: role.clone(),
            role: role.clone(),
            claims: serde_json::Map::new(),
        };
        for table in tables {
            // What the role may not even ask on the source was not seen before.
            let seen = has_rows(&mut source, wanted, table, Some(&reader)).await;
            if found.is_none() && seen.unwrap_or(false) {
                found = Some((role.clone(), table.clone()));
            }
        }
    }
    source.close().await;
    Ok(found)
}

/// Whether a table shows a row, in a transaction of its own that never writes.
async fn has_rows(
    session: &mut Session,
    wanted: &Wanted,
    table: &QualifiedName,
    reader: Option<&AccessClaims>,
) -> Result<bool> {
    begin(session, wanted, reader).await?;
    let sql = format!("select exists (select from {})::text", table.quoted());
    let found = session.scalar(&sql, &[]).await;
    session.rollback().await?;
    Ok(found?.as_deref() == Some("true"))
}

async fn begin(
    session: &mut Session,
    wanted: &Wanted,
    reader: Option<&AccessClaims>,
) -> Result<()> {
    let limit_ms = wanted.timeout.as_millis();
    // A table under repair must not hold up the night: whoever cannot read it now has failed.
    session
        .execute(&format!(
            "begin transaction read only;
             set local statement_timeout = {limit_ms};
             set local lock_timeout = {limit_ms};
             set local row_security = on"
        ))
        .await?;
    let Some(reader) = reader else {
        return Ok(());
    };
    let set = "select pg_catalog.set_config($1, $2, true)";
    for (name, value) in claims(reader) {
        session.scalar(set, &[&name, &value]).await?;
    }
    session
        .execute(&format!(
            "set local role {}",
            quote_identifier(&reader.role)
        ))
        .await
}

/// Claims as PostgREST sets them from version 9 on, all in one, and the two that policies of before
/// read by themselves ("Transaction-Scoped Settings" of its manual).
fn claims(reader: &AccessClaims) -> Vec<(String, String)> {
    if reader.claims.is_empty() {
        return Vec::new();
    }
    let all = Value::Object(reader.claims.clone()).to_string();
    let mut settings = vec![("request.jwt.claims".to_owned(), all)];
    for claim in ["sub", "role"] {
        if let Some(Value::String(text)) = reader.claims.get(claim) {
            settings.push((format!("request.jwt.claim.{claim}"), text.clone()));
        }
    }
    settings
}
