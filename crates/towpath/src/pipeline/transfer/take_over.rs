//! A clone of a sealed run: its chunks are taken over in place of an export.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use towpath_export::{SealInputs, TakeOver};
use towpath_model::event::{Stage, Unit};
use towpath_model::journal::{Entry, RunStage};
use towpath_model::manifest::{Manifest, StoredChunk};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::SnapshotFacts;
use towpath_store::CodecPolicy;

use super::{BegunExport, QUEUE, Transfer};
use crate::pipeline::clone::{Sealed, reuse};
use crate::pipeline::{enter, timed};
use crate::table::counted;
use crate::{clock, run_files};

impl Transfer<'_> {
    /// Takes chunks over and loads them at once. Nothing that was taken over before is proven anew:
    /// a sealed run does not change.
    pub(super) async fn take_over_and_load(&self, from: &Sealed) -> Result<Manifest> {
        let kept: Vec<StoredChunk> = self.state.chunks.values().cloned().collect();
        self.begin_taking_over(from).await?;
        self.make_room().await?;
        let load = self.load_context()?;
        let (manifest, loaded) = timed(&self.journal, "export and load", async {
            let early = self.prepare(&load).await?;
            self.reset_stale(&load, &early, &kept).await?;
            let (sender, receiver) = mpsc::channel(QUEUE);
            let bytes = from.manifest.raw_bytes();
            self.context.events.start(Stage::Load, bytes, Unit::Bytes);
            let taking = async {
                let taken = self.take_over(from, kept, Some(sender)).await;
                let sealed = match taken {
                    Ok(chunks) => self.seal_taken(from, chunks).await,
                    Err(failure) => Err(failure),
                };
                if sealed.is_err() {
                    self.context.stop.raise();
                }
                sealed
            };
            self.beside(&load, early, receiver, taking).await
        })
        .await?;
        self.finish_load(&load, &manifest, loaded).await?;
        Ok(manifest)
    }

    /// Notes once more what the masked columns of a sealed run hold, for a process that finds them
    /// masked and stored already.
    pub async fn note_again(&self) -> Result<()> {
        let Some(from) = self.cloning.and_then(|cloning| cloning.from.as_ref()) else {
            return Ok(());
        };
        let kept: Vec<StoredChunk> = self.state.chunks.values().cloned().collect();
        if kept.iter().any(|chunk| self.is_noted_again(chunk)) {
            self.take_over(from, kept, None).await?;
        }
        Ok(())
    }

    async fn begin_taking_over(&self, from: &Sealed) -> Result<()> {
        let (plan, manifest) = (&self.plan.plan, &from.manifest);
        enter(&self.journal, RunStage::Exporting).await?;
        self.journal
            .append(Entry::Snapshot {
                snapshot: manifest.snapshot.clone(),
                lsn: manifest.snapshot_lsn.clone(),
                pre_data: plan.pre_data,
                post_data: plan.post_data,
            })
            .await
    }

    /// Takes over the chunks of tables that are proven to be what they were in the run before.
    pub(super) async fn reuse(
        &self,
        begun: &mut BegunExport,
        kept: &mut Vec<StoredChunk>,
    ) -> Result<()> {
        let Some((cloning, before)) = self
            .cloning
            .and_then(|cloning| Some((cloning, cloning.reuses.as_ref()?)))
        else {
            return Ok(());
        };
        let plan = &self.plan.plan;
        let text = format!(
            "counting rows of tables that run {} has stored",
            before.plan.plan.run
        );
        self.context.events.note(Stage::Export, text);
        let proving = reuse::unchanged(self.context, cloning, plan, &mut begun.holder);
        let mut unchanged = timed(&self.journal, "tables as they were", proving).await?;
        // What an earlier process of this run has begun is its own, by page ranges of this snapshot.
        for chunk in self.state.chunks.keys() {
            unchanged.remove(&chunk.table);
        }
        if unchanged.is_empty() {
            return Ok(());
        }
        let context = self.taking_from(before)?;
        let tried = |chunk: &towpath_model::ChunkId| self.state.attempts_at(chunk);
        let holder = &mut begun.holder;
        let adopted = towpath_export::adopt_tables(&context, holder, &unchanged, tried).await?;
        let tables: BTreeSet<_> = adopted.iter().map(|chunk| &chunk.chunk.table).collect();
        let run = &before.plan.plan.run;
        if tables.len() < unchanged.len() {
            let lost = counted((unchanged.len() - tables.len()) as u64, "table");
            let text = format!("{lost} of which run {run} has lost chunks: read again");
            self.context.events.note(Stage::Export, text);
        }
        let tables = match tables.len() {
            1 => "1 table is what it was".to_owned(),
            tables => format!("{tables} tables are what they were"),
        };
        let text = format!(
            "{tables} in run {run}; used again: {}",
            counted(adopted.len() as u64, "stored chunk")
        );
        self.context.events.note(Stage::Export, text);
        kept.extend(adopted);
        Ok(())
    }

    /// What is used again is not read before it is loaded, and the same command would use it again.
    pub(super) fn told_of_reuse(&self, failure: Failure) -> Failure {
        let clone = self.plan.plan.clone.as_ref();
        let damaged = matches!(
            failure.kind(),
            ErrorKind::ChunkCorrupt | ErrorKind::ObjectMissing
        );
        match clone.and_then(|clone| clone.reuses.as_ref()) {
            Some(run) if damaged => failure.hint(format!(
                "chunks of run {run} are used again, and this may be one: `towpath verify {run} --chunks` tells; \
                 with --anew and TOWPATH_CLONE_REUSE=no the clone reads everything at its source"
            )),
            _ => failure,
        }
    }

    fn taking_from(&self, from: &Sealed) -> Result<TakeOver> {
        Ok(TakeOver {
            from: from.store.clone(),
            manifest: Arc::clone(&from.manifest),
            store: self.store.clone(),
            journal: self.journal.clone(),
            plan: Arc::clone(&self.plan.plan),
            key: self.key.clone(),
            jobs: self.context.jobs(&self.plan.plan)?,
            codec: CodecPolicy::new(self.context.codec()?, self.store.is_remote()),
            masking: self.cloning.and_then(|cloning| cloning.masking.clone()),
            events: self.context.events.clone(),
            stop: self.context.stop.clone(),
        })
    }

    async fn take_over(
        &self,
        from: &Sealed,
        kept: Vec<StoredChunk>,
        stored: Option<mpsc::Sender<StoredChunk>>,
    ) -> Result<Vec<StoredChunk>> {
        let context = self.taking_from(from)?;
        let events = &self.context.events;
        events.start(Stage::Export, from.manifest.raw_bytes(), Unit::Bytes);
        let feeding = stored.clone();
        let already = kept.clone();
        let feed = async move {
            let Some(feeding) = feeding else { return };
            for chunk in already {
                if feeding.send(chunk).await.is_err() {
                    break;
                }
            }
        };
        let tried = |chunk: &towpath_model::ChunkId| self.state.attempts_at(chunk);
        let taking = Box::pin(towpath_export::take_over(&context, kept, tried, stored));
        let (chunks, ()) = tokio::join!(taking, feed);
        let chunks = chunks?;
        events.finish(Stage::Export);
        Ok(chunks)
    }

    /// The manifest of this run: other chunks, the same moment of the source.
    async fn seal_taken(&self, from: &Sealed, chunks: Vec<StoredChunk>) -> Result<Manifest> {
        let sealed = &from.manifest;
        let inputs = SealInputs {
            plan_hash: self.plan.hash,
            snapshot: SnapshotFacts {
                id: String::new(),
                snapshot: sealed.snapshot.clone(),
                lsn: sealed.snapshot_lsn.clone(),
                taken_at: sealed.snapshot_at.clone(),
            },
            sealed_at: clock::now(),
            files: run_files::file_entries(self.store).await?,
            sequences: sealed.sequences.clone(),
            chunks,
        };
        let manifest = towpath_export::seal(self.store, &self.plan.plan, inputs).await?;
        enter(&self.journal, RunStage::Sealed).await?;
        let text = format!("sealed; manifest root {}", manifest.root);
        self.context.events.note(Stage::Export, text);
        Ok(manifest)
    }
}
