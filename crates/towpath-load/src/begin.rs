//! The first statement of a run on a target, whatever is there: nothing, an earlier attempt, all of it.

use std::collections::HashSet;

use towpath_model::convergence::Convergence;
use towpath_model::expectation::Expectation;
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::readable::{self, Sides, some_of};
use towpath_model::schema::CleanSchema;
use towpath_model::script::Statement;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject, StructureDifference};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, catalog, structure};

use crate::ledger::{self, LoadedBy};
use crate::options::LoadContext;
use crate::script::{POST_DATA, PRE_DATA};

/// Enters the run into the ledger. All in one transaction: the target is read, refused if it cannot
/// become what it must, cleared of what would act on rows, and every statement whose effect is there
/// already is entered as done. From then on the ledger says what is left.
pub(crate) async fn begin(
    session: &mut Session,
    context: &LoadContext,
    schema: &CleanSchema,
) -> Result<()> {
    let run = &context.plan.run;
    if ledger::loaded_by(session).await? == LoadedBy::Run(run.clone()) {
        return Ok(());
    }
    session.begin_writing("").await?;
    let begun = async {
        // Somebody may read the tables whose triggers go for a while.
        session.execute("set local lock_timeout = '30s'").await?;
        adopt(session, context, schema).await?;
        session.commit().await
    }
    .await;
    if begun.is_err() {
        // The first failure is the one to tell; if even this fails, the server forgets by itself.
        let _ = session.rollback().await;
    }
    begun
}

/// Takes triggers, foreign keys and unproven constraints off tables that a crash of the target has
/// emptied, and forgets their statements: the rows have to come in once more as they came before.
/// In the transaction that is open.
pub(crate) async fn take_off_emptied(
    session: &mut Session,
    context: &LoadContext,
    schema: &CleanSchema,
    emptied: &[QualifiedName],
) -> Result<()> {
    // What is on a partitioned table acts on the rows of its partitions, and is taken off there.
    let mut tables = emptied.to_vec();
    for table in emptied {
        let ancestors: Vec<QualifiedName> = session
            .fetch(
                "select n.nspname as schema, c.relname as name
                   from pg_catalog.pg_partition_ancestors($1::pg_catalog.regclass) a
                   join pg_catalog.pg_class c on c.oid = a.relid
                   join pg_catalog.pg_namespace n on n.oid = c.relnamespace",
                &[&table.quoted()],
            )
            .await?;
        tables.extend(ancestors);
    }
    let found = structure::read(session).await?;
    let expectation = Expectation::new(&schema.expected, &schema.report);
    let statements = schema.pre_data.iter().chain(&schema.post_data);
    let login = &context.plan.target.facts.user;
    let convergence = Convergence::new(&expectation, &found, login, statements);
    let mut removed = Vec::new();
    for object in convergence.in_the_way() {
        let id = &object.id;
        let is_on = |table: &QualifiedName| {
            id.schema.as_deref() == Some(&table.schema) && id.on.as_deref() == Some(&table.name)
        };
        if !tables.iter().any(is_on) {
            continue;
        }
        take_off(session, object).await?;
        removed.push(id);
    }
    let again: Vec<u32> = schema
        .post_data
        .iter()
        .filter(|statement| removed.contains(&&statement.object))
        .map(|statement| statement.no)
        .collect();
    ledger::forget_steps(session, &context.plan.run, POST_DATA, &again).await
}

async fn adopt(session: &mut Session, context: &LoadContext, schema: &CleanSchema) -> Result<()> {
    let database = &context.plan.target.facts.database;
    let found = structure::read(session).await?;
    let expectation = Expectation::new(&schema.expected, &schema.report);
    let statements = schema.pre_data.iter().chain(&schema.post_data);
    let login = &context.plan.target.facts.user;
    let convergence = Convergence::new(&expectation, &found, login, statements);
    let conflicts = convergence.conflicts();
    if !conflicts.is_empty() {
        return Err(differs(&conflicts, database));
    }
    // Event triggers first: they would fire for whatever follows, and may write rows.
    let mut in_the_way: Vec<&SchemaObject> = convergence.in_the_way().collect();
    in_the_way.sort_by_key(|object| object.id.kind != ObjectKind::EventTrigger);
    for object in in_the_way {
        take_off(session, object).await?;
    }
    // From here on a process of another run can commit no row.
    ledger::enter_run(session, &context.plan).await?;
    let filled = catalog::filled_tables(session, context.search_path()).await?;
    if !filled.is_empty() {
        return Err(holds_rows(&filled, database));
    }
    for (script, statements) in [(PRE_DATA, &schema.pre_data), (POST_DATA, &schema.post_data)] {
        let done: Vec<u32> = statements
            .iter()
            .filter(|statement: &&Statement| convergence.is_done(statement))
            .map(|statement| statement.no)
            .collect();
        if !done.is_empty() {
            ledger::enter_steps(session, &context.plan.run, script, &done).await?;
        }
    }
    Ok(())
}

