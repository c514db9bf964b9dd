//! The scratch database of a rehearsal: made, marked, and dropped with what came with it.
//!
//! Two rules. Nothing is dropped that is not marked as a rehearsal's, by a comment that names the very
//! database or role that it is on. And nothing is made that no mark tells of: whoever comes after a
//! killed process finds all of it on the server itself.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinHandle;
use towpath_load::{LoadedBy, loaded_by};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::rehearsal::{
    AddedMembership, LeftAlone, MadeRole, Mark, RehearsalPlan, RoleMark,
};
use towpath_model::schema::CleanSchema;
use towpath_model::script::Statement;
use towpath_model::structure::ObjectKind;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::{Session, SessionOptions};
use towpath_schema::creation_of_role;

use crate::context::{Aside, Context};

/// How often the session that shows that a rehearsal lives says a word: a way to the server on which
/// nothing happens is closed by what is in between.
const WORD_EVERY: Duration = Duration::from_secs(30);

/// What the names of sessions end in that show that a rehearsal lives.
const KEEPER: &str = "rehearse";

/// A scratch database that is there.
pub struct Scratch {
    /// Its name.
    pub database: String,
    /// Roles that it came with.
    pub roles: Vec<String>,
    /// What is not touched.
    pub left_alone: LeftAlone,
    /// What could not be done without a change of what was there.
    pub not_done: Vec<String>,
    keeper: Keeper,
}

impl Scratch {
    /// Where the rehearsal is at work, in the target's place.
    pub fn aside(&self, target: &ConnectionUrl) -> Aside {
        Aside {
            url: of_database(target, &self.database),
            left_alone: self.left_alone.clone(),
        }
    }
}

/// Makes the scratch database of a run on the target's server, like the target's own database, with the
/// roles that are missing. What was made is gone again when this fails.
pub async fn make(
    context: &Context,
    run: &RunId,
    keep: bool,
    schema: &CleanSchema,
) -> Result<Scratch> {
    let target = context.url(Side::Target)?;
    let mut admin = connect(context, &target, run, "scratch").await?;
    let database = RehearsalPlan::database_of(run);
    let made = async {
        let sql = creation(&mut admin, &database).await?;
        let target_loaded_by = match loaded_by(&mut admin).await? {
            LoadedBy::Run(run) => Some(run),
            LoadedBy::Nobody => None,
        };
        let mark = Mark {
            run: run.clone(),
            store: context.store_location()?.to_string(),
            keep,
            target_loaded_by,
            roles: Vec::new(),
            memberships: Vec::new(),
        };
        admin.execute(&sql).await?;
        admin.execute(&marking(&database, &mark)).await?;
        let url = of_database(&target, &database);
        let keeper = Keeper::start(context, &url, run).await?;
        let mut session = connect(context, &url, run, "scratch").await?;
        let scratch = make_roles(&mut session, schema, mark, database.clone(), keeper).await;
        session.close().await;
        scratch
    }
    .await;
    if made.is_err() {
        // Its name holds the random part of an id that this process has just drawn: whatever is
        // there of this name is its own, marked or not. The first failure is the one to tell.
        let sql = format!(
            "drop database if exists {} with (force)",
            quote_identifier(&database)
        );
        let _ = admin.execute(&sql).await;
    }
    admin.close().await;
    made.map_err(|failure| {
        failure.while_doing(format!("could not make scratch database {database}"))
    })
}

#[derive(Deserialize)]
struct DatabaseRow {
    encoding: String,
    collate: String,
    ctype: String,
    provider: String,
    locale: Option<String>,
    rules: Option<String>,
}

