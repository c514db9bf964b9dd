//! Who is still connected to the source.
//!
//! The fence refuses their writes, and their reads are of yesterday: a consumer that nobody switched
//! shows here before anybody complains.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use towpath_model::connection::Side;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::context::Context;
use crate::pipeline::cutover::probes::wanted::{Sessions, Wanted};
use crate::table;

/// Groups of sessions that are named.
const NAMED: usize = 8;

/// Client sessions in this database but those of towpath, by who they are, and how many of them
/// began after a moment. No text of a query: it may hold values. What the login may not see of
/// others is NULL.
const OTHERS: &str = "
select coalesce(usename::text, '?') as role,
       coalesce(application_name, '') as application,
       coalesce(client_addr::text, 'local') as address,
       count(*)::int8 as sessions,
       count(*) filter (where backend_start > pg_catalog.to_timestamp($1::float8))::int8 as fresh
  from pg_catalog.pg_stat_activity
 where datname = pg_catalog.current_database()
   and coalesce(backend_type, 'client backend') = 'client backend'
   and pid <> pg_catalog.pg_backend_pid()
   and coalesce(application_name, '') not like 'towpath%'
 group by 1, 2, 3
 order by 5 desc, 4 desc, 1, 2, 3";

/// The source's own clock: that of this machine may be another one.
const NOW: &str = "select extract(epoch from pg_catalog.clock_timestamp())::text";

/// Logins of Supabase's own services, which stay connected as long as the project lives.
const PLATFORM: &[&str] = &[
    "authenticator",
    "dashboard_user",
    "pgbouncer",
    "supabase_admin",
    "supabase_auth_admin",
    "supabase_etl_admin",
    "supabase_read_only_user",
    "supabase_realtime_admin",
    "supabase_replication_admin",
    "supabase_storage_admin",
];

#[derive(Deserialize)]
struct Group {
    role: String,
    application: String,
    address: String,
    sessions: u64,
    /// Those that began after the switch.
    fresh: u64,
}

/// When the last consumer was switched, by the source's clock; nothing before the first look. What
/// is connected then may be a function's idle environment, which nobody calls any more.
#[derive(Default)]
pub struct Since(Mutex<Option<String>>);

impl Since {
    fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, moment: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }
}

/// Tells who is connected to the source; fails, where that is wanted, when anybody but the platform
/// itself has connected since the switch.
pub async fn ask(context: &Context, wanted: &Wanted, since: &Since) -> Result<String> {
    let url = context.url(Side::Source)?;
    let options = context.session_options(Side::Source, "towpath/probe");
    let mut source = Session::connect(&url, Side::Source, &options).await?;
    let groups = look(&mut source, since).await;
    source.close().await;
    let (platform, others): (Vec<Group>, Vec<Group>) = groups?
        .into_iter()
        .partition(|group| PLATFORM.contains(&group.role.as_str()));
    let told = told(&others, count(&platform));
    let is_fresh = others.iter().any(|group| group.fresh > 0);
    if wanted.sessions == Sessions::Fail && is_fresh {
        return Err(
            Failure::new(ErrorKind::Blocked, told).hint("switch these consumers or end them")
        );
    }
    Ok(told)
}

async fn look(source: &mut Session, since: &Since) -> Result<Vec<Group>> {
    let moment = match since.get() {
        Some(moment) => moment,
        None => {
            let now = source.scalar(NOW, &[]).await?.unwrap_or_default();
            since.set(now.clone());
            now
        }
    };
    source.fetch(OTHERS, &[&moment]).await
}

fn count(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.sessions).sum()
}

fn told(others: &[Group], platform: u64) -> String {
    let platform = match platform {
        0 => String::new(),
        sessions => format!(
            "; {} of the platform's own roles",
            table::counted(sessions, "session")
        ),
    };
    if others.is_empty() {
        return format!("no consumer is connected to the source{platform}");
    }
    let mut named: Vec<String> = others.iter().take(NAMED).map(Group::told).collect();
    if others.len() > NAMED {
        named.push(format!("{} more", others.len() - NAMED));
    }
    let fresh: u64 = others.iter().map(|group| group.fresh).sum();
    format!(
        "{} of others on the source, {fresh} begun after the switch: {}{platform}",
        table::counted(count(others), "session"),
        named.join(", ")
    )
}

impl Group {
    fn told(&self) -> String {
        let application = match self.application.as_str() {
            "" => String::new(),
            // A client may call itself anything.
            name => format!(
                " ({})",
                name.chars().take(40).collect::<String>().escape_debug()
            ),
        };
        format!(
            "{} {}{application} from {}",
            self.sessions, self.role, self.address
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_by_who_they_are() {
        let group = |role: &str, application: &str, sessions| Group {
            role: role.to_owned(),
            application: application.to_owned(),
            address: "10.0.0.4".to_owned(),
            sessions,
            fresh: 1,
        };
        assert_eq!(
            told(&[group("app", "orders\n", 2), group("postgres", "", 1)], 4),
            "3 sessions of others on the source, 2 begun after the switch: 2 app (orders\\n) from 10.0.0.4, 1 postgres from 10.0.0.4; 4 sessions of the platform's own roles"
        );
        assert_eq!(told(&[], 0), "no consumer is connected to the source");
    }
}