/// Refuses tables that hold rows although the ledger knows of no chunk in them: somebody else put
/// them there, or dropped the ledger. Must run when all tables are there and no chunk is on its way.
pub(crate) async fn refuse_unknown_rows(
    session: &mut Session,
    context: &LoadContext,
    entered: &[ledger::ChunkRow],
) -> Result<()> {
    session.begin_reading().await?;
    let mut filled = catalog::filled_tables(session, context.search_path()).await?;
    session.rollback().await?;
    let known: HashSet<&str> = entered.iter().map(|row| row.table_id.as_str()).collect();
    let planned = context.plan.tables.iter();
    let unknown: HashSet<&QualifiedName> = planned
        .filter(|table| !known.contains(table.id.as_str()))
        .map(|table| &table.name)
        .collect();
    filled.retain(|name| unknown.contains(name));
    if filled.is_empty() {
        return Ok(());
    }
    Err(holds_rows(&filled, &context.plan.target.facts.database))
}

fn holds_rows(filled: &[QualifiedName], database: &str) -> Failure {
    Failure::new(
        ErrorKind::TargetNotEmpty,
        format!(
            "could not load the target: it holds rows that this run did not load: {}",
            some_of(filled)
        ),
    )
    .hint(format!(
        "empty these tables, use another database, or clear this one with --new-run --replace {database}"
    ))
}

fn differs(conflicts: &[StructureDifference], database: &str) -> Failure {
    let sides = Sides {
        expected: "source",
        found: "target",
    };
    let lines: Vec<String> = conflicts
        .iter()
        .map(|conflict| readable::line(conflict, sides))
        .collect();
    Failure::new(
        ErrorKind::TargetStructure,
        format!(
            "could not load the target: it holds objects of another structure: {}",
            some_of(&lines)
        ),
    )
    .hint(format!(
        "`towpath diff source target` shows all; change or drop them, or clear this database with --new-run --replace {database}"
    ))
}

async fn take_off(session: &mut Session, object: &SchemaObject) -> Result<()> {
    for sql in removal(object) {
        session.execute(&sql).await.map_err(|failure| {
            failure.while_doing(format!(
                "could not take {} off the target until the rows are in",
                object.id
            ))
        })?;
    }
    Ok(())
}

/// The statements that take an object off.
pub(crate) fn removal(object: &SchemaObject) -> Vec<String> {
    let id = &object.id;
    let name = quote_identifier(&id.name);
    let table = || {
        let schema = id.schema.as_deref().unwrap_or_default();
        QualifiedName::new(schema, id.on.as_deref().unwrap_or_default()).quoted()
    };
    match id.kind {
        ObjectKind::Trigger => vec![format!("drop trigger {name} on {}", table())],
        ObjectKind::Constraint => vec![format!("alter table {} drop constraint {name}", table())],
        ObjectKind::EventTrigger => vec![format!("drop event trigger {name}")],
        ObjectKind::DefaultPrivileges => default_privileges(id, object),
        _ => Vec::new(),
    }
}

/// Default privileges are gone when they are what the server has without them. Those of a schema
/// only add to the others, so nothing must be left of them; those of everywhere take the place of
/// the server's own.
fn default_privileges(id: &ObjectId, object: &SchemaObject) -> Vec<String> {
    let role = quote_identifier(&id.name);
    let place = id
        .schema
        .as_ref()
        .map(|schema| format!(" in schema {}", quote_identifier(schema)));
    let alter = format!(
        "alter default privileges for role {role}{}",
        place.as_deref().unwrap_or_default()
    );
    let what = id.args.as_deref().unwrap_or_default();
    let mut grantees: Vec<String> = object
        .grants
        .iter()
        .map(|grant| match grant.grantee.as_str() {
            "public" => "public".to_owned(),
            role => quote_identifier(role),
        })
        .collect();
    grantees.dedup();
    let mut statements: Vec<String> = grantees
        .iter()
        .map(|grantee| format!("{alter} revoke all on {what} from {grantee}"))
        .collect();
    if place.is_some() {
        statements.push(format!("{alter} revoke all on {what} from {role}"));
        return statements;
    }
    statements.push(format!("{alter} grant all on {what} to {role}"));
    if matches!(what, "functions" | "types") {
        statements.push(format!("{alter} grant all on {what} to public"));
    }
    statements
}
