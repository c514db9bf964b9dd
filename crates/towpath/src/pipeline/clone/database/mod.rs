//! Databases of clones: made aside, marked, swapped in by one transaction, kept and dropped.
//!
//! Three rules. Nothing is renamed or dropped that does not carry a mark about this very database.
//! Between two statements a process may die: at each point exactly one verified clone is called by its
//! name, and the marks tell the next process where the last one was. And no statement that is
//! committed by itself ever takes the serving clone away: what the swap does is one transaction.

mod checks;
pub mod marks;
mod swap;

use std::time::Duration;

use serde::Deserialize;
use towpath_model::clone::{CloneMark, ClonePlan, CloneState};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Stage;
use towpath_model::name::{quote_identifier, readable};
use towpath_model::plan::Plan;
use towpath_model::rehearsal::LeftAlone;
use towpath_model::schema::CleanSchema;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;
use towpath_postgres::catalog::queries::sqlstate;

use crate::context::{self, Context};
use crate::pipeline::aside::keeper::{Keeper, NOTICE_SOON};
use crate::pipeline::aside::roles::{self, make_roles};
use crate::pipeline::aside::{connect, creation, marking, of_database};
use marks::{Found, KEEPER, found};

pub use checks::checks;
pub use swap::{Swapped, finish, put_back, swap};

/// How long a command waits for another one that is at work on the same name.
const OTHERS: Duration = Duration::from_secs(60);

/// How long a process that was killed may seem to live: its server has to hear of it.
const ECHO: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where a clone goes.
#[derive(Debug, Clone)]
pub struct Destination {
    /// A database on its server: the one to connect to for what is done to databases.
    pub url: ConnectionUrl,
    /// Name of the clone's database.
    pub name: String,
}

impl Destination {
    /// The URL of another database on the server.
    pub fn database(&self, name: &str) -> ConnectionUrl {
        of_database(&self.url, name)
    }

    /// `host:port`, for people.
    pub fn server(&self) -> String {
        format!("{}:{}", self.url.host, self.url.port)
    }

    /// What a refused connection means that goes by this way.
    fn explained(&self, failure: Failure) -> Failure {
        let is_missing = sqlstate(&failure) == Some("3D000");
        if is_missing {
            return failure.hint(format!(
                "databases are made by way of database {}; export TOWPATH_CLONE_URL with another one of that server",
                readable(&self.url.database)
            ));
        }
        match failure.kind() {
            ErrorKind::Authentication if self.url.password.is_none() => failure
                .hint("there is no password in the URL of --to: export TOWPATH_CLONE_PASSWORD=…"),
            _ => failure,
        }
    }

    async fn admin(&self, context: &Context, run: &RunId) -> Result<Session> {
        connect(context, &self.url, run, "swap").await
    }
}

/// A database that a clone is built in.
pub struct Building {
    /// Where it is.
    pub url: ConnectionUrl,
    /// What is of the server and was there before.
    pub left_alone: LeftAlone,
    /// The mark that it carries.
    mark: CloneMark,
    keeper: Keeper,
}

impl Building {
    /// It, in the target's place.
    pub fn aside(&self) -> context::Aside {
        context::Aside {
            url: self.url.clone(),
            left_alone: self.left_alone.clone(),
        }
    }
}

#[derive(Deserialize)]
struct LoginRow {
    makes_databases: bool,
    is_standby: bool,
}

#[derive(Deserialize)]
struct TakenRow {
    owner: String,
}

