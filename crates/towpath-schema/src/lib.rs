//! Clean schema: what of the source's structure goes to the target, and why.
//!
//! `pg_dump` writes the DDL, PostgreSQL's own parser gives the tree of every statement, and rules
//! decide about objects of the catalog, never about text. A statement nobody touches is replayed
//! from its original bytes; only rewritten ones are generated. Every object of the source gets
//! exactly one decision with its reason.

mod acl;
mod all_privileges;
mod appendix;
mod build_path;
mod bypass;
mod classify;
mod collision;
mod constraint;
mod cron;
mod decision;
mod dependents;
mod depth;
mod dump;
mod effect;
mod emulation;
mod expected;
mod json_web_token;
mod large_object;
mod options;
mod order;
mod owner;
mod references;
mod reserved;
mod rewrite;
mod role;
mod rules;
mod script;
mod secret;
mod setting;
mod source;
pub mod sql_files;
mod statement;
mod type_name;

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::connection::ConnectionUrl;
use towpath_model::inventory::ServerFacts;
use towpath_model::schema::{CleanSchema, SchemaReport};
use towpath_model::structure::{ObjectId, ObjectKind, Structure};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

pub use options::{BrokenTriggers, CarryAuthUsers, LargeObjects, SchemaOptions, ServiceRole};
pub use role::creation_of_role;

/// Whether the user has event triggers, so that it is worth to ask the target whether its login
/// makes them.
pub fn has_event_triggers(structure: &Structure) -> bool {
    rules::event_trigger::has_of_user(structure)
}

/// Makes the clean schema of the source. `structure` and `session` show the exported snapshot
/// `snapshot_id`, and so does the dump: the three cannot disagree.
pub async fn clean_schema(
    url: &ConnectionUrl,
    snapshot_id: &str,
    structure: &Structure,
    session: &mut Session,
    target: &ServerFacts,
    options: &SchemaOptions,
) -> Result<CleanSchema> {
    let unreadable = source::unreadable(session).await?;
    // pg_dump has a session of its own, and takes as long as everything else that is read here.
    let dumping = dump::read(
        url,
        snapshot_id,
        session.version_num(),
        &unreadable,
        structure,
        options,
    );
    let reading = source::read(session, structure, unreadable.clone());
    let ((dump, dumped_by), source) = tokio::try_join!(dumping, reading)?;
    let mut clean = make(dump, structure, &source, target, options)?;
    clean.report.dumped_by = Some(dumped_by);
    Ok(clean)
}

/// The pure part: everything that was read, to the clean schema.
fn make(
    dump: dump::Dump,
    structure: &Structure,
    source: &source::Source,
    target: &ServerFacts,
    options: &SchemaOptions,
) -> Result<CleanSchema> {
    let evidence = rules::Evidence {
        structure,
        source,
        target,
        options,
        references: &references::References::read(structure, source),
    };
    let (mut decisions, lost) = rules::decide(&evidence)?;
    collision::refuse(&evidence, &decisions)?;
    let names = classify::Names::of(structure);
    let mut pieces = statement::split(&dump, &names)?;
    // Each of these is as long as the schema: of ten thousand tables, tens of megabytes.
    drop((dump, names));
    all_privileges::spell_out(&mut pieces, source.version_num, target.version_num)?;
    refuse_unseen(&decisions, source)?;
    references::disable_triggers(&evidence, &mut decisions);
    let mut scripts = script::assemble(&pieces, &evidence, &mut decisions)?;
    let secrets = secret::sift(&pieces, &evidence, &mut decisions, &mut scripts)?;
    drop(pieces);
    scripts.appendix.extend(cron::appendix(&source.jobs));
    secret::hide(&mut scripts.appendix);
    let extensions = rules::extension::reports(&evidence, &decisions, &lost);
    let mut breaks_at_run_time = references::breaks(&evidence, &decisions);
    breaks_at_run_time.extend(bypass::breaks(&evidence, &decisions));
    let mut expected = expected::structure(&evidence, &decisions);
    secrets.take_out_of(&mut expected, &evidence)?;
    Ok(CleanSchema {
        needs: if options.finds_needs {
            needs(&evidence, &decisions)
        } else {
            BTreeMap::new()
        },
        pre_data: scripts.pre_data,
        post_data: scripts.post_data,
        report: SchemaReport {
            objects: decisions.into_reports(),
            breaks_at_run_time,
            appendix: scripts.appendix,
            extensions,
            secrets: secrets.reports,
            dumped_by: None,
        },
        expected,
    })
}

/// What each object that goes needs, by the catalog and by the bodies of functions.
fn needs(
    evidence: &rules::Evidence<'_>,
    decisions: &decision::Decisions,
) -> BTreeMap<ObjectId, BTreeSet<ObjectId>> {
    let mut needs: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
    let mut add = |by: &ObjectId, on: &ObjectId| {
        if by != on && decisions.is_replayed(by) && decisions.goes(on) {
            needs.entry(by.clone()).or_default().insert(on.clone());
        }
    };
    for (on, dependents) in &evidence.source.dependents {
        dependents.iter().for_each(|by| add(by, on));
    }
    for (by, references) in evidence.references.all() {
        if decisions.of(by).is_some() {
            let named = references.iter().flat_map(|reference| &reference.objects);
            // A body is not looked into when its function is made, but when one that calls it is
            // unfolded into a table's definition.
            named
                .filter(|on| on.kind == ObjectKind::Function)
                .for_each(|on| add(by, on));
        }
    }
    needs
}

/// A table or sequence that goes must be readable, or its definition would be missing from the dump.
fn refuse_unseen(decisions: &decision::Decisions, source: &source::Source) -> Result<()> {
    let unseen: Vec<String> = source
        .unreadable
        .iter()
        .filter(|name| decisions.table_goes(name) || decisions.sequence_goes(name))
        .map(ToString::to_string)
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "could not read tables or sequences that must go to the target: {}",
            unseen.join(", ")
        ),
    )
    .hint("grant select on them, and usage on their schemas, to the source login"))
}

#[cfg(test)]
mod scenario;
