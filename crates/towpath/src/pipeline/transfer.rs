//! Export and load, each alone or overlapped.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use towpath_export::{ExportContext, ExportOptions, Gate, SealInputs};
use towpath_load::{ClearOptions, Early, LoadContext, LoadOptions, Loaded, LoadedBy};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RunKey;
use towpath_model::event::{Stage, Unit};
use towpath_model::journal::{Entry, RunStage};
use towpath_model::manifest::{Manifest, StoredChunk};
use towpath_model::schema::CleanSchema;
use towpath_model::subset::{KeptRows, TableSubset};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_plan::target_processors;
use towpath_postgres::catalog::queries;
use towpath_postgres::{Session, SnapshotHolder, catalog};
use towpath_store::{CodecPolicy, Journal, RunStore, read_journal};
use towpath_verify::open_manifest;

use crate::context::Context;
use crate::pipeline::clone::{Cloning, reuse, subset};
use crate::pipeline::planning::{schema_change, unplanned_large_objects};
use crate::pipeline::survey::survey;
use crate::pipeline::{enter, timed};
use crate::run_files::{self, StoredPlan};
use crate::run_state::RunState;
use crate::table::counted;
use crate::{aws, clock};

mod take_over;

/// Stored chunks that wait to be loaded. They are but their names, their bytes are in the store: room
/// enough for small ones to be loaded many at a time, and for the source's snapshot to be let go while
/// the target is still busy.
const QUEUE: usize = 256;

/// Snapshots taken before giving up on a source whose tables are rewritten all the time.
const SNAPSHOT_ATTEMPTS: u32 = 5;

/// One run being worked on under its lease.
pub struct Transfer<'t> {
    /// Context of the process.
    pub context: &'t Context,
    /// Run store.
    pub store: &'t RunStore,
    /// Plan.
    pub plan: &'t StoredPlan,
    /// Journal of this process.
    pub journal: Journal,
    replace: Option<String>,
    key: RunKey,
    state: RunState,
    /// Of the plan, when it was made just now.
    planned_in: Mutex<Option<SnapshotHolder>>,
    /// For a clone: how rows are masked, and which of them go.
    cloning: Option<&'t Cloning>,
}

impl<'t> Transfer<'t> {
    /// Reads what earlier processes of the run have left.
    pub async fn open(
        context: &'t Context,
        store: &'t RunStore,
        plan: &'t StoredPlan,
        journal: Journal,
        replace: Option<&str>,
        planned_in: Option<SnapshotHolder>,
    ) -> Result<Self> {
        let state = RunState::of(&read_journal(store).await?);
        // What is loaded needs no chunk any more, unless the target is to be emptied first.
        if state.stage < Some(RunStage::Loaded) || replace.is_some() {
            state.require_staged(store.run())?;
        }
        Ok(Self {
            context,
            store,
            plan,
            journal,
            replace: replace.map(str::to_owned),
            key: run_files::key(store).await?,
            state,
            planned_in: Mutex::new(planned_in),
            cloning: None,
        })
    }

    /// The same for a clone.
    pub fn cloning(self, cloning: &'t Cloning) -> Self {
        Self {
            cloning: Some(cloning),
            ..self
        }
    }

    /// Where the run is.
    pub fn stage(&self) -> Option<RunStage> {
        self.state.stage
    }

    /// The manifest, if the export is sealed.
    pub async fn manifest(&self) -> Result<Option<Manifest>> {
        if self.store.get("manifest.json").await?.is_none() {
            return Ok(None);
        }
        open_manifest(self.store, &self.plan.plan, self.plan.hash, None)
            .await
            .map(Some)
    }

    /// Exports what is not exported yet; gives the sealed manifest.
    pub async fn export(&self) -> Result<Manifest> {
        if let Some(manifest) = self.manifest().await? {
            return Ok(manifest);
        }
        timed(&self.journal, "export", async {
            let mut begun = self.begin_export().await?;
            let kept = self.prove(&mut begun).await?;
            let chunks = self.copy(&mut begun, kept, None).await?;
            self.seal(begun, chunks).await
        })
        .await
    }