/// The statement that makes a database in which text is sorted and encoded as in the one of the
/// session. From `template0`, which nobody has changed and nobody is connected to.
async fn creation(session: &mut Session, database: &str) -> Result<String> {
    let like: DatabaseRow = session
        .fetch_one(
            "select pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
                    d.datcollate as collate, d.datctype as ctype,
                    d.datlocprovider::text as provider,
                    coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale',
                             pg_catalog.to_jsonb(d) ->> 'daticulocale') as locale,
                    pg_catalog.to_jsonb(d) ->> 'daticurules' as rules
               from pg_catalog.pg_database d
              where d.datname = pg_catalog.current_database()",
            &[],
        )
        .await?;
    let mut sql = format!(
        "create database {} template template0 encoding {} lc_collate {} lc_ctype {}",
        quote_identifier(database),
        quote_literal(&like.encoding),
        quote_literal(&like.collate),
        quote_literal(&like.ctype)
    );
    let (provider, word) = match like.provider.as_str() {
        "i" => ("icu", "icu_locale"),
        "b" => ("builtin", "builtin_locale"),
        _ => ("libc", ""),
    };
    sql.push_str(&format!(" locale_provider {provider}"));
    if let (Some(locale), false) = (&like.locale, word.is_empty()) {
        sql.push_str(&format!(" {word} {}", quote_literal(locale)));
    }
    if let Some(rules) = &like.rules {
        sql.push_str(&format!(" icu_rules {}", quote_literal(rules)));
    }
    Ok(sql)
}

fn marking(database: &str, mark: &Mark) -> String {
    format!(
        "comment on database {} is {}",
        quote_identifier(database),
        quote_literal(&mark.render())
    )
}

fn of_database(target: &ConnectionUrl, database: &str) -> ConnectionUrl {
    ConnectionUrl {
        database: database.to_owned(),
        ..target.clone()
    }
}

async fn connect(
    context: &Context,
    url: &ConnectionUrl,
    run: &RunId,
    what: &str,
) -> Result<Session> {
    let options: SessionOptions =
        context.session_options(Side::Target, &format!("towpath/{run}/{what}"));
    let mut session = Session::connect(url, Side::Target, &options).await?;
    // A setting of the login's own must not end what is waited for here.
    session
        .execute("set statement_timeout = 0; set idle_session_timeout = 0")
        .await?;
    Ok(session)
}

#[derive(Deserialize)]
struct NameRow {
    name: String,
}

#[derive(Deserialize)]
struct RoleRow {
    name: String,
    oid: u32,
    comment: Option<String>,
}

/// Memberships of the login, in a form in which a changed one is another one.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct MembershipRow {
    role: String,
    grantor: String,
    options: String,
}

/// Makes the roles of the script that are not there, and the login a member of those that are, in one
/// transaction with the mark that tells so. Without their `if not exists`: a role that somebody else
/// makes at this moment ends the transaction, and is not taken for ours.
async fn make_roles(
    session: &mut Session,
    schema: &CleanSchema,
    mut mark: Mark,
    database: String,
    keeper: Keeper,
) -> Result<Scratch> {
    session.begin_writing("").await?;
    let there: Vec<NameRow> = session
        .fetch("select rolname as name from pg_catalog.pg_roles", &[])
        .await?;
    let there: BTreeSet<String> = there.into_iter().map(|row| row.name).collect();
    let of_roles = schema
        .pre_data
        .iter()
        .filter(|statement| statement.object.kind == ObjectKind::Role);
    let (old, new): (Vec<&Statement>, Vec<&Statement>) =
        of_roles.partition(|statement| there.contains(&statement.object.name));
    for sql in new.iter().filter_map(|it| creation_of_role(&it.sql)) {
        session.execute(sql).await?;
    }
    let mut not_done = Vec::new();
    for statement in old.iter().filter(|it| is_membership_of_login(it)) {
        let role = &statement.object.name;
        match add_membership(session, statement).await? {
            Some(added) => mark.memberships.extend(added),
            None => not_done.push(format!(
                "the membership of the target's login in role {} would get other options",
                towpath_model::name::readable(role)
            )),
        }
    }
    let now = roles(session).await?;
    mark.roles = now
        .into_iter()
        .filter(|role| !there.contains(&role.name))
        .filter(|role| new.iter().any(|it| it.object.name == role.name))
        .map(|role| MadeRole {
            name: role.name,
            oid: role.oid,
        })
        .collect();
    session.execute(&marking(&database, &mark)).await?;
    session.commit().await?;
    Ok(Scratch {
        roles: mark.roles.iter().map(|role| role.name.clone()).collect(),
        left_alone: LeftAlone::new(there, &mark),
        not_done,
        database,
        keeper,
    })
}

