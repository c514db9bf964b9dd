//! Clean schema: what of the source's structure goes to the target, and why.
//!
//! `pg_dump` writes the DDL, PostgreSQL's own parser gives the tree of every statement, and rules
//! decide about objects of the catalog, never about text. A statement nobody touches is replayed
//! from its original bytes; only rewritten ones are generated. Every object of the source gets
//! exactly one decision with its reason.

mod acl;
mod appendix;
mod body;
mod bypass;
mod classify;
mod collision;
mod constraint;
mod decision;
mod dependents;
mod dump;
mod emulation;
mod expected;
mod options;
mod order;
mod owner;
mod reserved;
mod rewrite;
mod role;
mod rules;
mod script;
mod setting;
mod source;
mod statement;
mod type_name;

use towpath_model::connection::ConnectionUrl;
use towpath_model::inventory::ServerFacts;
use towpath_model::schema::{CleanSchema, SchemaReport};
use towpath_model::structure::Structure;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

pub use options::{CarryAuthUsers, SchemaOptions};

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
    let source = source::read(session, structure).await?;
    let dump = dump::read(
        url,
        snapshot_id,
        session.version_num(),
        &source.unreadable,
        options,
    )
    .await?;
    make(&dump, structure, &source, target, options)
}

/// The pure part: everything that was read, to the clean schema.
fn make(
    dump: &dump::Dump,
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
    };
    let mut decisions = rules::decide(&evidence)?;
    collision::refuse(&evidence, &decisions)?;
    let names = classify::Names::of(structure);
    let pieces = statement::split(dump, &names)?;
    refuse_unseen(&decisions, source)?;
    let scripts = script::assemble(&pieces, &evidence, &mut decisions)?;
    let mut breaks_at_run_time = body::breaks(&evidence, &decisions);
    breaks_at_run_time.extend(bypass::breaks(&evidence, &decisions));
    let expected = expected::structure(&evidence, &decisions);
    Ok(CleanSchema {
        pre_data: scripts.pre_data,
        post_data: scripts.post_data,
        report: SchemaReport {
            objects: decisions.into_reports(),
            breaks_at_run_time,
            appendix: scripts.appendix,
        },
        expected,
    })
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
