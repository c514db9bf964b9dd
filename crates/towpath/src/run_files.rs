//! The documents of a run in its store: plan, schema, key.

use std::sync::Arc;

use towpath_model::digest::{Hash, RunKey};
use towpath_model::document::{self, Document};
use towpath_model::manifest::FileEntry;
use towpath_model::plan::Plan;
use towpath_model::schema::{CleanSchema, ExpectedStructure, SchemaReport};
use towpath_model::script::{self, Statement};
use towpath_model::structure::Structure;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::RunStore;

use crate::clock;

/// Key of the plan.
pub const PLAN: &str = "plan.json";
const RUN_KEY: &str = "key.json";
const PRE_DATA: &str = "schema/pre-data.sql";
const POST_DATA: &str = "schema/post-data.sql";
const REPORT: &str = "schema/report.json";
const EXPECTED: &str = "schema/expected.json";

/// A plan and the hash of its bytes in the store.
#[derive(Clone)]
pub struct StoredPlan {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Hash of `plan.json`.
    pub hash: Hash,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct KeyDocument {
    key: RunKey,
}

impl Document for KeyDocument {
    const FORMAT: &'static str = "towpath-run-key";
    const VERSION: u32 = 1;
}

/// The stored plan, if the run has one.
pub async fn stored_plan(store: &RunStore) -> Result<Option<StoredPlan>> {
    let Some(bytes) = store.get(PLAN).await? else {
        return Ok(None);
    };
    let plan: Plan = document::parse(&bytes, &store.describe(PLAN))?;
    if plan.run != *store.run() {
        return Err(Failure::new(
            ErrorKind::DocumentCorrupt,
            format!("{} is the plan of run {}", store.describe(PLAN), plan.run),
        ));
    }
    Ok(Some(StoredPlan {
        plan: Arc::new(plan),
        hash: Hash::of(&bytes),
    }))
}

/// The stored plan, which must be there.
pub async fn require_plan(store: &RunStore) -> Result<StoredPlan> {
    stored_plan(store).await?.ok_or_else(|| {
        Failure::new(
            ErrorKind::NotFound,
            format!("run {} has no plan in the store", store.run()),
        )
        .at(store.describe(PLAN))
        .hint("check --store and the run id, or begin with `towpath run`")
    })
}

/// Stores what a run begins with: key and schema first, the plan last, because a plan that is there
/// promises the rest. Safe to repeat after a crash.
pub async fn begin(store: &RunStore, plan: &Plan, schema: &CleanSchema) -> Result<StoredPlan> {
    begin_clone(store, plan, schema, None).await
}

/// The same for a clone; chunks of another run can be used under that run's key only.
pub async fn begin_clone(
    store: &RunStore,
    plan: &Plan,
    schema: &CleanSchema,
    key: Option<RunKey>,
) -> Result<StoredPlan> {
    if store.get(RUN_KEY).await?.is_none() {
        let key = match key {
            Some(key) => key,
            None => RunKey::new(clock::random()?),
        };
        let key = KeyDocument { key };
        store.put_document(RUN_KEY, &key).await?;
    }
    store
        .put_same(PRE_DATA, script::render(&schema.pre_data)?.into_bytes())
        .await?;
    store
        .put_same(POST_DATA, script::render(&schema.post_data)?.into_bytes())
        .await?;
    store
        .put_same(REPORT, document::render(&schema.report)?)
        .await?;
    let expected = ExpectedStructure {
        structure: schema.expected.clone(),
    };
    store
        .put_same(EXPECTED, document::render(&expected)?)
        .await?;
    let bytes = document::render(plan)?;
    store.put_same(PLAN, bytes.clone()).await?;
    Ok(StoredPlan {
        plan: Arc::new(plan.clone()),
        hash: Hash::of(&bytes),
    })
}

/// Stores what the rehearsal of another run's export begins with: the schema stays with that run.
pub async fn begin_rehearsal(store: &RunStore, plan: &Plan) -> Result<()> {
    let key = KeyDocument {
        key: RunKey::new(clock::random()?),
    };
    store.put_document(RUN_KEY, &key).await?;
    store.put_document(PLAN, plan).await
}

/// The run's key.
pub async fn key(store: &RunStore) -> Result<RunKey> {
    Ok(store.require_document::<KeyDocument>(RUN_KEY).await?.key)
}

/// The clean schema, its scripts proven to be those of the plan.
pub async fn clean_schema(store: &RunStore, plan: &Plan) -> Result<CleanSchema> {
    Ok(CleanSchema {
        pre_data: one_script(store, PRE_DATA, plan.pre_data).await?,
        post_data: post_data(store, plan).await?,
        report: schema_report(store).await?,
        expected: expected(store).await?,
        ..CleanSchema::default()
    })
}

/// The script of what comes after the data, proven to be the plan's.
pub async fn post_data(store: &RunStore, plan: &Plan) -> Result<Vec<Statement>> {
    one_script(store, POST_DATA, plan.post_data).await
}

/// The structure that the target must have.
pub async fn expected(store: &RunStore) -> Result<Structure> {
    let document: ExpectedStructure = store.require_document(EXPECTED).await?;
    Ok(document.structure)
}

async fn one_script(store: &RunStore, key: &str, expected: Hash) -> Result<Vec<Statement>> {
    let bytes = store.require(key).await?;
    let found = Hash::of(&bytes);
    if found != expected {
        return Err(Failure::new(
            ErrorKind::DocumentCorrupt,
            format!(
                "{} does not match the plan (blake3 {}, expected {})",
                store.describe(key),
                found.short(),
                expected.short()
            ),
        )
        .hint("the script was edited or damaged; start over with --new-run"));
    }
    let text = String::from_utf8(bytes).map_err(|cause| {
        Failure::new(
            ErrorKind::DocumentCorrupt,
            format!("{} is not text", store.describe(key)),
        )
        .because(cause)
    })?;
    script::parse(&text, &store.describe(key))
}

/// The schema report.
pub async fn schema_report(store: &RunStore) -> Result<SchemaReport> {
    store.require_document(REPORT).await
}

/// The schema files with their hashes, for the manifest.
pub async fn file_entries(store: &RunStore) -> Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    for key in [PRE_DATA, POST_DATA, REPORT, EXPECTED] {
        let hash = Hash::of(&store.require(key).await?);
        files.push(FileEntry {
            key: key.to_owned(),
            hash,
        });
    }
    Ok(files)
}
