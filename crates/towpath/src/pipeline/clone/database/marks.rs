//! What the marks on a server tell: which databases are clones, and whether somebody is at work.

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::clone::{CloneMark, ClonePlan, CloneState};
use towpath_postgres::Session;

/// What the names of sessions end in that show that somebody is at work on a clone.
pub const KEEPER: &str = "clone";

/// A database that is a clone, or is named like one that is built or kept.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name.
    pub database: String,
    /// Its OID.
    pub oid: u32,
    /// Its mark, when that is about this very database.
    pub mark: Option<CloneMark>,
    /// The login has the rights of its owner.
    pub is_owned: bool,
    /// It takes connections. One whose `drop database` was interrupted never does again, and can only be
    /// dropped (`datconnlimit` of -2 in PostgreSQL's `pg_database.h`).
    pub is_open: bool,
    /// The session of who is at work in it: `towpath/RUN/clone`.
    pub keeper: Option<String>,
    /// Its size, where the login may know it.
    pub bytes: Option<u64>,
}

impl Found {
    /// Whether it is a clone of a name in a state.
    pub fn is(&self, name: &str, state: CloneState) -> bool {
        let of_name = |mark: &CloneMark| mark.name == name && mark.state == state;
        self.mark.as_ref().is_some_and(of_name)
    }
}

#[derive(Deserialize)]
struct FoundRow {
    database: String,
    oid: u32,
    comment: Option<String>,
    owned: bool,
    open: bool,
    keeper: Option<String>,
    bytes: Option<u64>,
}

/// Every clone of the server, in order of its name.
pub async fn found(session: &mut Session) -> Result<Vec<Found>> {
    found_by(session, "null::int8").await
}

/// The same with sizes: every file of every clone is looked at, which takes a while. Who may not connect
/// to a database may not ask for its size either (PostgreSQL manual, 9.27.7).
pub async fn found_with_sizes(session: &mut Session) -> Result<Vec<Found>> {
    let size = "case when pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                     then pg_catalog.pg_database_size(d.oid) end";
    found_by(session, size).await
}

async fn found_by(session: &mut Session, size: &str) -> Result<Vec<Found>> {
    let rows: Vec<FoundRow> = session
        .fetch(
            &format!(
                "select d.datname as database, d.oid::int8 as oid,
                    pg_catalog.shobj_description(d.oid, 'pg_database') as comment,
                    pg_catalog.pg_has_role(d.datdba, 'USAGE') as owned,
                    d.datallowconn and d.datconnlimit <> -2 as open,
                    (select a.application_name
                       from pg_catalog.pg_stat_activity a
                      where a.datid = d.oid
                        and a.application_name like 'towpath/%/clone'
                      limit 1) as keeper,
                    {size} as bytes
               from pg_catalog.pg_database d
              where d.datname like 'towpath\\_clone\\_%'
                 or pg_catalog.shobj_description(d.oid, 'pg_database') like 'towpath clone: %'
              order by d.datname"
            ),
            &[],
        )
        .await?;
    let found = rows.into_iter().map(|row| {
        let mark = row.comment.as_deref().and_then(CloneMark::parse);
        Found {
            mark: mark.filter(|mark| mark.is_of(&row.database, row.oid)),
            database: row.database,
            oid: row.oid,
            is_owned: row.owned,
            is_open: row.open,
            keeper: row.keeper,
            bytes: row.bytes,
        }
    });
    Ok(found
        .filter(|it| it.mark.is_some() || ClonePlan::is_named_like_one(&it.database))
        .collect())
}
