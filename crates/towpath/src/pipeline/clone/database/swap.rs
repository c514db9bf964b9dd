//! The swap: two renames and two marks in one transaction.
//!
//! Renaming waits for the sessions of a database to end, up to 5 s, and new ones wait meanwhile: it
//! holds a lock on the database that they need (`RenameDatabase` and `CountOtherDBBackends` in
//! PostgreSQL's `dbcommands.c` and `procarray.c`). So sessions are drained by trying to rename. To
//! forbid connections (`allow_connections false`) would have to be committed first, and a process that
//! died then would leave a clone that nobody can use.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use towpath_model::clone::{CloneMark, CloneState};
use towpath_model::event::Stage;
use towpath_model::name::{quote_identifier, quote_literal, readable};
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;
use towpath_postgres::catalog::queries::sqlstate;

use super::marks::{Found, found};
use super::{Building, Destination, blocked, drop_database, lock, require_name};
use crate::clock;
use crate::context::Context;
use crate::pipeline::aside::marking;
use crate::table::counted;

/// How often the renames are tried with sessions being ended: whoever is quick may connect between the
/// end of a session and the lock.
const ATTEMPTS: u32 = 3;

/// How long one attempt waits for sessions to end; the server's own limit.
const ONE_ATTEMPT: Duration = Duration::from_secs(5);

const END_EVERY: Duration = Duration::from_millis(50);

/// Nobody drains for longer; a clock has an end.
const LONGEST_DRAIN: Duration = Duration::from_secs(366 * 86_400);

/// What a swap has done.
#[derive(Debug, Clone, Default)]
pub struct Swapped {
    /// What the clone before is called now.
    pub kept: Option<String>,
    /// Kept clones that were dropped, because there were too many.
    pub dropped: Vec<String>,
    /// Sessions that were ended, because they did not end by themselves.
    pub ended: usize,
    /// What was not done, in sentences.
    pub left: Vec<String>,
}

/// Swaps the clone in: both names in one transaction.
pub async fn swap(
    context: &Context,
    destination: &Destination,
    building: Building,
    serving: &CloneMark,
    keep: usize,
) -> Result<Swapped> {
    let run = &serving.run;
    let mut admin = destination.admin(context, run).await?;
    let swapped = async {
        // The lock first: without the keeper the database looks as if nobody wanted it.
        lock(&mut admin, destination).await?;
        building.keeper.end().await;
        let outgoing = require_name(&mut admin, destination).await?;
        let incoming = found(&mut admin).await?.into_iter().find(|it| {
            it.oid == building.mark.oid && it.is(&destination.name, CloneState::Building)
        });
        let incoming = incoming.ok_or_else(|| {
            Failure::new(
                ErrorKind::Conflict,
                format!(
                    "database {} is gone, or no longer marked",
                    building.mark.database()
                ),
            )
            .hint("the same command begins anew")
        })?;
        let exchange = Exchange {
            name: destination.name.clone(),
            serving: CloneMark {
                roles: building.mark.roles.clone(),
                oid: incoming.oid,
                ..serving.clone()
            },
            incoming,
            outgoing: outgoing.map(Outgoing::of).transpose()?,
        };
        let mut swapped = exchange.make(context, destination, &mut admin).await?;
        drop_surplus(&mut admin, &destination.name, keep, &mut swapped).await;
        Ok(swapped)
    }
    .await;
    admin.close().await;
    swapped
}

/// Ends what a process that died after its swap had still to do.
pub async fn finish(
    context: &Context,
    destination: &Destination,
    serving: &CloneMark,
    keep: usize,
) -> Result<Swapped> {
    let mut admin = destination.admin(context, &serving.run).await?;
    let finished = async {
        lock(&mut admin, destination).await?;
        let kept = kept_of(&mut admin, &destination.name).await?;
        let mut swapped = Swapped {
            kept: kept.last().map(|it| it.database.clone()),
            ..Swapped::default()
        };
        drop_surplus(&mut admin, &destination.name, keep, &mut swapped).await;
        Ok(swapped)
    }
    .await;
    admin.close().await;
    finished
}