async fn roles(session: &mut Session) -> Result<Vec<RoleRow>> {
    session
        .fetch(
            "select rolname as name, oid::int8 as oid,
                    pg_catalog.shobj_description(oid, 'pg_authid') as comment
               from pg_catalog.pg_roles
              order by rolname",
            &[],
        )
        .await
}

/// Whether a statement lets the login act as the role; the load wants it for owners.
fn is_membership_of_login(statement: &Statement) -> bool {
    let plain = format!(
        "grant {} to current_user",
        quote_identifier(&statement.object.name)
    );
    let rest = statement.sql.strip_prefix(&plain);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" with "))
}

/// Adds a membership of the login; gives what to take back. Nothing is done, and nothing given, when
/// it would change one that is there.
async fn add_membership(
    session: &mut Session,
    statement: &Statement,
) -> Result<Option<Vec<AddedMembership>>> {
    let before = memberships(session).await?;
    session.execute("savepoint membership").await?;
    session.execute(&statement.sql).await?;
    let after = memberships(session).await?;
    let is_changed = before.iter().any(|row| !after.contains(row));
    if is_changed {
        session.execute("rollback to savepoint membership").await?;
        return Ok(None);
    }
    let added = after.into_iter().filter(|row| !before.contains(row));
    Ok(Some(
        added
            .map(|row| AddedMembership {
                role: row.role,
                grantor: row.grantor,
            })
            .collect(),
    ))
}

async fn memberships(session: &mut Session) -> Result<BTreeSet<MembershipRow>> {
    let rows: Vec<MembershipRow> = session
        .fetch(
            "select r.rolname as role, pg_catalog.pg_get_userbyid(m.grantor)::text as grantor,
                    pg_catalog.to_jsonb(m)::text as options
               from pg_catalog.pg_auth_members m
               join pg_catalog.pg_roles r on r.oid = m.roleid
               join pg_catalog.pg_roles l on l.oid = m.member
              where l.rolname = current_user",
            &[],
        )
        .await?;
    Ok(rows.into_iter().collect())
}

/// A session to the scratch database for as long as the rehearsal lives. When the process dies, the
/// server sees its end at once: so it tells a dead rehearsal from a live one.
struct Keeper {
    task: JoinHandle<()>,
}

impl Keeper {
    async fn start(context: &Context, url: &ConnectionUrl, run: &RunId) -> Result<Self> {
        let mut session = connect(context, url, run, KEEPER).await?;
        let (context, url, run) = (context.clone(), url.clone(), run.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(WORD_EVERY).await;
                if session.execute("select").await.is_err()
                    && let Ok(again) = connect(&context, &url, &run, KEEPER).await
                {
                    session = again;
                }
            }
        });
        Ok(Self { task })
    }

    async fn end(self) {
        self.task.abort();
        // Its session is closed when the task is gone. That it was aborted is no news.
        let _ = self.task.await;
    }
}

/// Drops a scratch database at the end of its rehearsal; gives what is left, in sentences.
pub async fn unmake(context: &Context, run: &RunId, scratch: Scratch) -> Result<Vec<String>> {
    scratch.keeper.end().await;
    let target = context.url(Side::Target)?;
    let mut admin = connect(context, &target, run, "scratch").await?;
    let found = found(&mut admin).await?;
    let ours = found.into_iter().find(|it| it.database == scratch.database);
    let left = match ours {
        Some(ours) => ours.drop(&mut admin).await?,
        // Somebody was faster; its roles went with it.
        None => Vec::new(),
    };
    admin.close().await;
    Ok(left)
}

/// Leaves the scratch database for its operator.
pub async fn keep(scratch: Scratch) {
    scratch.keeper.end().await;
}

/// A scratch database that an earlier process has left, or that another one is at work in.
pub struct Found {
    /// Its name.
    pub database: String,
    /// Its mark; without one it is none of ours.
    pub mark: Option<Mark>,
    /// A rehearsal is at work in it.
    pub is_live: bool,
}

#[derive(Deserialize)]
struct FoundRow {
    database: String,
    comment: Option<String>,
    owned: bool,
    is_live: bool,
}

