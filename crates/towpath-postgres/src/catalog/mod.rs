//! Facts about the server and the relations that hold rows.
//!
//! Names come back as the catalog holds them. Read inside [`Session::begin_reading`]: type names
//! are qualified only under the empty search path that it pins.

mod binary;
mod filled;
mod large_objects;
mod migrations;
mod pages;
pub mod queries;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::inventory::{
    Abilities, Capacity, Column, Relation, RelationKind, SequenceState, ServerFacts,
};
use towpath_model::name::QualifiedName;
use towpath_model::{ErrorKind, Failure};

use self::binary::Types;
pub use self::filled::filled_tables;
pub use self::large_objects::{large_object_oids, large_objects, large_objects_among};
pub use self::migrations::migration_history;
pub use self::pages::heap_pages;
pub use self::upkeep::{sequence_uses, source_use, target_upkeep};
use crate::error::ServerError;
use crate::session::Session;

/// Sequences asked for in one statement: the parser nests as deep as there are branches.
const SEQUENCES_AT_ONCE: usize = 200;

/// Before a question about many relations.
const SAVEPOINT: &str = "savepoint towpath_question";

/// After it. A transaction keeps the lock of every relation that it has looked at, and the server has
/// room for `max_locks_per_transaction` times its connections: ten thousand relations are too many.
/// To roll back to a savepoint gives up the locks that were taken since.
const BACK: &str = "rollback to savepoint towpath_question; release savepoint towpath_question";

/// Reads what the server is and what the login may do there.
///
/// `collation` is the libc locale as it is, or the ICU or builtin locale with its provider after
/// it (`en-US (icu)`). The system identifier is asked for only where the login may, because a
/// refusal would end a transaction that is open.
pub async fn server_facts(session: &mut Session) -> Result<ServerFacts> {
    let row: ServerRow = session
        .fetch_one(include_str!("server.sql"), &[])
        .await
        .map_err(|failure| failure.while_doing("could not read facts about the server"))?;
    let system_identifier = if row.may_identify {
        session
            .scalar(include_str!("system_identifier.sql"), &[])
            .await?
    } else {
        None
    };
    Ok(row.into_facts(system_identifier))
}

#[derive(Deserialize)]
struct ServerRow {
    version_num: u32,
    may_identify: bool,
    database: String,
    user: String,
    is_superuser: bool,
    bypasses_rls: bool,
    can_create_roles: bool,
    encoding: String,
    collation: String,
    search_path: String,
    uses_tls: bool,
    available_extensions: BTreeMap<String, String>,
    database_bytes: u64,
    allowed_extensions: Option<String>,
    listed_extensions: Option<String>,
    preloaded: Option<String>,
    cron_database: Option<String>,
    owns_database: bool,
    free_connections: Option<u32>,
    worker_processes: Option<u32>,
}

impl ServerRow {
    fn into_facts(self, system_identifier: Option<String>) -> ServerFacts {
        ServerFacts {
            version_num: self.version_num,
            system_identifier,
            database: self.database,
            user: self.user,
            is_superuser: self.is_superuser,
            bypasses_rls: self.bypasses_rls,
            can_create_roles: self.can_create_roles,
            encoding: self.encoding,
            collation: self.collation,
            search_path: self.search_path,
            uses_tls: self.uses_tls,
            available_extensions: self.available_extensions,
            database_bytes: self.database_bytes,
            abilities: Abilities {
                allowed_extensions: self
                    .allowed_extensions
                    .map(|list| names(&list))
                    .filter(|names| !names.is_empty() && !names.contains("*")),
                listed_extensions: self.listed_extensions.map(|list| names(&list)),
                preloaded: self.preloaded.map(|list| names(&list)),
                cron_database: self.cron_database.filter(|name| !name.is_empty()),
                owns_database: self.owns_database,
                makes_event_triggers: self.is_superuser,
            },
            capacity: Capacity {
                free_connections: self.free_connections,
                worker_processes: self.worker_processes,
            },
        }
    }
}

/// The names of a list as settings hold it. Libraries may come with a path before them.
fn names(list: &str) -> BTreeSet<String> {
    list.split(',')
        .map(|name| name.trim().trim_matches('"'))
        .map(|name| name.rsplit('/').next().unwrap_or(name))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A name that no function has: only the server could make one in this schema.
const PROBE: &str = "create event trigger \"towpath asks\" on sql_drop \
    execute function pg_catalog.\"towpath asks and makes nothing\"()";

/// Whether the login may make event triggers.
///
/// PostgreSQL wants a superuser; managed servers let others through by a hook that shows in no
/// catalog. So it is tried, with a function that does not exist: the server looks at the right
/// before it looks for the function, and refuses in either case before anything is written. The
/// transaction around it is rolled back.
pub async fn makes_event_triggers(session: &mut Session) -> Result<bool> {
    session.execute("begin").await?;
    let refusal = session.execute(PROBE).await.err();
    session.rollback().await?;
    match refusal.as_ref().and_then(server_code) {
        Some(UNDEFINED_FUNCTION) => Ok(true),
        Some(INSUFFICIENT_PRIVILEGE | READ_ONLY) => Ok(false),
        _ => Err(refusal
            .unwrap_or_else(|| Failure::new(ErrorKind::Internal, "the probe was not refused"))
            .while_doing("could not ask whether event triggers can be made")),
    }
}

const UNDEFINED_FUNCTION: &str = "42883";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const READ_ONLY: &str = "25006";

/// The SQLSTATE at the root of a failure.
fn server_code(failure: &Failure) -> Option<&str> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(failure);
    while let Some(error) = cause {
        if let Some(server) = error.downcast_ref::<ServerError>() {
            return Some(&server.code);
        }
        cause = error.source();
    }
    None
}

