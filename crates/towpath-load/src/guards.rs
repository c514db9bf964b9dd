//! What would act on rows that are brought in from the source, or refuse them: taken off for one
//! transaction, and put back as it was before that transaction ends.
//!
//! The rows were written on the source, and whatever triggers and rules had to do was done there.

use serde::Deserialize;
use towpath_model::name::quote_identifier;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

/// Whether the session plays the replica: then foreign keys are not asked, and triggers and rules fire
/// only where they say `always` or `replica` (PostgreSQL manual, `session_replication_role`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The login may play it, and does for this transaction.
    Replica,
    /// It may not.
    Origin,
}

impl Role {
    /// Plays the replica where the login may. A refusal costs nothing but the savepoint.
    pub(crate) async fn take(session: &mut Session) -> Result<Self> {
        session.execute("savepoint towpath_role").await?;
        let taken = session
            .execute("set local session_replication_role = replica")
            .await;
        match taken {
            Ok(()) => session
                .execute("release savepoint towpath_role")
                .await
                .map(|()| Self::Replica),
            Err(failure) if failure.kind() == towpath_model::ErrorKind::Target => session
                .execute("rollback to savepoint towpath_role; release savepoint towpath_role")
                .await
                .map(|()| Self::Origin),
            Err(failure) => Err(failure),
        }
    }
}

/// A list of tables as two arrays, for a query that asks for all of them at once.
pub(crate) struct Names {
    schemas: String,
    names: String,
}

impl Names {
    pub(crate) fn of<'n>(tables: impl Iterator<Item = &'n QualifiedName>) -> Self {
        let (schemas, names): (Vec<String>, Vec<String>) = tables
            .map(|table| (element(&table.schema), element(&table.name)))
            .unzip();
        Self {
            schemas: format!("{{{}}}", schemas.join(",")),
            names: format!("{{{}}}", names.join(",")),
        }
    }

    pub(crate) fn parameters(&self) -> [&str; 2] {
        [&self.schemas, &self.names]
    }
}

/// An element of an array as text (PostgreSQL manual, "Array Input and Output Syntax").
fn element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The tables that `$1` and `$2` name, to be joined with.
pub(crate) const CHANGED: &str = "
    select c.oid, n.nspname as schema, c.relname as name
      from rows from (pg_catalog.unnest($1::pg_catalog.text[]),
                      pg_catalog.unnest($2::pg_catalog.text[])) as asked (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = asked.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = asked.name";

#[derive(Deserialize)]
struct GuardRow {
    schema: String,
    name: String,
    what: String,
    guard: String,
    state: String,
}

/// Statements that take everything off, and those that put it back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Guards {
    off: Vec<String>,
    on: Vec<String>,
}

impl Guards {
    /// What guards these tables against this role.
    pub(crate) async fn of(session: &mut Session, names: &Names, role: Role) -> Result<Self> {
        let fires = match role {
            Role::Replica => "'A', 'R'",
            Role::Origin => "'A', 'O'",
        };
        // A row that is deleted has to be told to subscribers of a publication, and is refused where
        // nothing identifies it: a table without a key, say. For this transaction all of it does.
        let sql = format!(
            "with changed as ({CHANGED})
             select t.schema, t.name, 'trigger' as what, g.tgname as guard,
                    g.tgenabled::pg_catalog.text as state
               from changed t
               join pg_catalog.pg_trigger g on g.tgrelid = t.oid
              where not g.tgisinternal and g.tgenabled in ({fires})
             union all
             select t.schema, t.name, 'rule', r.rulename, r.ev_enabled::pg_catalog.text
               from changed t
               join pg_catalog.pg_rewrite r on r.ev_class = t.oid
              where r.ev_enabled in ({fires})
             union all
             select t.schema, t.name, 'force', '', ''
               from changed t
               join pg_catalog.pg_class c on c.oid = t.oid
              where c.relforcerowsecurity
             union all
             select t.schema, t.name, 'identity',
                    coalesce((select i.relname
                                from pg_catalog.pg_index x
                                join pg_catalog.pg_class i on i.oid = x.indexrelid
                               where x.indrelid = t.oid and x.indisreplident), ''),
                    c.relreplident::pg_catalog.text
               from changed t
               join pg_catalog.pg_class c on c.oid = t.oid
              where c.relreplident = 'n'
                 or c.relreplident = 'd'
                    and not exists (select from pg_catalog.pg_index x
                                     where x.indrelid = t.oid and x.indisprimary)
             order by 1, 2, 3, 4"
        );
        let found: Vec<GuardRow> = session.fetch(&sql, &names.parameters()).await?;
        Ok(found.iter().fold(Self::default(), Self::with))
    }

    fn with(mut self, found: &GuardRow) -> Self {
        let table = QualifiedName::new(&found.schema, &found.name).quoted();
        let guard = quote_identifier(&found.guard);
        let alter = |what: String| format!("alter table only {table} {what}");
        let (off, on) = match found.what.as_str() {
            "force" => (
                "no force row level security".to_owned(),
                "force row level security".to_owned(),
            ),
            "identity" => (
                "replica identity full".to_owned(),
                match found.state.as_str() {
                    "n" => "replica identity nothing".to_owned(),
                    _ => "replica identity default".to_owned(),
                },
            ),
            what => {
                let how = match found.state.as_str() {
                    "A" => "always ",
                    "R" => "replica ",
                    _ => "",
                };
                (
                    format!("disable {what} {guard}"),
                    format!("enable {how}{what} {guard}"),
                )
            }
        };
        self.off.push(alter(off));
        self.on.push(alter(on));
        self
    }

    /// Takes them off.
    pub(crate) async fn take_off(&self, session: &mut Session) -> Result<()> {
        run(session, &self.off).await
    }

    /// Puts them back as they were.
    pub(crate) async fn put_back(&self, session: &mut Session) -> Result<()> {
        run(session, &self.on).await
    }
}

async fn run(session: &mut Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        session.execute(statement).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_taken_off_comes_back_as_it_was() {
        let row = |what: &str, guard: &str, state: &str| GuardRow {
            schema: "App Data".to_owned(),
            name: "Mixed.Dot".to_owned(),
            what: what.to_owned(),
            guard: guard.to_owned(),
            state: state.to_owned(),
        };
        let found = [
            row("trigger", "odd \"one\"", "A"),
            row("trigger", "plain", "O"),
            row("rule", "r", "R"),
            row("force", "", ""),
            row("identity", "", "n"),
            row("identity", "", "d"),
        ];
        let guards = found.iter().fold(Guards::default(), Guards::with);
        let table = "alter table only \"App Data\".\"Mixed.Dot\" ";
        let told = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| format!("{table}{word}")).collect()
        };
        assert_eq!(
            guards.off,
            told(&[
                "disable trigger \"odd \"\"one\"\"\"",
                "disable trigger \"plain\"",
                "disable rule \"r\"",
                "no force row level security",
                "replica identity full",
                "replica identity full",
            ])
        );
        assert_eq!(
            guards.on,
            told(&[
                "enable always trigger \"odd \"\"one\"\"\"",
                "enable trigger \"plain\"",
                "enable replica rule \"r\"",
                "force row level security",
                "replica identity nothing",
                "replica identity default",
            ])
        );
    }

    #[test]
    fn odd_names_survive_an_array() {
        assert_eq!(element("a\"b\\c,{d}"), "\"a\\\"b\\\\c,{d}\"");
    }
}