/// Every database of the target's server that is named like a scratch database.
async fn found(session: &mut Session) -> Result<Vec<Found>> {
    let rows: Vec<FoundRow> = session
        .fetch(
            "select d.datname as database,
                    pg_catalog.shobj_description(d.oid, 'pg_database') as comment,
                    pg_catalog.pg_has_role(d.datdba, 'USAGE') as owned,
                    exists (select from pg_catalog.pg_stat_activity a
                             where a.datid = d.oid
                               and a.application_name like 'towpath/%/rehearse') as is_live
               from pg_catalog.pg_database d
              order by d.datname",
            &[],
        )
        .await?;
    Ok(rows
        .into_iter()
        .filter(|row| RehearsalPlan::is_named_like_one(&row.database))
        .map(|row| {
            let mark = row.comment.as_deref().and_then(Mark::parse);
            // A comment travels with a dump: it has to be about this very database.
            let is_ours =
                |mark: &Mark| row.owned && RehearsalPlan::database_of(&mark.run) == row.database;
            Found {
                mark: mark.filter(is_ours),
                database: row.database,
                is_live: row.is_live,
            }
        })
        .collect())
}

impl Found {
    /// Drops it with its roles; gives what is left of those.
    ///
    /// In an order in which a process that dies leaves a mark of all that is still there: the
    /// database carries the list of its roles until each role carries a mark of its own.
    async fn drop(self, admin: &mut Session) -> Result<Vec<String>> {
        let Some(mark) = self.mark else {
            return Ok(vec![format!("database {}: it has no mark", self.database)]);
        };
        for added in &mark.memberships {
            let sql = format!("revoke {} from current_user", quote_identifier(&added.role));
            let sql = match admin.version_num() >= 160_000 {
                true => format!("{sql} granted by {}", quote_identifier(&added.grantor)),
                false => sql,
            };
            admin.execute(&sql).await?;
        }
        let in_use = in_use_since(admin, &mark, &self.database).await?;
        let mut left = Vec::new();
        match &in_use {
            None => mark_roles(admin, &mark).await?,
            Some(why) => left.extend(
                mark.roles
                    .iter()
                    .map(|role| format!("role {}: {why}", role.name)),
            ),
        }
        let name = quote_identifier(&self.database);
        admin
            .execute(&format!("drop database if exists {name} with (force)"))
            .await?;
        left.extend(drop_marked_roles(admin).await?);
        Ok(left)
    }
}

/// Why roles that a rehearsal has made may be somebody else's by now. A role that nothing depends on
/// yet can be dropped under whoever means to use it.
async fn in_use_since(
    session: &mut Session,
    mark: &Mark,
    database: &str,
) -> Result<Option<String>> {
    if mark.roles.is_empty() {
        return Ok(None);
    }
    let now = match loaded_by(session).await? {
        LoadedBy::Run(run) => Some(run),
        LoadedBy::Nobody => None,
    };
    if let Some(run) = now.filter(|run| Some(run) != mark.target_loaded_by.as_ref()) {
        return Ok(Some(format!("run {run} has loaded the target meanwhile")));
    }
    let loading = session
        .scalar(
            "select a.datname::text
               from pg_catalog.pg_stat_activity a
              where a.application_name like 'towpath/%/load/%'
                and a.datname <> $1
              limit 1",
            &[database],
        )
        .await?;
    Ok(loading.map(|other| format!("a run is loading database {other}")))
}

/// Marks the roles that are still the ones that were made.
async fn mark_roles(session: &mut Session, mark: &Mark) -> Result<()> {
    let there = roles(session).await?;
    let ours = there.into_iter().filter(|role| {
        let is_it = |made: &MadeRole| made.name == role.name && made.oid == role.oid;
        mark.roles.iter().any(is_it)
    });
    session.begin_writing("").await?;
    for role in ours {
        let is_marked = role.comment.as_deref().and_then(RoleMark::parse).is_some();
        if is_marked {
            continue;
        }
        let of_role = RoleMark {
            run: mark.run.clone(),
            oid: role.oid,
            comment: role.comment,
        };
        comment_on_role(session, &role.name, Some(&of_role.render())).await?;
    }
    session.commit().await
}

async fn comment_on_role(session: &mut Session, role: &str, comment: Option<&str>) -> Result<()> {
    let text = comment.map_or_else(|| "null".to_owned(), quote_literal);
    let sql = format!("comment on role {} is {text}", quote_identifier(role));
    session.execute(&sql).await
}

