//! Catching up: what the source accepted between the export and the fence is brought to the target,
//! under the fence, table by table, and both sides are seen to be equal.
//!
//! Which tables differ is not guessed from statistics or positions in the log: every table of both
//! sides is read, and its rows are compared. Those that were equal are not read again afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use towpath_load::{Extent, LoadContext, LoadOptions, TableCaughtUp};
use towpath_model::connection::Side;
use towpath_model::cutover::CaughtUpTable;
use towpath_model::journal::{Entry, RunStage};
use towpath_model::manifest::Manifest;
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::verification::{Difference, Measure, Reading, Story, Verification};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_store::{Journal, RunStore, read_journal};
use towpath_verify::{Level, VerifyContext};

use crate::clock;
use crate::commands::show;
use crate::context::Context;
use crate::pipeline::verifying::{self, Looking};
use crate::run_files::{self, StoredPlan};
use crate::run_state::RunState;
use crate::{signing, table};

/// Whether rows written since the export are brought over, or refuse the cutover.
pub fn is_wanted(context: &Context) -> Result<bool> {
    let words = ["tables", "never"];
    Ok(context.settings.word("fence.catch_up", &words)? == "tables")
}

/// What brings the target to the fence.
pub struct CatchUp<'a> {
    /// How the process was called.
    pub context: &'a Context,
    /// The run's store.
    pub store: &'a RunStore,
    /// Its plan.
    pub plan: &'a StoredPlan,
    /// Its journal.
    pub journal: &'a Journal,
    /// Whether the operator has agreed to lose what cannot be brought.
    pub accepts_loss: bool,
}