/// Reads every relation that holds rows, sorted by name: ordinary tables with leaf partitions and
/// inheritance children, materialized views, and foreign tables. Those of managed schemas and of
/// extensions are among them; partitioned parents, which hold nothing, are not.
pub async fn relations(session: &mut Session) -> Result<Vec<Relation>> {
    let doing = |failure: Failure| failure.while_doing("could not read the list of relations");
    let types = session
        .fetch(include_str!("types.sql"), &[])
        .await
        .map_err(doing)?;
    let types = Types::new(types);
    let rows: Vec<RelationRow> = session
        .fetch(include_str!("relations.sql"), &[])
        .await
        .map_err(doing)?;
    Ok(rows
        .into_iter()
        .map(|row| row.into_relation(&types))
        .collect())
}

#[derive(Deserialize)]
struct RelationRow {
    schema: String,
    name: String,
    oid: u32,
    kind: RelationKind,
    owner: String,
    extension: Option<String>,
    readable: bool,
    row_security: bool,
    force_row_security: bool,
    unlogged: bool,
    is_child: bool,
    pages: u64,
    bytes: u64,
    index_bytes: u64,
    estimated_rows: i64,
    columns: Vec<ColumnRow>,
}

impl RelationRow {
    fn into_relation(self, types: &Types) -> Relation {
        Relation {
            name: QualifiedName::new(self.schema, self.name),
            oid: self.oid,
            kind: self.kind,
            owner: self.owner,
            extension: self.extension,
            readable: self.readable,
            row_security: self.row_security,
            force_row_security: self.force_row_security,
            unlogged: self.unlogged,
            is_child: self.is_child,
            pages: self.pages,
            bytes: self.bytes,
            index_bytes: self.index_bytes,
            estimated_rows: self.estimated_rows,
            columns: self
                .columns
                .into_iter()
                .map(|column| column.into_column(types))
                .collect(),
        }
    }
}

#[derive(Deserialize)]
struct ColumnRow {
    name: String,
    type_name: String,
    type_oid: u32,
    generated: bool,
    key_position: Option<u16>,
}

impl ColumnRow {
    fn into_column(self, types: &Types) -> Column {
        Column {
            binary_safe: types.binary_safe(self.type_oid),
            name: self.name,
            type_name: self.type_name,
            generated: self.generated,
            key_position: self.key_position,
        }
    }
}

/// Reads the names of all sequences, sorted: those of identity columns too, those that belong to
/// an extension not.
pub async fn sequences(session: &mut Session) -> Result<Vec<QualifiedName>> {
    session
        .fetch(include_str!("sequences.sql"), &[])
        .await
        .map_err(|failure| failure.while_doing("could not read the list of sequences"))
}

/// Reads the state of these sequences, in the order given, inside a transaction. A sequence knows no
/// snapshot: this is its state now, whatever the transaction sees, and exact also when it was never called.
///
/// # Errors
///
/// When one of them is not there or may not be read.
pub async fn sequence_states(
    session: &mut Session,
    names: &[QualifiedName],
) -> Result<Vec<SequenceState>> {
    let mut states = Vec::with_capacity(names.len());
    for batch in names.chunks(SEQUENCES_AT_ONCE) {
        session.execute(SAVEPOINT).await?;
        let mut rows: Vec<StateRow> = session
            .fetch(&state_query(batch), &[])
            .await
            .map_err(|failure| failure.while_doing("could not read the state of sequences"))?;
        session.execute(BACK).await?;
        rows.sort_by_key(|row| row.position);
        if rows.len() != batch.len() {
            return Err(unequal(batch.len(), rows.len()));
        }
        states.extend(batch.iter().zip(rows).map(|(name, row)| SequenceState {
            name: name.clone(),
            last_value: row.last_value,
            is_called: row.is_called,
        }));
    }
    Ok(states)
}

#[derive(Deserialize)]
struct StateRow {
    position: usize,
    last_value: i64,
    is_called: bool,
}

fn state_query(names: &[QualifiedName]) -> String {
    let branches: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(position, name)| {
            format!(
                "select {position} as position, s.last_value, s.is_called from {} s",
                name.quoted()
            )
        })
        .collect();
    branches.join("\nunion all\n")
}

fn unequal(asked: usize, answered: usize) -> Failure {
    Failure::new(
        ErrorKind::Internal,
        format!("asked for {asked} sequences, got {answered}"),
    )
}

/// Reads the names of all schemas but the system's own, sorted.
pub async fn schemas(session: &mut Session) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let rows: Vec<Row> = session
        .fetch(include_str!("schemas.sql"), &[])
        .await
        .map_err(|failure| failure.while_doing("could not read the list of schemas"))?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_asked_by_quoted_name_and_position() {
        let names = [
            QualifiedName::new("public", "orders_id_seq"),
            QualifiedName::new("App", "odd\"name"),
        ];
        assert_eq!(
            state_query(&names),
            "select 0 as position, s.last_value, s.is_called from \"public\".\"orders_id_seq\" s\n\
             union all\n\
             select 1 as position, s.last_value, s.is_called from \"App\".\"odd\"\"name\" s"
        );
    }
}
