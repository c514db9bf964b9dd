//! Jobs of pg_cron: rows of its own table, told as statements for a person to run.
//!
//! They are never run on the target by towpath: a job begins to work in the minute it is made, on
//! a database that nobody has switched to yet.

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::name::quote_literal;
use towpath_model::schema::AppendixEntry;
use towpath_model::secret_text::looks_secret;
use towpath_model::structure::{ObjectId, ObjectKind, Structure};
use towpath_postgres::Session;

use crate::appendix;

/// A job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Job {
    pub name: Option<String>,
    pub schedule: String,
    pub command: String,
    /// Of another database than this one.
    pub other_database: Option<String>,
    pub is_active: bool,
}

/// The table of jobs.
pub(crate) fn table() -> ObjectId {
    ObjectId::of(ObjectKind::Table, "cron", "job")
}

const IS_READABLE: &str = "select coalesce(pg_catalog.bool_or(
    pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE')
    and pg_catalog.has_table_privilege(c.oid, 'SELECT')
    -- Sessions ask to see every row or none, and an error would end the transaction.
    and not pg_catalog.row_security_active(c.oid)), false)::text
from pg_catalog.pg_class c
where c.oid = pg_catalog.to_regclass('cron.job')";

/// By name, because older versions lack some of the columns.
const JOBS: &str = "select j.fields ->> 'jobname' as name,
       j.fields ->> 'schedule' as schedule,
       j.fields ->> 'command' as command,
       nullif(j.fields ->> 'database', pg_catalog.current_database()) as other_database,
       coalesce((j.fields ->> 'active')::bool, true) as is_active
from (select pg_catalog.to_jsonb(t.*) as fields, t.jobid from cron.job t) j
order by j.jobid";

/// Reads the jobs, where pg_cron keeps some and the login may see them.
pub(crate) async fn read(session: &mut Session, structure: &Structure) -> Result<Vec<Job>> {
    let is_member = structure
        .objects
        .get(&table())
        .is_some_and(|table| table.extension.as_deref() == Some("pg_cron"));
    if !is_member || session.scalar(IS_READABLE, &[]).await?.as_deref() != Some("true") {
        return Ok(Vec::new());
    }
    session.fetch(JOBS, &[]).await
}

/// The statements that make the jobs anew, secrets taken out.
pub(crate) fn appendix(jobs: &[Job]) -> Vec<AppendixEntry> {
    let entry = |job: &Job| AppendixEntry {
        object: table(),
        sql: statement(job),
    };
    jobs.iter().map(entry).collect()
}

fn statement(job: &Job) -> String {
    let name = job.name.as_deref();
    let mut arguments: Vec<String> = name
        // The function for another database wants a name.
        .or(job.other_database.as_ref().map(|_| "unnamed"))
        .into_iter()
        .map(literal)
        .collect();
    arguments.push(literal(&job.schedule));
    arguments.push(literal(&shown(&job.command)));
    let function = match &job.other_database {
        None => "schedule",
        Some(database) => {
            arguments.push(literal(database));
            "schedule_in_database"
        }
    };
    let note = if job.is_active {
        ""
    } else {
        "-- switched off on the source\n"
    };
    format!("{note}select cron.{function}({})", arguments.join(", "))
}

fn literal(text: &str) -> String {
    quote_literal(text).trim().to_owned()
}

/// A command without what looks like a secret.
fn shown(command: &str) -> String {
    let is_secret = looks_secret(command).is_some();
    let redacts = |literal: &str| is_secret || appendix::literal_looks_secret(literal);
    appendix::without_literals(command, redacts)
        .filter(|text| looks_secret(text).is_none())
        .unwrap_or_else(|| appendix::NOT_SHOWN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: Option<&str>, command: &str) -> Job {
        Job {
            name: name.map(str::to_owned),
            schedule: "0 3 * * *".to_owned(),
            command: command.to_owned(),
            other_database: None,
            is_active: true,
        }
    }

    #[test]
    fn a_job_is_told_as_the_statement_that_makes_it() {
        let told = statement(&job(Some("it's nightly"), "delete from a where b = 'x'"));
        assert_eq!(
            told,
            "select cron.schedule('it''s nightly', '0 3 * * *', 'delete from a where b = ''x''')"
        );
        let mut other = job(None, "vacuum");
        other.other_database = Some("shop".to_owned());
        other.is_active = false;
        assert_eq!(
            statement(&other),
            "-- switched off on the source\nselect cron.schedule_in_database('unnamed', '0 3 * * *', 'vacuum', 'shop')"
        );
    }

    #[test]
    fn a_key_in_a_command_is_not_told() {
        for command in [
            "select net.http_post('https://x', headers := '{\"apikey\": \"fixture-secret-cron-key\"}')",
            "select f('sb_secret_N7UND0UgjKTVK-Uodkm0Hg')",
            "select g('0123456789abcdef0123456789abcdef')",
            "select h('sb_secret_N7UND0UgjKTVK-Uodkm0Hg",
        ] {
            let told = statement(&job(Some("j"), command));
            for secret in ["fixture-secret", "sb_secret", "0123456789abcdef"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}
