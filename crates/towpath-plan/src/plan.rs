//! Puts the plan together. A pure function of what was read.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::digest::Hash;
use towpath_model::inventory::{
    LargeObjects, MigrationHistory, Relation, RelationKind, ServerFacts,
};
use towpath_model::migrations::{is_history, redacted};
use towpath_model::plan::{
    CheckResult, DatabaseIdentity, DecisionCounts, Format, Plan, PlannedChunk, PlannedJobs,
    PlannedMigrations, PlannedTable, RowSource,
};
use towpath_model::schema::{CleanSchema, Decision, SchemaReport};
use towpath_model::secret_text::Handling;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject, Structure};
use towpath_model::{QualifiedName, Result, RunId, TableId, script};

use crate::checks::{LargeObjectFate, secret_versions};
use crate::format::{FormatChoice, choose_format};
use crate::size::ChunkSize;
use crate::split::{split, split_large_objects};

/// What the plan depends on beside the databases.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The run.
    pub run: RunId,
    /// Now, RFC 3339 in UTC.
    pub now: String,
    /// Version of towpath.
    pub made_by: String,
    /// Run store, without secrets.
    pub store: String,
    /// How big chunks are.
    pub chunk_size: ChunkSize,
    /// Work done at once.
    pub jobs: PlannedJobs,
    /// Format that the operator asks for.
    pub format: FormatChoice,
    /// What becomes of large objects.
    pub large_objects: LargeObjectFate,
    /// What becomes of secrets in the migration history.
    pub secrets: Handling,
    /// `host:port/database` of the source.
    pub source_endpoint: String,
    /// The same of the target.
    pub target_endpoint: String,
}

/// What the source holds beside its schema.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'c> {
    /// Relations.
    pub relations: &'c [Relation],
    /// Sequences.
    pub sequences: &'c [QualifiedName],
    /// Large objects.
    pub large_objects: &'c LargeObjects,
    /// Migration history.
    pub migrations: Option<&'c MigrationHistory>,
}

/// Bytes of a large object that are a row: what is in memory at once, some times over.
const PAGE_BYTES: u32 = 256 << 10;

/// Bytes per second that a copy is assumed to move, for the estimate: the slowest rate measured on
/// two busy cores, indexes and constraints included (`docs/performance.md`).
const ASSUMED_BYTES_PER_SECOND: u64 = 30 << 20;

/// The relations whose rows go to the target: tables that the schema report keeps.
pub fn planned_relations<'r>(
    relations: &'r [Relation],
    report: &SchemaReport,
) -> Vec<&'r Relation> {
    let going = going(report);
    relations
        .iter()
        .filter(|relation| relation.kind == RelationKind::Table && relation.extension.is_none())
        .filter(|relation| {
            let id = ObjectId::of(
                ObjectKind::Table,
                &relation.name.schema,
                &relation.name.name,
            );
            going.contains(&id)
        })
        .collect()
}

/// What goes to the target, gathered once: a look through the report for each table would be
/// quadratic.
fn going(report: &SchemaReport) -> BTreeSet<&ObjectId> {
    let goes = |decision: Decision| matches!(decision, Decision::Kept | Decision::Rewritten);
    let objects = report.objects.iter();
    objects
        .filter(|object| goes(object.decision))
        .map(|object| &object.object)
        .collect()
}

/// Makes the plan.
pub fn plan(
    source: &ServerFacts,
    target: &ServerFacts,
    contents: &Contents<'_>,
    schema: &CleanSchema,
    checks: Vec<CheckResult>,
    options: &PlanOptions,
) -> Result<Plan> {
    let relations = planned_relations(contents.relations, &schema.report);
    let bytes = relations.iter().map(|relation| relation.bytes).sum::<u64>()
        + large_object_bytes(contents.large_objects, options);
    let mut weighted: Vec<(u64, PlannedTable)> = relations
        .into_iter()
        .map(|relation| {
            let table = planned_table(relation, source, target, schema, bytes, options);
            (relation.bytes + relation.index_bytes, table)
        })
        .collect();
    let migrations = contents
        .migrations
        .filter(|_| weighted.iter().any(|(_, table)| is_history(&table.name)))
        .map(|history| planned_migrations(history, options));
    weighted.extend(
        planned_large_objects(contents.large_objects, bytes, options)
            .map(|table| (table.bytes, table)),
    );
    // The longest work must not begin last, and a table's work ends with its indexes. Table after
    // table, because indexes are built as soon as the rows of their table are in; the last chunks
    // are then those of small tables, and nobody waits long for a straggler.
    weighted.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.name.cmp(&other.name)));
    let tables: Vec<PlannedTable> = weighted.into_iter().map(|(_, table)| table).collect();
    let report = &schema.report;
    Ok(Plan {
        run: options.run.clone(),
        created_at: options.now.clone(),
        made_by: options.made_by.clone(),
        source: DatabaseIdentity {
            endpoint: options.source_endpoint.clone(),
            facts: source.clone(),
        },
        target: DatabaseIdentity {
            endpoint: options.target_endpoint.clone(),
            facts: target.clone(),
        },
        store: options.store.clone(),
        sequences: planned_sequences(contents.sequences, report),
        migrations,
        pre_data: hash_of(&schema.pre_data)?,
        post_data: hash_of(&schema.post_data)?,
        decisions: DecisionCounts {
            kept: report.count(Decision::Kept),
            rewritten: report.count(Decision::Rewritten),
            emulated: report.count(Decision::Emulated),
            dropped: report.count(Decision::Dropped),
        },
        checks,
        estimated_seconds: bytes.div_ceil(ASSUMED_BYTES_PER_SECOND).max(1),
        jobs: Some(options.jobs.clone()),
        rehearsal: None,
        clone: None,
        tables,
    })
}