/// Puts the latest kept clone back into its place; the one that served, if there is one, is kept in its
/// stead.
pub async fn put_back(
    context: &Context,
    destination: &Destination,
    agreed: impl FnOnce(&CloneMark, Option<&CloneMark>) -> Result<()>,
) -> Result<(CloneMark, Swapped)> {
    let run = clock::new_run_id()?;
    let mut admin = destination.admin(context, &run).await?;
    let back = async {
        lock(&mut admin, destination).await?;
        let name = &destination.name;
        let none = || {
            Failure::new(
                ErrorKind::NotFound,
                format!(
                    "no kept clone of {} on {} takes connections",
                    readable(name),
                    destination.server()
                ),
            )
            .hint("`towpath clones` lists those that are there")
        };
        let serving = require_name(&mut admin, destination).await?;
        let outgoing = serving.map(Outgoing::of).transpose()?;
        let kept = kept_of(&mut admin, name).await?;
        // One that is dropped halfway would serve nobody.
        let latest = kept.into_iter().rev().find(|it| it.is_open);
        let incoming = latest.ok_or_else(none)?;
        let mark = incoming.mark.clone().ok_or_else(none)?;
        agreed(&mark, outgoing.as_ref().map(|it| &it.mark))?;
        let exchange = Exchange {
            name: name.clone(),
            serving: CloneMark {
                state: CloneState::Serving,
                at: clock::now(),
                ..mark
            },
            incoming,
            outgoing,
        };
        let swapped = exchange.make(context, destination, &mut admin).await?;
        Ok((exchange.serving, swapped))
    }
    .await;
    admin.close().await;
    back
}

/// A clone that makes room.
struct Outgoing {
    oid: u32,
    /// As it will be marked.
    mark: CloneMark,
}

impl Outgoing {
    fn of(found: Found) -> Result<Self> {
        let mark = found.mark.ok_or_else(|| {
            Failure::new(ErrorKind::Internal, "a clone without a mark makes no room")
        })?;
        Ok(Self {
            oid: found.oid,
            mark: CloneMark {
                state: CloneState::Kept,
                at: clock::now(),
                ..mark
            },
        })
    }
}

/// Two databases that change places.
struct Exchange {
    name: String,
    incoming: Found,
    /// As the incoming one will be marked.
    serving: CloneMark,
    outgoing: Option<Outgoing>,
}

/// Whether the places are changed.
enum Attempt {
    Done,
    /// Somebody is connected.
    Busy,
}

#[derive(Deserialize)]
struct SessionRow {
    pid: i64,
    who: String,
    may_end: bool,
}

#[derive(Deserialize)]
struct CountRow {
    database: String,
    count: u64,
}

impl Exchange {
    /// Changes the places, when sessions have ended or are ended.
    async fn make(
        &self,
        context: &Context,
        destination: &Destination,
        admin: &mut Session,
    ) -> Result<Swapped> {
        let mut ended = BTreeSet::new();
        Box::pin(self.drain(context, destination, admin, &mut ended)).await?;
        Ok(Swapped {
            kept: self.outgoing.as_ref().map(|it| it.mark.database()),
            ended: ended.len(),
            ..Swapped::default()
        })
    }