/// Drops every role that is marked and that nothing depends on; gives those that stay, in sentences.
/// What depends on a role in whatever database keeps it: the server sees to that (`pg_shdepend`).
async fn drop_marked_roles(session: &mut Session) -> Result<Vec<String>> {
    let mut left: Vec<(RoleRow, RoleMark)> = Vec::new();
    for role in roles(session).await? {
        let mark = role.comment.as_deref().and_then(RoleMark::parse);
        if let Some(mark) = mark.filter(|mark| mark.oid == role.oid) {
            left.push((role, mark));
        }
    }
    loop {
        let before = left.len();
        let mut still = Vec::new();
        for (role, mark) in left {
            let sql = format!("drop role if exists {}", quote_identifier(&role.name));
            match session.execute(&sql).await {
                Ok(()) => {}
                Err(failure) if failure.kind() == ErrorKind::Target => still.push((role, mark)),
                Err(failure) => return Err(failure),
            }
        }
        left = still;
        // One may have kept another.
        if left.is_empty() || left.len() == before {
            break;
        }
    }
    let mut told = Vec::new();
    for (role, mark) in left {
        // Somebody else's by now, and not to be found again by the next rehearsal.
        comment_on_role(session, &role.name, mark.comment.as_deref()).await?;
        let name = towpath_model::name::readable(&role.name);
        told.push(format!("role {name}: something else uses it by now"));
    }
    Ok(told)
}

/// What was left by earlier rehearsals, and what became of it.
#[derive(Default)]
pub struct Swept {
    /// Runs whose scratch databases are gone now, with the stores that their rows are staged in.
    pub dropped: Vec<Mark>,
    /// What stays, in sentences.
    pub left: Vec<String>,
}

/// Whose scratch databases are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Those of rehearsals that died.
    Dead,
    /// Those that were kept, too.
    DeadAndKept,
}

/// Looks for what earlier rehearsals have left. `before_drop` is told of each scratch database before it
/// goes, while its mark still tells of what else is left.
pub async fn sweep(
    context: &Context,
    which: Sweep,
    before_drop: impl AsyncFn(&Mark) -> Option<String>,
) -> Result<Swept> {
    let target = context.url(Side::Target)?;
    let options = context.session_options(Side::Target, "towpath/scratch");
    let mut admin = Session::connect(&target, Side::Target, &options).await?;
    let mut swept = Swept::default();
    for scratch in found(&mut admin).await? {
        let name = scratch.database.clone();
        match &scratch.mark {
            None => swept.left.push(format!(
                "database {name} is named like a rehearsal's and is not marked as one: not touched"
            )),
            Some(_) if scratch.is_live => swept.left.push(format!(
                "database {name}: another rehearsal is at work in it"
            )),
            Some(mark) if mark.keep && which == Sweep::Dead => swept.left.push(format!(
                "database {name} was kept; `towpath rehearse --clean` drops it"
            )),
            Some(mark) => {
                let mark = mark.clone();
                swept.left.extend(before_drop(&mark).await);
                let left = scratch.drop(&mut admin).await.map_err(|failure| {
                    failure.while_doing(format!("could not drop scratch database {name}"))
                })?;
                swept.left.extend(left);
                swept.dropped.push(mark);
            }
        }
    }
    // Of a rehearsal that died between its database and its roles.
    swept.left.extend(drop_marked_roles(&mut admin).await?);
    admin.close().await;
    Ok(swept)
}

/// Fails when the login may not make databases: better before anything is read.
pub async fn require_right(context: &Context) -> Result<()> {
    let target = context.url(Side::Target)?;
    let options = context.session_options(Side::Target, "towpath/scratch");
    let mut session = Session::connect(&target, Side::Target, &options).await?;
    let may = session
        .scalar(
            "select (rolcreatedb or rolsuper)::text from pg_catalog.pg_roles
              where rolname = current_user",
            &[],
        )
        .await?;
    session.close().await;
    if may.as_deref() == Some("true") {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("{} may not make databases on the target", target.user),
    )
    .hint("rehearse as the instance's master user, or `alter role … createdb`"))
}
