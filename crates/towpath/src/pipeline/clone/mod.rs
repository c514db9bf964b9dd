//! A clone: what is asked for becomes a plan, the plan becomes a database aside, the database is
//! verified and swapped in. Until the swap, which is one transaction, the clone before it serves and
//! nothing touches it.

pub mod coverage;
pub mod database;
pub mod hooks;
pub mod masks;
pub mod order;
pub mod proving;
pub mod reuse;
pub mod sequences;
pub mod subset;

use std::sync::Arc;

use towpath_export::Masking;
use towpath_model::clone::{CloneMark, ClonePlan, CloneState};
use towpath_model::journal::{Entry, RunStage};
use towpath_model::keys::KeyFacts;
use towpath_model::manifest::Manifest;
use towpath_model::plan::Plan;
use towpath_model::schema::CleanSchema;
use towpath_model::verification::Verification;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::SnapshotHolder;
use towpath_store::{Journal, RunStore};

use crate::commands::{ask, show};
use crate::context::{Aside, Context};
use crate::pipeline::transfer::Transfer;
use crate::pipeline::{enter, planning, survey, timed, verifying};
use crate::run_files::{self, StoredPlan};
use crate::run_state::{RunState, StagedRows};
use crate::{clock, pipeline::clone::database::Swapped};

pub use order::Order;

/// What an export needs to know when it is for a clone.
pub struct Cloning {
    /// How rows are masked.
    pub masking: Option<Masking>,
    /// Rules, for the choice of rows.
    pub order: Order,
    /// Keys and references of the source.
    pub facts: KeyFacts,
    /// The sealed run that rows are taken of, in place of the source.
    pub from: Option<Sealed>,
    /// The run whose stored chunks may be used again.
    pub reuses: Option<Sealed>,
}

/// A sealed run.
#[derive(Clone)]
pub struct Sealed {
    /// Its store.
    pub store: RunStore,
    /// Its plan.
    pub plan: StoredPlan,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
}

impl Sealed {
    /// Opens a sealed run.
    pub async fn open(context: &Context, run: &RunId) -> Result<Self> {
        let store = context.open_store(run).await?;
        let plan = run_files::require_plan(&store).await?;
        RunState::of(&towpath_store::read_journal(&store).await?).require_staged(run)?;
        let manifest = towpath_verify::open_manifest(&store, &plan.plan, plan.hash, None).await?;
        Ok(Self {
            store,
            plan,
            manifest: Arc::new(manifest),
        })
    }
}

/// A clone that is planned, or that an earlier process has begun.
pub struct Begun {
    /// Folder of the clone's run.
    pub store: RunStore,
    /// Its plan.
    pub plan: StoredPlan,
    /// The clean schema.
    pub schema: CleanSchema,
    /// What its export is to do.
    pub cloning: Cloning,
    /// The snapshot that it was planned in.
    pub snapshot: Option<SnapshotHolder>,
    /// The database that an earlier process has built a part of.
    pub unfinished: Option<CloneMark>,
}

/// How a clone ended that was not stopped.
pub struct Cloned {
    /// Where the evidence is.
    pub evidence: String,
    /// What verification found.
    pub verification: Verification,
    /// What was swapped; nothing when verification found differences.
    pub swapped: Option<Swapped>,
    /// Why what was to be done after the swap is not done. The clone serves all the same.
    pub after: Option<Failure>,
}

/// Plans a clone, or goes on with the one that an earlier process of the same order has begun.
/// Nothing is changed on any server; gives nothing where only the plan was asked for.
pub async fn begin(context: &Context, order: Order) -> Result<Option<Begun>> {
    hooks::require(context)?;
    database::require_right(context, &order.destination).await?;
    // Who only wants the plan is in nobody's way.
    if !order.dry_run {
        let unfinished = database::unfinished(context, &order.destination).await?;
        for mark in unfinished.iter().filter(|_| !order.anew) {
            if let Some(begun) = Box::pin(go_on(context, &order, mark)).await? {
                return Ok(Some(begun));
            }
        }
    }
    match order.from.clone() {
        Some(from) => Box::pin(of_sealed(context, order, &from)).await,
        None => Box::pin(of_source(context, order)).await,
    }
}

/// The clone that a mark tells of, if it is what is asked for now.
async fn go_on(context: &Context, order: &Order, mark: &CloneMark) -> Result<Option<Begun>> {
    if mark.store != context.store_location()?.to_string() {
        return Ok(None);
    }
    let store = context.open_store(&mark.run).await?;
    let Some(plan) = run_files::stored_plan(&store).await? else {
        return Ok(None);
    };
    let Some(clone) = plan.plan.clone.clone() else {
        return Ok(None);
    };
    if clone.order != order.digest()? {
        return Ok(None);
    }
    let state = RunState::of(&towpath_store::read_journal(&store).await?);
    if mark.state == CloneState::Serving && state.swapped {
        return Ok(None);
    }
    let why = match (&mark.state, &state.staged) {
        (CloneState::Serving, _) | (_, StagedRows::Kept) => {
            proving::must_begin_anew(&store, order, &plan.plan, &clone, &state, mark).await?
        }
        _ => Some("its staged rows were deleted"),
    };
    if let Some(why) = why {
        eprintln!(
            "not going on with clone {} of run {}: {why}",
            clone.name, mark.run
        );
        return Ok(None);
    }
    let schema = run_files::clean_schema(&store, &plan.plan).await?;
    let cloning = cloning(context, order.clone(), &schema, &plan.plan).await?;
    eprintln!("going on with clone {} of run {}", clone.name, mark.run);
    Ok(Some(Begun {
        store,
        plan,
        schema,
        cloning,
        snapshot: None,
        unfinished: Some(mark.clone()),
    }))
}