    /// Loads a sealed export.
    pub async fn load(&self, manifest: &Manifest) -> Result<()> {
        self.snapshot_target().await?;
        self.make_room().await?;
        let load = self.load_context()?;
        let loaded = timed(&self.journal, "load", async {
            let early = self.prepare(&load).await?;
            let chunks: Vec<StoredChunk> = manifest.chunks().cloned().collect();
            self.reset_stale(&load, &early, &chunks).await?;
            let (sender, receiver) = mpsc::channel(QUEUE);
            let feed = async move {
                for chunk in chunks {
                    if sender.send(chunk).await.is_err() {
                        break;
                    }
                }
            };
            self.context
                .events
                .start(Stage::Load, manifest.raw_bytes(), Unit::Bytes);
            let loading = towpath_load::load_chunks(&load, early, receiver);
            let (loaded, ()) = tokio::join!(loading, feed);
            let loaded = loaded?;
            self.context.events.finish(Stage::Load);
            Ok(loaded)
        })
        .await?;
        self.finish_load(&load, manifest, loaded).await
    }

    /// Exports and loads at once: a chunk is loaded as soon as it is stored and journalled, and a
    /// table gets its indexes and keys as soon as its last chunk is in. Nothing else that comes after
    /// the rows begins before the manifest is sealed.
    pub async fn export_and_load(&self) -> Result<Manifest> {
        if let Some(manifest) = self.manifest().await? {
            self.note_again().await?;
            self.load(&manifest).await?;
            return Ok(manifest);
        }
        if let Some(from) = self.cloning.and_then(|cloning| cloning.from.as_ref()) {
            return Box::pin(self.take_over_and_load(from)).await;
        }
        // An RDS snapshot may take an hour: taken before the source is held by a snapshot and locks.
        self.snapshot_target().await?;
        let mut begun = self.begin_export().await?;
        let mut kept = self.prove(&mut begun).await?;
        self.reuse(&mut begun, &mut kept).await?;
        self.make_room().await?;
        let load = self.load_context()?;
        let (manifest, loaded) = timed(&self.journal, "export and load", async {
            let early = self.prepare(&load).await?;
            self.reset_stale(&load, &early, &kept).await?;
            let (sender, receiver) = mpsc::channel(QUEUE);
            self.context
                .events
                .start(Stage::Load, self.plan.plan.bytes(), Unit::Bytes);
            // Sealed as soon as everything is stored, while the loader catches up: nothing needs
            // the snapshot any more, and nobody would keep its session alive.
            let exporting = async {
                let feeding = sender.clone();
                let feed = async {
                    for chunk in kept.clone() {
                        if feeding.send(chunk).await.is_err() {
                            break;
                        }
                    }
                    drop(feeding);
                };
                // Side by side: nobody would keep the snapshot's session alive while kept chunks
                // wait for the loader.
                let copying = Box::pin(self.copy(&mut begun, kept.clone(), Some(sender)));
                let (chunks, ()) = tokio::join!(copying, feed);
                let sealed = match chunks {
                    Ok(chunks) => self.seal(begun, chunks).await,
                    Err(failure) => Err(failure),
                };
                if sealed.is_err() {
                    self.context.stop.raise();
                }
                sealed
            };
            let done = self.beside(&load, early, receiver, exporting).await;
            done.map_err(|failure| self.told_of_reuse(failure))
        })
        .await?;
        self.finish_load(&load, &manifest, loaded).await?;
        Ok(manifest)
    }