/// Refuses a login that cannot do what a clone needs, and a name that is taken by something else.
pub async fn require_right(context: &Context, destination: &Destination) -> Result<()> {
    let options = context.session_options(Side::Target, "towpath/clone");
    let mut session = Session::connect(&destination.url, Side::Target, &options)
        .await
        .map_err(|failure| destination.explained(failure))?;
    let refused = async {
        let login: LoginRow = session
            .fetch_one(
                "select rolcreatedb or rolsuper as makes_databases,
                        pg_catalog.pg_is_in_recovery() as is_standby
                   from pg_catalog.pg_roles
                  where rolname = current_user",
                &[],
            )
            .await?;
        let server = destination.server();
        if login.is_standby {
            return Err(blocked(format!("{server} is a read replica"))
                .hint("give --to, clone.url or the target a server that takes writes"));
        }
        if !login.makes_databases {
            let user = &destination.url.user;
            return Err(
                blocked(format!("{user} may not make databases on {server}"))
                    .hint("clone as the instance's master user, or `alter role … createdb`"),
            );
        }
        require_name(&mut session, destination).await.map(|_| ())
    }
    .await;
    session.close().await;
    refused
}

fn blocked(what: String) -> Failure {
    Failure::new(ErrorKind::Blocked, what)
}

/// The clone that serves under the name. Refuses a database of that name that is none, or that the
/// login may not rename.
async fn require_name(session: &mut Session, destination: &Destination) -> Result<Option<Found>> {
    let name = &destination.name;
    let all = found(session).await?;
    if let Some(serving) = all.into_iter().find(|it| it.is(name, CloneState::Serving)) {
        if serving.is_owned {
            return Ok(Some(serving));
        }
        let user = &destination.url.user;
        return Err(blocked(format!(
            "clone {} is there and does not belong to {user}",
            readable(name)
        ))
        .hint("clone as its owner, or make this login a member of that role"));
    }
    let taken: Vec<TakenRow> = session
        .fetch(
            "select pg_catalog.pg_get_userbyid(datdba)::text as owner
               from pg_catalog.pg_database
              where datname = $1",
            &[name],
        )
        .await?;
    match taken.first() {
        None => Ok(None),
        Some(taken) => Err(blocked(format!(
            "database {} of {} is there and is no clone of towpath's",
            readable(name),
            taken.owner
        ))
        .hint("give --to another name: towpath takes the place of nothing that it has not made")),
    }
}

/// What earlier processes have not finished for this name and nobody is at work on: clones that are
/// swapped in and perhaps not told so, then those that are being built, the latest first.
pub async fn unfinished(context: &Context, destination: &Destination) -> Result<Vec<CloneMark>> {
    let options = context.session_options(Side::Target, "towpath/clone");
    let mut session = Session::connect(&destination.url, Side::Target, &options).await?;
    let all = of_the_dead(&mut session, destination).await;
    session.close().await;
    let name = &destination.name;
    let mut marks: Vec<CloneMark> = all?
        .into_iter()
        .filter(|it| it.is_owned && it.is_open)
        .filter(|it| it.is(name, CloneState::Serving) || it.is(name, CloneState::Building))
        .filter_map(|it| it.mark)
        .collect();
    let is_building = |mark: &CloneMark| mark.state == CloneState::Building;
    marks.sort_by(|a, b| {
        let order = is_building(a).cmp(&is_building(b));
        order.then_with(|| (&b.at, &b.run).cmp(&(&a.at, &a.run)))
    });
    Ok(marks)
}