impl CatchUp<'_> {
    /// Finds the tables whose rows differ between the fenced source and the target, makes them equal on
    /// the target in one transaction there, and proves it: gives the key of the evidence. No consumer
    /// may have been switched.
    ///
    /// `structure` says whether the source is built as it was; it is asked while rows are compared,
    /// because writers wait for both, and answered before anything is written.
    pub async fn bring(
        &self,
        manifest: Manifest,
        structure: impl Future<Output = Result<()>>,
    ) -> Result<String> {
        let state = RunState::of(&read_journal(self.store).await?);
        if state.stage != Some(RunStage::Fenced) {
            return Err(Failure::new(
                ErrorKind::Internal,
                "rows can be caught up behind a fence only, before the first consumer is switched",
            ));
        }
        // First: behind the fence is no time to learn that the key cannot be read.
        let signer = signing::signer(self.context, self.store).await?;
        let catches_up = is_wanted(self.context)?;
        if !catches_up && self.accepts_loss {
            structure.await?;
            return Box::pin(self.look_at_the_export(manifest)).await;
        }
        let looking = self.looking(&manifest, 0).await?;
        let now = clock::now();
        let comparing = Box::pin(towpath_verify::verify(&looking, now, clock::now));
        let (found, structure) = tokio::join!(comparing, structure);
        structure?;
        let mut found = found?;
        let differing = self.differing(&found)?;
        let mut done = Vec::new();
        if !differing.is_empty() {
            if !catches_up {
                return Err(self.refusal(&differing));
            }
            done = Box::pin(self.write(&differing, Extent::Differing)).await?;
            Box::pin(self.look_again(&manifest, &mut found, &differing)).await?;
            // Texts do not show everything: a NaN with other bits, or what another version writes alike.
            if let Ok(still) = self.differing(&found)
                && !still.is_empty()
            {
                done.extend(Box::pin(self.write(&still, Extent::Whole)).await?);
                Box::pin(self.look_again(&manifest, &mut found, &still)).await?;
            }
        }
        let rows = done.iter().map(|it| it.written + it.removed).sum();
        self.enter(&state, &found, differing.len() as u64, rows)
            .await?;
        let (key, found) = verifying::keep(self.store, found, &signer).await?;
        self.refuse_difference(&key, &found)?;
        Ok(key)
    }

    async fn looking(&self, manifest: &Manifest, named: usize) -> Result<VerifyContext> {
        let looking = Looking {
            measure: Measure::Live,
            reading: Reading::Stream,
            max_differences: Some(named),
            ..BTreeSet::from([Level::Rows]).into()
        };
        let (context, plan) = (self.context, self.plan);
        verifying::verify_context(context, self.store, plan, manifest.clone(), looking).await
    }

    /// What was written since the export is given up, so the export is what the target must hold.
    async fn look_at_the_export(&self, manifest: Manifest) -> Result<String> {
        eprintln!("warning: what was written to the source since the export is lost");
        let looking = Looking::from(BTreeSet::from([Level::Rows]));
        let (context, store, journal) = (self.context, self.store, self.journal);
        let stage = Some(RunStage::Fenced);
        let verifying =
            verifying::verify(context, store, self.plan, manifest, looking, journal, stage);
        let (key, found) = Box::pin(verifying).await?;
        self.refuse_difference(&key, &found)?;
        Ok(key)
    }

    /// The tables to be caught up. What differs in another way than by its rows is no table to write to.
    fn differing(&self, found: &Verification) -> Result<Vec<&PlannedTable>> {
        let named: BTreeSet<&QualifiedName> = found
            .differences
            .iter()
            .filter_map(|difference| match difference {
                Difference::Rows { table, .. } => Some(table),
                _ => None,
            })
            .collect();
        if found.differences.len() != named.len() {
            return Err(Failure::new(
                ErrorKind::Differences,
                format!(
                    "source and target differ behind the fence in what cannot be caught up: {}",
                    show::verdict(found)
                ),
            ));
        }
        let tables: Vec<&PlannedTable> = self
            .plan()
            .tables
            .iter()
            .filter(|table| named.contains(&table.name))
            .filter(|table| table.rows.is_table() || !self.accepts_loss)
            .collect();
        towpath_load::refuse_large_objects(&tables)?;
        Ok(tables)
    }

    fn plan(&self) -> &Plan {
        &self.plan.plan
    }

    fn refusal(&self, differing: &[&PlannedTable]) -> Failure {
        let run = &self.plan().run;
        let named: Vec<String> = differing
            .iter()
            .take(5)
            .map(|it| it.name.to_string())
            .collect();
        Failure::new(
            ErrorKind::Blocked,
            format!(
                "the source has changed since the export in {}: {}, and fence.catch_up is never",
                table::counted(differing.len() as u64, "table"),
                named.join(", ")
            ),
        )
        .hint(format!(
            "set fence.catch_up to tables, begin a new run, or lose those changes with --accept-source-changes {run}"
        ))
    }

    /// Makes tables equal on the target.
    async fn write(&self, tables: &[&PlannedTable], extent: Extent) -> Result<Vec<TableCaughtUp>> {
        let load = self.load_context().await?;
        let source = self.context.url(Side::Source)?;
        let options = self.context.session_options(Side::Source, "");
        Box::pin(towpath_load::catch_up(
            &load, &source, &options, tables, extent,
        ))
        .await
    }

    async fn load_context(&self) -> Result<LoadContext> {
        let context = self.context;
        Ok(LoadContext {
            target: context.url(Side::Target)?,
            store: self.store.clone(),
            plan: Arc::clone(&self.plan.plan),
            key: run_files::key(self.store).await?,
            options: LoadOptions {
                jobs: context.jobs(self.plan())?,
                session: context.session_options(Side::Target, ""),
                maintenance_work_mem_mib: context
                    .settings
                    .number("copy.maintenance_work_mem_mib")?,
                target_processors: None,
            },
            events: context.events.clone(),
            stop: context.stop.clone(),
        })
    }

    /// Reads the tables that were written once more, on both sides, and enters what is there now.
    async fn look_again(
        &self,
        manifest: &Manifest,
        found: &mut Verification,
        tables: &[&PlannedTable],
    ) -> Result<()> {
        let named = self.context.settings.number("verify.max_differences")?;
        let named = usize::try_from(named).unwrap_or(usize::MAX);
        let mut looking = self.looking(manifest, named).await?;
        looking.plan = Arc::new(Plan {
            tables: tables.iter().copied().cloned().collect(),
            ..self.plan().clone()
        });
        let again = Box::pin(towpath_verify::prove_live(&looking)).await?;
        let is_again = |name: &QualifiedName| tables.iter().any(|table| table.name == *name);
        found.live.retain(|proof| !is_again(&proof.table));
        found.live.extend(again.tables);
        found.live.sort_by(|a, b| a.table.cmp(&b.table));
        found.differences.retain(
            |difference| !matches!(difference, Difference::Rows { table, .. } if is_again(table)),
        );
        found.differences.extend(again.differences);
        found.ended_at = clock::now();
        Ok(())
    }

    /// Journals which tables no longer hold what was exported. A process that was killed between its
    /// commit on the target and this has left nothing to be written, but something to be entered.
    async fn enter(
        &self,
        state: &RunState,
        found: &Verification,
        tables: u64,
        rows: u64,
    ) -> Result<()> {
        let ids = |name: &QualifiedName| self.plan().tables.iter().find(|it| it.name == *name);
        let now: Vec<CaughtUpTable> = found
            .live
            .iter()
            .filter(|proof| proof.source == proof.target && proof.source != proof.exported)
            .filter_map(|proof| {
                ids(&proof.table).map(|table| CaughtUpTable {
                    table: table.id.clone(),
                    name: proof.table.clone(),
                    digest: proof.source,
                })
            })
            .collect();
        if tables == 0 && now == state.caught_up {
            return Ok(());
        }
        self.journal
            .append(Entry::CaughtUp { tables, rows, now })
            .await
    }

    /// Nobody is switched to a target that is not what the source is, but for what was given up.
    fn refuse_difference(&self, key: &str, found: &Verification) -> Result<()> {
        let is_given_up = |difference: &Difference| match difference {
            Difference::Rows { table, story, .. } => {
                let planned = self.plan().tables.iter().find(|it| it.name == *table);
                let is_table = planned.is_some_and(|it| it.rows.is_table());
                self.accepts_loss && !is_table && *story == Some(Story::SourceMoved)
            }
            _ => false,
        };
        if found.differences.iter().all(is_given_up) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Differences,
            format!(
                "source and target differ behind the fence: {}",
                show::verdict(found)
            ),
        )
        .at(self.store.describe(key)))
    }
}
