//! The migration history that Supabase's command line keeps in `supabase_migrations`.

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::inventory::{Migration, MigrationHistory, Relation, ServerFacts};
use towpath_model::migrations::{is_history, secret_condition};

use crate::session::Session;

/// Reads the history from the relation that keeps it. Statements stay on the server: what comes
/// back is a fingerprint, and whether they seem to hold a secret. Nothing when there is no such
/// table or it may not be read whole.
pub async fn migration_history(
    session: &mut Session,
    relations: &[Relation],
    login: &ServerFacts,
) -> Result<Option<MigrationHistory>> {
    let history = relations
        .iter()
        .find(|relation| is_history(&relation.name) && is_readable(relation, login));
    let Some(history) = history else {
        return Ok(None);
    };
    let migrations: Vec<Migration> = session
        .fetch(&query(history), &[])
        .await
        .map_err(|failure| failure.while_doing("could not read the migration history"))?;
    let now: Now = session
        .fetch_one(
            "select pg_catalog.to_char(pg_catalog.now() at time zone 'UTC', 'YYYYMMDDHH24MISS') as now",
            &[],
        )
        .await?;
    Ok(Some(MigrationHistory {
        migrations,
        now: now.now,
    }))
}

#[derive(Deserialize)]
struct Now {
    now: String,
}

/// A read that row-level security would filter is refused by the server, and a refusal would end the
/// transaction of the snapshot.
fn is_readable(relation: &Relation, login: &ServerFacts) -> bool {
    let passes = login.is_superuser
        || login.bypasses_rls
        || (relation.owner == login.user && !relation.force_row_security);
    relation.readable && (!relation.row_security || passes)
}

fn has(relation: &Relation, column: &str, type_name: &str) -> bool {
    relation
        .columns
        .iter()
        .any(|it| it.name == column && it.type_name == type_name)
}

fn query(history: &Relation) -> String {
    let version = if history.columns.iter().any(|it| it.name == "version") {
        "coalesce(m.version::text, '')"
    } else {
        "''"
    };
    let statements = has(history, "statements", "text[]");
    let name = if has(history, "name", "text") {
        "m.name"
    } else {
        "null::text"
    };
    let (some, fingerprint) = if statements {
        (
            "coalesce(pg_catalog.cardinality(m.statements), 0) > 0",
            "case when pg_catalog.cardinality(m.statements) > 0
                  then pg_catalog.encode(pg_catalog.sha256(
                           pg_catalog.convert_to(m.statements::text, 'UTF8')), 'hex') end",
        )
    } else {
        ("false", "null::text")
    };
    let secrets: Vec<String> = history
        .columns
        .iter()
        .filter_map(secret_condition)
        .collect();
    let secret = match secrets.as_slice() {
        [] => "false".to_owned(),
        some => some.join(" or "),
    };
    format!(
        "select {version} as version,
                {name} as name,
                {some} as has_statements,
                {fingerprint} as fingerprint,
                {secret} as holds_secret
           from only {} m
          order by {version} collate \"C\"",
        history.name.quoted()
    )
}
