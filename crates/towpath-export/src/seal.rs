//! Seals the export: the manifest is put last, and only when nothing is missing.

use std::collections::HashMap;

use towpath_model::digest::{Hash, RowDigest};
use towpath_model::inventory::SequenceState;
use towpath_model::manifest::{ExportedTable, FileEntry, Manifest, StoredChunk};
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::{ChunkId, ErrorKind, Failure, Result};
use towpath_postgres::SnapshotFacts;
use towpath_store::RunStore;

/// Key of the manifest.
const KEY: &str = "manifest.json";

/// What goes into the manifest beside the plan.
#[derive(Debug, Clone)]
pub struct SealInputs {
    /// Hash of `plan.json`.
    pub plan_hash: Hash,
    /// The snapshot.
    pub snapshot: SnapshotFacts,
    /// Now, RFC 3339.
    pub sealed_at: String,
    /// Schema files.
    pub files: Vec<FileEntry>,
    /// Sequences, read after the rows.
    pub sequences: Vec<SequenceState>,
    /// Every chunk.
    pub chunks: Vec<StoredChunk>,
}

/// Puts the manifest and gives it.
pub async fn seal(store: &RunStore, plan: &Plan, inputs: SealInputs) -> Result<Manifest> {
    let manifest = assemble(plan, inputs)?;
    store.put_document(KEY, &manifest).await?;
    Ok(manifest)
}

fn assemble(plan: &Plan, inputs: SealInputs) -> Result<Manifest> {
    let mut stored: HashMap<&ChunkId, Vec<&StoredChunk>> = HashMap::new();
    for chunk in &inputs.chunks {
        stored.entry(&chunk.chunk).or_default().push(chunk);
    }
    let tables: Vec<ExportedTable> = plan
        .tables
        .iter()
        .map(|table| exported_table(table, &stored))
        .collect::<Result<_>>()?;
    let planned: usize = plan.chunk_count();
    if planned != inputs.chunks.len() {
        return Err(Failure::new(
            ErrorKind::Internal,
            format!(
                "{} chunks are stored, {planned} are planned",
                inputs.chunks.len()
            ),
        ));
    }
    let mut manifest = Manifest {
        run: plan.run.clone(),
        plan: inputs.plan_hash,
        snapshot: inputs.snapshot.snapshot,
        snapshot_lsn: inputs.snapshot.lsn,
        snapshot_at: inputs.snapshot.taken_at,
        sealed_at: inputs.sealed_at,
        files: inputs.files,
        sequences: inputs.sequences,
        tables,
        root: Hash([0; 32]),
    };
    manifest.root = manifest.compute_root();
    Ok(manifest)
}

/// The planner listed every chunk; here each is looked up again, so one bug cannot hide a gap.
fn exported_table(
    table: &PlannedTable,
    stored: &HashMap<&ChunkId, Vec<&StoredChunk>>,
) -> Result<ExportedTable> {
    let chunks: Vec<StoredChunk> = table
        .chunks
        .iter()
        .map(|chunk| {
            let id = table.chunk_id(chunk.no);
            match stored.get(&id).map_or(&[][..], Vec::as_slice) {
                [chunk] => Ok((*chunk).clone()),
                [] => Err(Failure::new(
                    ErrorKind::Internal,
                    format!("could not seal: chunk {id} is not stored"),
                )),
                [_, _, ..] => Err(Failure::new(
                    ErrorKind::Internal,
                    format!("could not seal: chunk {id} is stored twice"),
                )),
            }
        })
        .collect::<Result<_>>()?;
    Ok(ExportedTable {
        table: table.id.clone(),
        digest: chunks
            .iter()
            .map(|chunk| &chunk.digest)
            .collect::<RowDigest>(),
        raw_bytes: chunks.iter().map(|chunk| chunk.raw_bytes).sum(),
        stored_bytes: chunks.iter().map(|chunk| chunk.stored_bytes).sum(),
        chunks,
    })
}