    async fn drain(
        &self,
        context: &Context,
        destination: &Destination,
        admin: &mut Session,
        ended: &mut BTreeSet<i64>,
    ) -> Result<()> {
        let polite = drain(context)?;
        let there = self.sessions(admin).await?.len();
        if there > 0 && !polite.is_zero() {
            let text = format!(
                "waiting up to {} s for {} of clone {} to end",
                polite.as_secs(),
                counted(there as u64, "session"),
                readable(&self.name)
            );
            context.events.note(Stage::Switch, text);
        }
        let deadline = Instant::now() + polite;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            context.stop.check()?;
            let attempt = self.attempt(admin, left.min(ONE_ATTEMPT)).await;
            if let Attempt::Done = self.heard(context, destination, admin, attempt).await? {
                return Ok(());
            }
        }
        // Who looks in for a moment had time to leave; and nobody's session is ended for nothing.
        self.require_possible(admin).await?;
        for _ in 0..ATTEMPTS {
            context.stop.check()?;
            let mut other = destination.admin(context, &self.serving.run).await?;
            let attempt = self.attempt_while_ending(admin, &mut other, ended).await;
            other.close().await;
            if let Attempt::Done = self.heard(context, destination, admin, attempt).await? {
                return Ok(());
            }
        }
        self.require_possible(admin).await?;
        let still: BTreeSet<String> = self
            .sessions(admin)
            .await?
            .into_iter()
            .map(|it| it.who)
            .collect();
        let who: Vec<String> = still.into_iter().collect();
        let who = match who.is_empty() {
            true => "whoever connects again at once".to_owned(),
            false => who.join(", "),
        };
        Err(blocked(format!(
            "clone {} could not be swapped: {who} could not be disconnected; nothing is changed",
            readable(&self.name)
        ))
        .hint("stop what connects there, then the same command goes on"))
    }

    /// One attempt, while another session ends those that are in its way. An attempt that is begun is
    /// waited for: its transaction may be committed already.
    async fn attempt_while_ending(
        &self,
        admin: &mut Session,
        other: &mut Session,
        ended: &mut BTreeSet<i64>,
    ) -> Result<Attempt> {
        let mut attempt = pin!(self.attempt(admin, ONE_ATTEMPT * 2));
        tokio::select! {
            attempt = &mut attempt => attempt,
            () = self.end_sessions(other, ended) => attempt.await,
        }
    }

    /// An attempt, or what became of it when its answer was lost. The lock of the name is its
    /// session's: who gets it next sees what the server has made of the transaction.
    async fn heard(
        &self,
        context: &Context,
        destination: &Destination,
        admin: &mut Session,
        attempt: Result<Attempt>,
    ) -> Result<Attempt> {
        let lost = match attempt {
            Err(lost) if lost.kind() == ErrorKind::Connect => lost,
            attempt => return attempt,
        };
        let there = async {
            *admin = destination.admin(context, &self.serving.run).await?;
            lock(admin, destination).await?;
            found(admin).await
        }
        .await;
        let is_done =
            |it: &Found| it.oid == self.incoming.oid && it.mark.as_ref() == Some(&self.serving);
        match there {
            Ok(there) if there.iter().any(is_done) => Ok(Attempt::Done),
            Ok(_) => Err(lost),
            Err(_) => Err(lost.hint(
                "whether the clone is swapped in is not known: `towpath clones` tells, and the same command goes on from there",
            )),
        }
    }

    fn oids(&self) -> String {
        let outgoing = self.outgoing.iter().map(|it| it.oid.to_string());
        let mut oids: Vec<String> = outgoing.collect();
        oids.push(self.incoming.oid.to_string());
        oids.join(", ")
    }

    /// Refuses what no session can be ended for.
    async fn require_possible(&self, admin: &mut Session) -> Result<()> {
        let prepared: Vec<CountRow> = admin
            .fetch(
                &format!(
                    "select d.datname as database, count(*) as count
                       from pg_catalog.pg_prepared_xacts x
                       join pg_catalog.pg_database d on d.datname = x.database
                      where d.oid in ({})
                      group by d.datname",
                    self.oids()
                ),
                &[],
            )
            .await?;
        if let Some(row) = prepared.first() {
            return Err(blocked(format!(
                "database {} cannot be renamed, because it holds {}; nothing is changed",
                readable(&row.database),
                counted(row.count, "prepared transaction")
            ))
            .hint("in that database, `select gid from pg_prepared_xacts where database = current_database()`, and `commit prepared` or `rollback prepared` each of them; then the same command goes on"));
        }
        let sessions = self.sessions(admin).await?;
        let Some(stuck) = sessions.iter().find(|it| !it.may_end) else {
            return Ok(());
        };
        Err(blocked(format!(
            "{} is connected to clone {}, and this login may not end that session; nothing is changed",
            stuck.who,
            readable(&self.name)
        ))
        .hint("stop what connects there, or `grant pg_signal_backend` to this login; a superuser's session only a superuser can end. Then the same command goes on"))
    }

    /// Sessions of either database. Workers of the server end by themselves: the rename tells those of
    /// autovacuum to.
    async fn sessions(&self, admin: &mut Session) -> Result<Vec<SessionRow>> {
        let sql = format!(
            "select a.pid::int8 as pid,
                    pg_catalog.concat(coalesce(a.usename, '?'),
                      case when a.application_name <> '' then ' (' || a.application_name || ')' end)
                      as who,
                    (select rolsuper from pg_catalog.pg_roles where rolname = current_user)
                    or (not coalesce(r.rolsuper, true)
                        and (pg_catalog.pg_has_role(a.usesysid, 'USAGE')
                             or pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))) as may_end
               from pg_catalog.pg_stat_activity a
               left join pg_catalog.pg_roles r on r.oid = a.usesysid
              where a.datid in ({})
                and a.usesysid is not null
                and a.leader_pid is null
              order by a.pid",
            self.oids()
        );
        admin.fetch(&sql, &[]).await
    }

    /// Ends sessions for as long as an attempt can last, or its own session does. Whoever connects when
    /// the places are changed is nobody's to end.
    async fn end_sessions(&self, session: &mut Session, ended: &mut BTreeSet<i64>) {
        // By then the number may be that of somebody else's session.
        let end = format!(
            "select pg_catalog.pg_terminate_backend(a.pid)::text
               from pg_catalog.pg_stat_activity a
              where a.pid = $1::int4 and a.datid in ({})",
            self.oids()
        );
        let deadline = Instant::now() + ONE_ATTEMPT * 2;
        while Instant::now() < deadline {
            let Ok(there) = self.sessions(session).await else {
                return;
            };
            for it in there {
                // Gone by itself, or not ours to end: the rename will say so.
                let told = session.scalar(&end, &[&it.pid.to_string()]).await;
                if let Ok(Some("true")) = told.as_ref().map(Option::as_deref) {
                    ended.insert(it.pid);
                }
            }
            tokio::time::sleep(END_EVERY).await;
        }
    }

    /// One transaction, in one message: the locks of the renames are held while the server is at work
    /// and never while it waits for a client, who may be gone with its machine. Whatever fails in it has
    /// not happened.
    async fn attempt(&self, admin: &mut Session, limit: Duration) -> Result<Attempt> {
        let Err(failure) = admin.execute(&self.script(limit)).await else {
            return Ok(Attempt::Done);
        };
        // The first failure is the news.
        let _ = admin.rollback().await;
        match sqlstate(&failure) {
            // object_in_use, query_canceled
            Some("55006" | "57014") => Ok(Attempt::Busy),
            // invalid_catalog_name, duplicate_database, and what `is_now` raises
            Some("3D000" | "42P04" | OVERTAKEN) => Err(self.overtaken().because(failure)),
            _ => Err(failure),
        }
    }

    fn overtaken(&self) -> Failure {
        Failure::new(
            ErrorKind::Conflict,
            format!(
                "somebody else has renamed, made or dropped a database of clone {} meanwhile",
                readable(&self.name)
            ),
        )
        .hint("`towpath clones` shows what is there; the same command goes on")
    }

    fn script(&self, limit: Duration) -> String {
        let mut script = vec![
            "begin".to_owned(),
            format!("set local statement_timeout = {}", limit.as_millis().max(1)),
        ];
        if let Some(outgoing) = &self.outgoing {
            let kept = outgoing.mark.database();
            script.push(renaming(&self.name, &kept));
            script.push(is_now(outgoing.oid, &kept));
            script.push(marking(&kept, &outgoing.mark.render()));
        }
        script.push(renaming(&self.incoming.database, &self.name));
        script.push(is_now(self.incoming.oid, &self.name));
        script.push(marking(&self.name, &self.serving.render()));
        script.push("commit".to_owned());
        script.join(";\n")
    }
}