/// Every clone of the server, while nobody is at work on one of this name. A process that was killed a
/// moment ago is given the time that its server needs to notice.
async fn of_the_dead(session: &mut Session, destination: &Destination) -> Result<Vec<Found>> {
    let deadline = tokio::time::Instant::now() + ECHO;
    loop {
        let all = found(session).await?;
        let at_work = all.iter().find_map(|it| match &it.mark {
            Some(mark) if it.is(&destination.name, CloneState::Building) => {
                Some((mark, it.keeper.as_ref()?))
            }
            _ => None,
        });
        let Some((mark, keeper)) = at_work else {
            return Ok(all);
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(Failure::new(
                ErrorKind::LeaseHeld,
                format!(
                    "run {} is at work on clone {}: its session {keeper} is in database {}",
                    mark.run,
                    readable(&mark.name),
                    mark.database()
                ),
            )
            .hint(
                "wait for it; if its machine is gone, end that session with pg_terminate_backend",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Holds the name against other processes until the session ends. The lock is one of the database that
/// is connected to: who comes by another one is stopped by what the swap's transaction asks.
async fn lock(session: &mut Session, destination: &Destination) -> Result<()> {
    session.execute(NOTICE_SOON).await?;
    session
        .execute(&format!("set lock_timeout = '{}s'", OTHERS.as_secs()))
        .await?;
    let taken = session
        .scalar(
            "select pg_catalog.pg_advisory_lock(
                      pg_catalog.hashtextextended('towpath clone ' || $1, 0))::text",
            &[&destination.name],
        )
        .await;
    let done = taken.map_err(|failure| {
        let held = sqlstate(&failure) == Some("55P03");
        match held {
            true => Failure::new(
                ErrorKind::LeaseHeld,
                format!(
                    "another process is at work on clone {}",
                    readable(&destination.name)
                ),
            )
            .because(failure)
            .hint("wait for it, then the same command goes on"),
            false => failure,
        }
    });
    session.execute("set lock_timeout = 0").await?;
    done.map(|_| ())
}

/// Makes the database aside, with the roles that are missing. What was made is gone again when this
/// fails, but for roles: other databases may hold by them by now.
pub async fn make(
    context: &Context,
    destination: &Destination,
    schema: &CleanSchema,
    mark: &CloneMark,
) -> Result<Building> {
    let run = &mark.run;
    let database = ClonePlan::aside_of(run);
    let mut admin = destination.admin(context, run).await?;
    lock(&mut admin, destination).await?;
    for told in sweep(&mut admin, destination).await? {
        context.events.note(Stage::Load, told);
    }
    let made = async {
        let sql = creation(&mut admin, &database).await?;
        admin.execute(&sql).await?;
        let oid = oid_of(&mut admin, &database).await?;
        let mark = CloneMark {
            oid,
            ..mark.clone()
        };
        admin.execute(&marking(&database, &mark.render())).await?;
        occupy(context, destination, schema, mark).await
    }
    .await;
    if made.is_err() {
        // Its name holds the random part of an id that this process has drawn: whatever is there of
        // this name is its own, marked or not. The first failure is the one to tell.
        let _ = drop_database(&mut admin, &database).await;
    }
    admin.close().await;
    made.map_err(|failure| failure.while_doing(format!("could not make database {database}")))
}

/// Goes on with a database that an earlier process has left.
pub async fn reopen(
    context: &Context,
    destination: &Destination,
    schema: &CleanSchema,
    mark: &CloneMark,
) -> Result<Building> {
    let database = ClonePlan::aside_of(&mark.run);
    let mut admin = destination.admin(context, &mark.run).await?;
    lock(&mut admin, destination).await?;
    let all = of_the_dead(&mut admin, destination).await?;
    let now = all.into_iter().find(|it| it.database == database);
    let reopened = match now.and_then(|it| it.mark) {
        Some(mark) => occupy(context, destination, schema, mark).await,
        None => Err(Failure::new(
            ErrorKind::Conflict,
            format!("database {database} is gone, or no longer marked"),
        )
        .hint("the same command begins anew")),
    };
    admin.close().await;
    reopened
}

/// Shows that somebody is at work in a marked database, and makes the roles that are missing.
async fn occupy(
    context: &Context,
    destination: &Destination,
    schema: &CleanSchema,
    mut mark: CloneMark,
) -> Result<Building> {
    let database = mark.database();
    let url = destination.database(&database);
    let keeper = Keeper::start(context, &url, &mark.run, KEEPER).await?;
    let mut session = connect(context, &url, &mark.run, "swap").await?;
    let of_before = mark.roles.clone();
    let roles = make_roles(&mut session, schema, |roles| {
        mark.roles.extend(roles.made.iter().cloned());
        marking(&database, &mark.render())
    })
    .await;
    // Made by an earlier process of this run: the load has still to finish them.
    let there = roles::roles(&mut session).await;
    session.close().await;
    let (roles, there) = (roles?, there?);
    for left in &roles.not_done {
        context
            .events
            .note(Stage::Load, format!("not done: {left}"));
    }
    let ours = |name: &String| {
        let oid = there.iter().find(|it| it.name == *name).map(|it| it.oid);
        let is_it = |made: &&towpath_model::rehearsal::MadeRole| {
            made.name == *name && Some(made.oid) == oid
        };
        of_before.iter().find(is_it).is_some()
    };
    let before = roles.before.into_iter().filter(|name| !ours(name));
    Ok(Building {
        left_alone: LeftAlone::new(before, mark.render()),
        url,
        mark,
        keeper,
    })
}

async fn oid_of(session: &mut Session, database: &str) -> Result<u32> {
    #[derive(Deserialize)]
    struct OidRow {
        oid: u32,
    }
    let row: OidRow = session
        .fetch_one(
            "select oid::int8 as oid from pg_catalog.pg_database where datname = $1",
            &[database],
        )
        .await?;
    Ok(row.oid)
}

async fn drop_database(session: &mut Session, database: &str) -> Result<()> {
    let name = quote_identifier(database);
    let sql = format!("drop database if exists {name} with (force)");
    session.execute(&sql).await
}

/// Drops what was begun under this name and is not gone on with; gives what became of it, in sentences.
/// Under the lock of the name; refuses when somebody is at work.
async fn sweep(session: &mut Session, destination: &Destination) -> Result<Vec<String>> {
    let all = of_the_dead(session, destination).await?;
    let dead = all
        .into_iter()
        .filter(|it| it.is(&destination.name, CloneState::Building) && it.is_owned);
    let mut told = Vec::new();
    for it in dead {
        let database = &it.database;
        told.push(match drop_database(session, database).await {
            Ok(()) => format!("dropped {database}: an unfinished clone that is not gone on with"),
            // Somebody looks at it whom this login may not disconnect. It is in nobody's way.
            Err(failure) => {
                format!("unfinished clone {database} could not be dropped: {failure:?}")
            }
        });
    }
    Ok(told)
}

/// Leaves a database as it is, to be looked at.
pub async fn leave(building: Building) {
    building.keeper.end().await;
}

/// The database of a clone's run, wherever it is by now, in the target's place.
pub async fn of_run(
    context: &Context,
    destination: &Destination,
    plan: &Plan,
) -> Result<context::Aside> {
    let mut session = destination.admin(context, &plan.run).await?;
    let looked = async {
        let all = found(&mut session).await?;
        let of_run = |it: &Found| it.mark.as_ref().is_some_and(|mark| mark.run == plan.run);
        let ours = all.into_iter().find(of_run);
        let there = roles::roles(&mut session).await?;
        Ok::<_, Failure>((ours, there))
    }
    .await;
    session.close().await;
    let (ours, there) = looked?;
    let Some((database, mark)) = ours.and_then(|it| Some((it.database, it.mark?))) else {
        return Err(Failure::new(
            ErrorKind::NotFound,
            format!(
                "no database on {} holds the clone of run {}",
                destination.server(),
                plan.run
            ),
        )
        .hint(
            "`towpath clones` lists those that are there; a clone that was too many is dropped",
        ));
    };
    let is_made = |role: &roles::RoleRow| {
        mark.roles
            .iter()
            .any(|made| made.name == role.name && made.oid == role.oid)
    };
    let before = there.iter().filter(|role| !is_made(role));
    Ok(context::Aside {
        left_alone: LeftAlone::new(before.map(|role| role.name.clone()), mark.render()),
        url: destination.database(&database),
    })
}