fn hash_of(statements: &[script::Statement]) -> Result<Hash> {
    Ok(script::hash(&script::render(statements)?))
}

fn planned_table(
    relation: &Relation,
    source: &ServerFacts,
    target: &ServerFacts,
    schema: &CleanSchema,
    whole_bytes: u64,
    options: &PlanOptions,
) -> PlannedTable {
    let (format, format_reason) =
        choose_format(relation, source.major(), target.major(), options.format);
    let copied = || relation.columns.iter().filter(|column| !column.generated);
    let mut key: Vec<_> = copied()
        .filter_map(|c| c.key_position.map(|at| (at, c.name.clone())))
        .collect();
    key.sort();
    let chunks: Vec<PlannedChunk> =
        split(relation, options.chunk_size.of_table(whole_bytes, relation));
    let expressions = match options.secrets {
        Handling::Redact if is_history(&relation.name) => copied()
            .filter_map(|column| Some((column.name.clone(), redacted(column)?)))
            .collect(),
        Handling::Redact | Handling::Carry => BTreeMap::new(),
    };
    PlannedTable {
        id: TableId::of(&relation.name),
        name: relation.name.clone(),
        columns: copied().map(|column| column.name.clone()).collect(),
        types: copied().map(|column| column.type_name.clone()).collect(),
        key: key.into_iter().map(|(_, name)| name).collect(),
        rows: RowSource::Table,
        expressions,
        masks: BTreeMap::new(),
        subset: None,
        format,
        format_reason,
        bytes: relation.bytes,
        estimated_rows: relation.estimated_rows,
        force_row_security: is_forced(relation, &schema.expected),
        chunks,
    }
}

/// The large objects as a table of their pages, when there are any and they go. Each type of it has
/// the same binary form on every version.
fn planned_large_objects(
    objects: &LargeObjects,
    whole_bytes: u64,
    options: &PlanOptions,
) -> Option<PlannedTable> {
    if !large_objects_go(objects, options) {
        return None;
    }
    let name = QualifiedName::new("pg_catalog", "pg_largeobject");
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let pages = objects.bytes.div_ceil(u64::from(PAGE_BYTES));
    Some(PlannedTable {
        id: TableId::of(&name),
        name,
        columns: texts(&["loid", "start", "data"]),
        key: texts(&["loid", "start"]),
        types: texts(&["oid", "bigint", "bytea"]),
        rows: RowSource::LargeObjects {
            page_bytes: PAGE_BYTES,
        },
        expressions: BTreeMap::new(),
        masks: BTreeMap::new(),
        subset: None,
        format: Format::Binary,
        format_reason: None,
        bytes: objects.bytes,
        estimated_rows: i64::try_from(objects.count.max(pages)).unwrap_or(-1),
        force_row_security: false,
        chunks: split_large_objects(objects, options.chunk_size.of_whole(whole_bytes)),
    })
}

fn large_objects_go(objects: &LargeObjects, options: &PlanOptions) -> bool {
    objects.count > 0 && options.large_objects == LargeObjectFate::Carry
}

fn large_object_bytes(objects: &LargeObjects, options: &PlanOptions) -> u64 {
    if large_objects_go(objects, options) {
        objects.bytes
    } else {
        0
    }
}

fn planned_migrations(history: &MigrationHistory, options: &PlanOptions) -> PlannedMigrations {
    PlannedMigrations {
        count: history.migrations.len(),
        redacted: match options.secrets {
            Handling::Redact => secret_versions(history),
            Handling::Carry => Vec::new(),
        },
    }
}

/// Whether row security will be forced on the table's owner on the target.
fn is_forced(relation: &Relation, expected: &Structure) -> bool {
    let id = ObjectId::of(
        ObjectKind::Table,
        &relation.name.schema,
        &relation.name.name,
    );
    let aspect = |object: &SchemaObject| {
        object
            .aspects
            .get("force_row_security")
            .and_then(|value| value.as_bool())
    };
    expected
        .objects
        .get(&id)
        .and_then(aspect)
        .unwrap_or(relation.force_row_security)
}

fn planned_sequences(sequences: &[QualifiedName], report: &SchemaReport) -> Vec<QualifiedName> {
    let going = going(report);
    sequences
        .iter()
        .filter(|name| {
            going.contains(&ObjectId::of(
                ObjectKind::Sequence,
                &name.schema,
                &name.name,
            ))
        })
        .cloned()
        .collect()
}