    /// Exports and loads at once, each to its end.
    async fn beside(
        &self,
        load: &LoadContext,
        early: Early,
        receiver: mpsc::Receiver<StoredChunk>,
        exporting: impl Future<Output = Result<Manifest>>,
    ) -> Result<(Manifest, Loaded)> {
        // Timed each by itself as well: the report shows how far they overlap.
        let exporting = Box::pin(timed(&self.journal, "export", exporting));
        let loading = towpath_load::load_chunks(load, early, receiver);
        let loading = Box::pin(timed(&self.journal, "load", loading));
        let (sealed, loaded) = tokio::join!(exporting, loading);
        // The side that failed first made the other stop; its error is the one to tell.
        let done = match (sealed, loaded) {
            (Ok(manifest), Ok(loaded)) => (manifest, loaded),
            (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => return Err(failure),
            (Err(export), Err(load)) if export.kind() == ErrorKind::Interrupted => {
                return Err(load);
            }
            (Err(export), Err(_)) => return Err(export),
        };
        self.context.events.finish(Stage::Load);
        Ok(done)
    }

    /// A snapshot of the planned source and schema that no TRUNCATE or rewrite can undermine any
    /// more: every table of the export is locked, and none was rewritten before the lock was there.
    async fn locked_snapshot(&self) -> Result<SnapshotHolder> {
        let tables: Vec<_> = self
            .plan
            .plan
            .tables
            .iter()
            .filter(|table| table.rows.is_table())
            .map(|table| table.name.clone())
            .collect();
        let mut planned_in = self.take_planned_in();
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let is_plans = planned_in.is_some();
            let mut holder = match planned_in.take() {
                Some(holder) => holder,
                None => Box::pin(self.planned_snapshot()).await?,
            };
            let rewritten = match holder.lock(&tables).await {
                Ok(rewritten) => rewritten,
                // A table is gone, or the session: another look at the schema has more to say. Who
                // holds a lock will hold it against the next snapshot too.
                Err(failure) if is_plans && queries::sqlstate(&failure) != Some("55P03") => {
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let Some(first) = rewritten.first() else {
                return Ok(holder);
            };
            let text = format!("{first} was rewritten just now; taking another snapshot");
            self.context.events.note(Stage::Export, text);
            holder.release().await?;
        }
        Err(Failure::new(
            ErrorKind::SnapshotLost,
            "tables of the source are truncated or rewritten again and again",
        )
        .hint("stop the job that does it, then the same command resumes"))
    }

    fn take_planned_in(&self) -> Option<SnapshotHolder> {
        let mut planned_in = self
            .planned_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        planned_in.take()
    }

    /// Takes a snapshot and proves that source and schema in it are those that were planned.
    async fn planned_snapshot(&self) -> Result<SnapshotHolder> {
        let plan = &self.plan.plan;
        let (found, holder) = Box::pin(survey(self.context, &plan.run)).await?;
        let planned = &plan.source.facts;
        if planned.system_identifier != found.source.system_identifier {
            return Err(Failure::new(
                ErrorKind::Blocked,
                "the source is another cluster than the one that was planned",
            )
            .hint("a restored or failed-over source begins a new run: use --new-run"));
        }
        if let Some(what) = schema_change(plan, &found.schema)? {
            return Err(Failure::new(
                ErrorKind::Blocked,
                format!("the schema of the source has changed since the plan: {what}"),
            )
            .hint("rows of two schemas do not make one export; start over with --new-run"));
        }
        if unplanned_large_objects(self.context, plan, &found)? {
            return Err(Failure::new(
                ErrorKind::Blocked,
                "the source has large objects that it did not have when the plan was made",
            )
            .hint("start over with --new-run"));
        }
        Ok(holder)
    }

    /// Takes a snapshot, and everything that reads in it.
    async fn begin_export(&self) -> Result<BegunExport> {
        let plan = &self.plan.plan;
        let mut holder = self.locked_snapshot().await?;
        let facts = holder.facts().clone();
        let kept = match self.cloning {
            Some(cloning) => {
                Box::pin(subset::choose(self.context, cloning, plan, &mut holder)).await?
            }
            None => KeptRows::default(),
        };
        let same_snapshot = self
            .state
            .snapshot
            .as_ref()
            .is_some_and(|last| last.snapshot == facts.snapshot);
        enter(&self.journal, RunStage::Exporting).await?;
        self.journal
            .append(Entry::Snapshot {
                snapshot: facts.snapshot.clone(),
                lsn: facts.lsn.clone(),
                pre_data: plan.pre_data,
                post_data: plan.post_data,
            })
            .await?;
        let export = ExportContext {
            source: self.context.url(Side::Source)?,
            snapshot_id: facts.id,
            store: self.store.clone(),
            journal: self.journal.clone(),
            plan: plan.clone(),
            key: self.key.clone(),
            options: ExportOptions {
                jobs: self.context.jobs(&self.plan.plan)?,
                session: self.context.session_options(Side::Source, ""),
                codec: CodecPolicy::new(self.context.codec()?, self.store.is_remote()),
                guard: self.context.guard()?,
            },
            events: self.context.events.clone(),
            stop: self.context.stop.clone(),
            masking: self.cloning.and_then(|cloning| cloning.masking.clone()),
            kept: Arc::new(kept),
            gate: Gate::default(),
        };
        Ok(BegunExport {
            export,
            holder,
            same_snapshot,
        })
    }

    /// The chunks of earlier processes that hold under the current snapshot. Two snapshots of one
    /// cluster with the same text see the same transactions, so what was proven under one holds
    /// under the other; everything else is read again and compared by digest.
    async fn prove(&self, begun: &mut BegunExport) -> Result<Vec<StoredChunk>> {
        let state = &self.state;
        let (mut kept, doubtful): (Vec<StoredChunk>, Vec<StoredChunk>) =
            state.chunks.values().cloned().partition(|chunk| {
                let is_known = begun.same_snapshot && state.proven.contains(&chunk.chunk);
                is_known
                    && !self.is_noted_again(chunk)
                    && !self.is_chosen_again(chunk)
                    && !self.reuses()
            });
        let events = &self.context.events;
        events.start(Stage::Export, self.plan.plan.bytes(), Unit::Bytes);
        if !kept.is_empty() {
            events.note(
                Stage::Export,
                format!("{} stored already", counted(kept.len() as u64, "chunk")),
            );
            events.advance(
                Stage::Export,
                kept.iter().map(|chunk| chunk.raw_bytes).sum(),
            );
        }
        if doubtful.is_empty() {
            return Ok(kept);
        }
        events.note(
            Stage::Export,
            format!(
                "proving {}: the snapshot is gone that they were read in",
                counted(doubtful.len() as u64, "stored chunk")
            ),
        );
        let proven = towpath_export::prove(&begun.export, &mut begun.holder, doubtful).await?;
        if proven.stale > 0 {
            events.note(
                Stage::Export,
                match proven.stale {
                    1 => "1 chunk has changed on the source and is exported again".to_owned(),
                    stale => {
                        format!("{stale} chunks have changed on the source and are exported again")
                    }
                },
            );
        }
        kept.extend(proven.kept);
        Ok(kept)
    }

    /// Whether stored chunks may be another run's. They hold the rows of their table, by page ranges
    /// of that run's snapshot: as long as not all of a table are there, none is known to hold what its
    /// slice shows now.
    fn reuses(&self) -> bool {
        let clone = self.plan.plan.clone.as_ref();
        clone.is_some_and(|clone| clone.reuses.is_some())
    }

    /// Whether which rows a chunk holds was chosen by another process. The snapshot is the same, and
    /// what a condition says may be of the moment: `now()` is one of the transaction.
    fn is_chosen_again(&self, chunk: &StoredChunk) -> bool {
        let table = self.plan.plan.table(&chunk.chunk.table);
        table.is_some_and(|table| matches!(table.subset, Some(TableSubset::Kept { .. })))
    }

    /// Whether a stored chunk is read once more because what its masked columns held is to be noted:
    /// the process that did so has taken it along.
    fn is_noted_again(&self, chunk: &StoredChunk) -> bool {
        let masking = self.cloning.and_then(|cloning| cloning.masking.as_ref());
        let notes = masking.is_some_and(|masking| masking.originals.is_some());
        let table = self.plan.plan.table(&chunk.chunk.table);
        notes && table.is_some_and(|table| !table.masks.is_empty())
    }

    async fn copy(
        &self,
        begun: &mut BegunExport,
        kept: Vec<StoredChunk>,
        stored: Option<mpsc::Sender<StoredChunk>>,
    ) -> Result<Vec<StoredChunk>> {
        let tried = |chunk: &towpath_model::ChunkId| self.state.attempts_at(chunk);
        let chunks =
            towpath_export::copy(&begun.export, &mut begun.holder, kept, tried, stored).await?;
        self.context.events.finish(Stage::Export);
        Ok(chunks)
    }

    async fn seal(&self, mut begun: BegunExport, chunks: Vec<StoredChunk>) -> Result<Manifest> {
        let plan = &self.plan.plan;
        let sequences = catalog::sequence_states(begun.holder.session(), &plan.sequences).await?;
        if self.cloning.is_some() {
            reuse::remember(self.store, plan, begun.holder.session()).await?;
        }
        let inputs = SealInputs {
            plan_hash: self.plan.hash,
            snapshot: begun.holder.facts().clone(),
            sealed_at: clock::now(),
            files: run_files::file_entries(self.store).await?,
            sequences,
            chunks,
        };
        let manifest = towpath_export::seal(self.store, plan, inputs).await?;
        enter(&self.journal, RunStage::Sealed).await?;
        begun.holder.release().await?;
        self.context.events.note(
            Stage::Export,
            format!("sealed; manifest root {}", manifest.root),
        );
        Ok(manifest)
    }

    fn load_context(&self) -> Result<LoadContext> {
        Ok(LoadContext {
            target: self.context.url(Side::Target)?,
            store: self.store.clone(),
            plan: Arc::clone(&self.plan.plan),
            key: self.key.clone(),
            options: LoadOptions {
                jobs: self.context.jobs(&self.plan.plan)?,
                session: self.context.session_options(Side::Target, ""),
                maintenance_work_mem_mib: self
                    .context
                    .settings
                    .number("copy.maintenance_work_mem_mib")?,
                target_processors: target_processors(
                    self.context.machine(),
                    &self.plan.plan.target.facts,
                ),
            },
            events: self.context.events.clone(),
            stop: self.context.stop.clone(),
        })
    }

    /// A way back for the target, before the first byte is written to it.
    async fn snapshot_target(&self) -> Result<()> {
        if self.context.aside.is_some() {
            // Nothing is written that would have to be taken back, and a snapshot would stay.
            return Ok(());
        }
        if self.state.target_snapshot.is_some() || self.state.stage >= Some(RunStage::Loading) {
            return Ok(());
        }
        let target = self.context.url(Side::Target)?;
        if aws::is_rds(self.context, &target)
            && let Some(holder) = self.take_planned_in()
        {
            // It takes minutes at least, and the source cannot clean up meanwhile.
            holder.release().await?;
        }
        let taken = aws::snapshot_target(self.context, &target, &self.plan.plan.run).await?;
        if let Some((identifier, status)) = taken {
            let text = format!("RDS snapshot {identifier} of the target: {status}");
            self.context.events.note(Stage::Load, text);
            self.journal
                .append(Entry::TargetSnapshot { identifier })
                .await?;
        }
        Ok(())
    }

    /// Room for the rows, and the word that loading begins.
    async fn make_room(&self) -> Result<()> {
        if let Some(confirmed) = &self.replace {
            self.clear(&self.context.url(Side::Target)?, confirmed)
                .await?;
        }
        enter(&self.journal, RunStage::Loading).await
    }

    /// Clears the target, unless what is there is this run's own.
    async fn clear(&self, target: &ConnectionUrl, confirmed: &str) -> Result<()> {
        let session_options = |side| self.context.session_options(side, "towpath/replace");
        let options = ClearOptions {
            source: session_options(Side::Source),
            target: session_options(Side::Target),
            token: i64::from(i32::from_be_bytes(clock::random()?).unsigned_abs()),
        };
        let mut session = Session::connect(target, Side::Target, &options.target).await?;
        let loaded_by = towpath_load::loaded_by(&mut session).await?;
        session.close().await;
        if loaded_by == LoadedBy::Run(self.plan.plan.run.clone()) {
            return Ok(());
        }
        let source = self.context.url(Side::Source)?;
        let dropped = towpath_load::clear(&source, target, &options, confirmed).await?;
        let text = format!("dropped {dropped} schemas of target database {confirmed}");
        self.context.events.note(Stage::Load, text);
        Ok(())
    }

    /// The clean schema as it was stored. Read when it is needed and let go: the survey of an export
    /// holds another one.
    async fn schema(&self) -> Result<CleanSchema> {
        let schema = run_files::clean_schema(self.store, &self.plan.plan).await?;
        Ok(self.context.left_alone().rehearsed(schema))
    }

    /// Makes the target ready; gives what may be built while rows come in.
    async fn prepare(&self, load: &LoadContext) -> Result<Early> {
        let schema = self.schema().await?;
        towpath_load::prepare(load, &schema).await?;
        Ok(Early::of(schema.post_data))
    }

    async fn reset_stale(
        &self,
        load: &LoadContext,
        early: &Early,
        known: &[StoredChunk],
    ) -> Result<()> {
        let schema = async || self.schema().await;
        let reset = towpath_load::reset_stale(load, schema, early, known).await?;
        for table in reset {
            let text = format!(
                "{table} is loaded again: the source has other rows now, or the target has lost these"
            );
            self.context.events.note(Stage::Load, text);
        }
        Ok(())
    }

    async fn finish_load(
        &self,
        load: &LoadContext,
        manifest: &Manifest,
        loaded: Loaded,
    ) -> Result<()> {
        timed(&self.journal, "indexes, constraints and policies", async {
            towpath_load::set_sequences(load, &manifest.sequences).await?;
            let statements = run_files::post_data(self.store, &self.plan.plan).await?;
            let statements = self.context.left_alone().remaining(statements);
            towpath_load::post_data(load, &statements, loaded.analysed).await
        })
        .await?;
        enter(&self.journal, RunStage::Loaded).await
    }
}

/// An export whose snapshot is held.
struct BegunExport {
    export: ExportContext,
    holder: SnapshotHolder,
    same_snapshot: bool,
}