async fn cloning(
    context: &Context,
    order: Order,
    schema: &CleanSchema,
    plan: &Plan,
) -> Result<Cloning> {
    let clone = clone_plan(plan)?;
    let sealed = async |run: &Option<RunId>| match run {
        Some(run) => Sealed::open(context, run).await.map(Some),
        None => Ok(None),
    };
    let from = sealed(&clone.from).await?;
    let reuses = match &clone.reuses {
        Some(run) => reuse::usable(context, run).await,
        None => None,
    };
    let masking = match (&clone.masks, &order.key) {
        (Some(_), Some(key)) => Some(Masking {
            key: key.clone(),
            originals: proving::originals(&order, plan)?.map(Arc::new),
        }),
        (Some(_), None) => return Err(order::no_key()),
        (None, _) => None,
    };
    Ok(Cloning {
        masking,
        facts: KeyFacts::of(&schema.expected),
        order,
        from,
        reuses,
    })
}

/// The part of a plan that is about the clone.
pub fn clone_plan(plan: &Plan) -> Result<&ClonePlan> {
    plan.clone.as_ref().ok_or_else(|| {
        Failure::new(
            ErrorKind::Internal,
            format!("run {} makes no clone", plan.run),
        )
    })
}

/// Plans a clone of a fresh export.
async fn of_source(context: &Context, order: Order) -> Result<Option<Begun>> {
    context.guard()?;
    let run = clock::new_run_id()?;
    let store = context.open_store(&run).await?;
    // What the server is that clones are made on, told by the database that leads there.
    let on_server = context.aside(Aside {
        url: order.destination.url.clone(),
        left_alone: Default::default(),
    });
    let (found, mut holder) = Box::pin(survey::survey(&on_server, &run)).await?;
    let checks = survey::check(&on_server, &found, &store, true).await?;
    let mut plan = planning::make_plan(&on_server, &found, &run, checks)?;
    let facts = KeyFacts::of(&found.schema.expected);
    order.plan(&mut plan)?;
    masks::plan(&order, &facts, &mut plan)?;
    let coverage = coverage::of_source(context, &order, &facts, &plan, holder.session()).await?;
    coverage.enter(&mut plan);
    masks::try_constraints(&order, &facts, &plan, holder.session()).await?;
    subset::plan(context, &order, &facts, &mut plan, &mut holder).await?;
    reuse::plan(context, &order, &mut plan, holder.session()).await?;
    eprint!("{}", show::plan(&plan, &found.schema.report));
    eprint!("{}", order.show(&plan, &coverage)?);
    planning::refuse_failed(&plan.checks)?;
    coverage.require()?;
    if order.dry_run {
        holder.release().await?;
        return Ok(None);
    }
    let mut snapshot = Some(holder);
    if !order.yes
        && let Some(holder) = snapshot.take()
    {
        // People think for hours, and the source cannot clean up meanwhile.
        holder.release().await?;
    }
    ask(order.yes, "\nmake this clone?")?;
    let key = reuse::key(context, &plan).await?;
    let stored = run_files::begin_clone(&store, &plan, &found.schema, key).await?;
    let cloning = cloning(context, order, &found.schema, &plan).await?;
    Ok(Some(Begun {
        store,
        plan: stored,
        schema: found.schema,
        cloning,
        snapshot,
        unfinished: None,
    }))
}

/// Plans a clone of a sealed run. Its own run takes over schema, tables and slices; the rows too,
/// where nothing is masked.
async fn of_sealed(context: &Context, order: Order, from: &RunId) -> Result<Option<Begun>> {
    let sealed = Sealed::open(context, from).await?;
    let run = clock::new_run_id()?;
    let store = context.open_store(&run).await?;
    let schema = run_files::clean_schema(&sealed.store, &sealed.plan.plan).await?;
    let facts = KeyFacts::of(&schema.expected);
    let mut plan = sealed.plan.plan.as_ref().clone();
    plan.run = run.clone();
    plan.created_at = clock::now();
    plan.rehearsal = None;
    let planned = &sealed.plan.plan;
    (plan.target.facts, plan.checks) =
        database::checks(context, &order.destination, &schema, planned).await?;
    order.plan(&mut plan)?;
    masks::plan(&order, &facts, &mut plan)?;
    let coverage = coverage::of_sealed(context, &order, &facts, &plan, &sealed).await?;
    coverage.enter(&mut plan);
    eprint!("{}", show::plan(&plan, &schema.report));
    eprint!("{}", order.show(&plan, &coverage)?);
    planning::refuse_failed(&plan.checks)?;
    coverage.require()?;
    if order.dry_run {
        return Ok(None);
    }
    ask(order.yes, "\nmake this clone?")?;
    let key = run_files::key(&sealed.store).await?;
    let stored = run_files::begin_clone(&store, &plan, &schema, Some(key)).await?;
    let cloning = cloning(context, order, &schema, &plan).await?;
    Ok(Some(Begun {
        store,
        plan: stored,
        schema,
        cloning,
        snapshot: None,
        unfinished: None,
    }))
}