/// What a transaction ends with that has renamed another database than it meant: a class of its own.
const OVERTAKEN: &str = "TPSWP";

fn renaming(from: &str, to: &str) -> String {
    format!(
        "alter database {} rename to {}",
        quote_identifier(from),
        quote_identifier(to)
    )
}

/// Makes sure that it was the database that was looked at: another one may have got its name since.
fn is_now(oid: u32, name: &str) -> String {
    let body = format!(
        "begin
           if not exists (select from pg_catalog.pg_database
                           where oid operator(pg_catalog.=) {oid}::pg_catalog.oid
                             and datname operator(pg_catalog.=) {}) then
             raise exception using errcode = {}, message = 'another database has this name by now';
           end if;
         end",
        quote_literal(name),
        quote_literal(OVERTAKEN)
    );
    format!("do {}", quote_literal(&body))
}

/// How long sessions have to end by themselves.
fn drain(context: &Context) -> Result<Duration> {
    context
        .settings
        .count("clone.drain_s")
        .map(|seconds| Duration::from_secs(seconds).min(LONGEST_DRAIN))
}

/// Kept clones of a name, the oldest first.
async fn kept_of(admin: &mut Session, name: &str) -> Result<Vec<Found>> {
    let all = found(admin).await?;
    let mut kept: Vec<Found> = all
        .into_iter()
        .filter(|it| it.is(name, CloneState::Kept) && it.is_owned)
        .collect();
    kept.sort_by(|a, b| age(a).cmp(&age(b)));
    Ok(kept)
}

fn age(found: &Found) -> Option<(&str, &RunId)> {
    let mark = found.mark.as_ref()?;
    Some((&mark.at, &mark.run))
}

/// Drops kept clones beyond a number, the oldest first. The new one serves: what cannot be dropped is
/// told, and is no failure of the clone.
async fn drop_surplus(admin: &mut Session, name: &str, keep: usize, swapped: &mut Swapped) {
    let kept = match kept_of(admin, name).await {
        Ok(kept) => kept,
        Err(failure) => {
            swapped
                .left
                .push(format!("kept clones were not looked through: {failure:?}"));
            return;
        }
    };
    let surplus = kept.len().saturating_sub(keep);
    for old in kept.into_iter().take(surplus) {
        match drop_database(admin, &old.database).await {
            Ok(()) => {
                if swapped.kept.as_ref() == Some(&old.database) {
                    swapped.kept = None;
                }
                swapped.dropped.push(old.database);
            }
            Err(failure) => swapped.left.push(format!(
                "database {} is one too many and could not be dropped: {failure:?}",
                old.database
            )),
        }
    }
}
