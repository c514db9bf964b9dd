//! The scratch database of a rehearsal: made, marked, and dropped with what came with it.
//!
//! Two rules. Nothing is dropped that is not marked as a rehearsal's, by a comment that names the very
//! database or role that it is on. And nothing is made that no mark tells of: whoever comes after a
//! killed process finds all of it on the server itself.

use serde::Deserialize;
use towpath_load::{LoadedBy, loaded_by};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::rehearsal::{LeftAlone, MadeRole, Mark, RehearsalPlan, RoleMark};
use towpath_model::schema::CleanSchema;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;

use crate::context::{Aside, Context};
use crate::pipeline::aside::keeper::Keeper;
use crate::pipeline::aside::roles::{RoleRow, make_roles, roles};
use crate::pipeline::aside::{connect, creation, marking, of_database};

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
        admin.execute(&marking(&database, &mark.render())).await?;
        let url = of_database(&target, &database);
        let keeper = Keeper::start(context, &url, run, KEEPER).await?;
        let mut session = connect(context, &url, run, "scratch").await?;
        let mut marked = mark;
        let roles = make_roles(&mut session, schema, |roles| {
            marked.roles.clone_from(&roles.made);
            marked.memberships.clone_from(&roles.memberships);
            marking(&database, &marked.render())
        })
        .await;
        session.close().await;
        let roles = roles?;
        Ok(Scratch {
            roles: roles.made.into_iter().map(|role| role.name).collect(),
            left_alone: LeftAlone::new(roles.before, marked.render()),
            not_done: roles.not_done,
            database: database.clone(),
            keeper,
        })
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
    made.map_err(|failure: Failure| {
        failure.while_doing(format!("could not make scratch database {database}"))
    })
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