/// Builds aside, verifies, and swaps in.
pub async fn make(context: &Context, begun: Begun, journal: &Journal) -> Result<Cloned> {
    let Begun {
        store,
        plan,
        schema,
        cloning,
        snapshot,
        unfinished,
    } = begun;
    let destination = &cloning.order.destination;
    let state = RunState::of(&towpath_store::read_journal(&store).await?);
    if state.stage.is_none() {
        enter(journal, RunStage::Planned).await?;
    }
    if let Some(found) = unfinished
        .as_ref()
        .filter(|it| it.state == CloneState::Serving)
    {
        // Told before the lease was there; what comes after the swap is done once.
        if state.swapped {
            return Err(Failure::new(
                ErrorKind::Conflict,
                format!("another process has ended run {} meanwhile", store.run()),
            )
            .hint("the same command makes the next clone"));
        }
        return Box::pin(swapped_before(context, &store, &cloning, found, journal)).await;
    }
    let mark = mark(context, &plan.plan, CloneState::Building)?;
    let aside = match &unfinished {
        Some(found) => database::reopen(context, destination, &schema, found).await?,
        None => {
            let making = database::make(context, destination, &schema, &mark);
            timed(journal, "database aside", Box::pin(making)).await?
        }
    };
    let inner = context.aside(aside.aside());
    let transfer = Transfer::open(&inner, &store, &plan, journal.clone(), None, snapshot)
        .await?
        .cloning(&cloning);
    let manifest = match state.stage >= Some(RunStage::Loaded) {
        true => {
            transfer.note_again().await?;
            transfer.manifest().await?.ok_or_else(|| {
                Failure::new(
                    ErrorKind::ObjectMissing,
                    format!("run {} is loaded and its manifest is gone", store.run()),
                )
            })?
        }
        false => Box::pin(transfer.export_and_load()).await?,
    };
    let carried = sequences::reset(&inner, &cloning, &manifest, journal).await?;
    let (key, verification) = Box::pin(proving::verify(
        &inner,
        &store,
        &plan,
        &cloning,
        manifest.clone(),
        carried,
        journal,
    ))
    .await?;
    let evidence = store.describe(&key);
    if !verification.is_clean() {
        database::leave(aside).await;
        return Ok(Cloned {
            evidence,
            verification,
            swapped: None,
            after: None,
        });
    }
    context.stop.check()?;
    let serving = CloneMark {
        evidence: Some(evidence.clone()),
        snapshot_at: Some(manifest.snapshot_at.clone()),
        ..self::mark(context, &plan.plan, CloneState::Serving)?
    };
    let swapping = database::swap(context, destination, aside, &serving, cloning.order.keep);
    let swapped = timed(journal, "swap", Box::pin(swapping)).await?;
    journal
        .append(Entry::CloneSwapped {
            name: destination.name.clone(),
            kept: swapped.kept.clone(),
        })
        .await?;
    let after = hooks::after_swap(context, &serving, destination)
        .await
        .err();
    Ok(Cloned {
        evidence,
        verification,
        swapped: Some(swapped),
        after,
    })
}

/// Ends a clone whose process died between the swap and what comes after it.
async fn swapped_before(
    context: &Context,
    store: &RunStore,
    cloning: &Cloning,
    serving: &CloneMark,
    journal: &Journal,
) -> Result<Cloned> {
    let destination = &cloning.order.destination;
    let (key, verification) = verifying::latest(store).await?.ok_or_else(|| {
        Failure::new(
            ErrorKind::ObjectMissing,
            format!("run {} serves, and its evidence is gone", store.run()),
        )
        .hint("--anew makes another one")
    })?;
    let swapped = database::finish(context, destination, serving, cloning.order.keep).await?;
    journal
        .append(Entry::CloneSwapped {
            name: destination.name.clone(),
            kept: swapped.kept.clone(),
        })
        .await?;
    let after = hooks::after_swap(context, serving, destination).await.err();
    Ok(Cloned {
        evidence: store.describe(&key),
        verification,
        swapped: Some(swapped),
        after,
    })
}

fn mark(context: &Context, plan: &Plan, state: CloneState) -> Result<CloneMark> {
    let clone = clone_plan(plan)?;
    Ok(CloneMark {
        run: plan.run.clone(),
        store: context.store_location()?.to_string(),
        name: clone.name.clone(),
        state,
        at: clock::now(),
        oid: 0,
        roles: Vec::new(),
        from: clone.from.clone(),
        source: plan.source.endpoint.clone(),
        masks: clone.masks.clone(),
        subset: clone.subset.clone(),
        evidence: None,
        snapshot_at: None,
    })
}
