//! `towpath rehearse`: all of a run up to the gate of the cutover, into a scratch database.

use std::collections::BTreeSet;

use serde_json::json;
use towpath_model::connection::Side;
use towpath_model::expectation::Expectation;
use towpath_model::journal::RunStage;
use towpath_model::name::readable;
use towpath_model::plan::Plan;
use towpath_model::readable::{Sides, line};
use towpath_model::rehearsal::{
    GateFindings, LeftAlone, Mark, Rehearsal, RehearsalPlan, RehearsalVerdict,
};
use towpath_model::report::BindingReport;
use towpath_model::schema::CleanSchema;
use towpath_model::structure::Structure;
use towpath_model::verification::Verification;
use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};
use towpath_postgres::{Session, SnapshotHolder, structure};
use towpath_store::{Journal, RunStore};
use towpath_verify::Level;

use crate::arguments::{RehearseArguments, RunArguments};
use crate::commands::{next, show, verify};
use crate::context::Context;
use crate::pipeline::cutover::{gates, source};
use crate::pipeline::scratch::{self, Scratch, Sweep, Swept};
use crate::pipeline::transfer::Transfer;
use crate::pipeline::{enter, planning, survey, timed, verifying};
use crate::report::{self, ReportPaths};
use crate::run_files::{self, StoredPlan};
use crate::{aws, clock};

/// What a rehearsal ends with, in the run's folder.
pub const KEY: &str = "rehearsal.json";

/// What is rehearsed.
struct Act {
    /// Folder of the rehearsal: its plan, journal and evidence.
    store: RunStore,
    /// Its plan.
    plan: Plan,
    /// Folder of the rows: its own, or that of the sealed run.
    rows: RunStore,
    /// The plan of the rows.
    rows_plan: StoredPlan,
    schema: CleanSchema,
    /// Structure of the target's own database, roles of its server included.
    target: Structure,
    snapshot: Option<SnapshotHolder>,
}

impl Act {
    fn run(&self) -> &RunId {
        self.store.run()
    }

    /// The run whose export is loaded, when it is not a fresh one.
    fn from(&self) -> Option<&RunId> {
        self.plan.rehearsal.as_ref()?.from.as_ref()
    }
}

/// Rehearses a run, or takes away what earlier rehearsals have left.
pub async fn rehearse(context: &Context, arguments: &RehearseArguments) -> Result<Exit> {
    context.store_location()?;
    if arguments.clean {
        return clean(context).await;
    }
    let asking = asking(arguments);
    planning::ensure_can_agree(&asking)?;
    scratch::require_right(context).await?;
    tell_swept(&sweep(context, Sweep::Dead).await?);
    let mut act = match &arguments.from {
        Some(run) => Box::pin(of_sealed_run(context, &asking, &run.parse()?)).await?,
        None => Box::pin(of_source(context, &asking)).await?,
    };
    let mut scratch = None;
    let played = Box::pin(play(context, arguments, &mut act, &mut scratch)).await;
    let (rehearsal, broken) = Box::pin(strike(context, arguments, &act, scratch, &played)).await;
    let written = write(context, &act, &rehearsal).await;
    let exit = match &played {
        Ok(played) => tell(context, &act, played, &rehearsal),
        Err(_) => Exit::Failed,
    };
    if let Ok(paths) = &written {
        eprintln!("report: {}", paths.html.display());
    }
    // What went wrong first is the one to tell.
    played.map_err(|failure| ended_early(failure, &rehearsal))?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    written.map(|_| exit)
}

fn ended_early(failure: Failure, rehearsal: &Rehearsal) -> Failure {
    if failure.kind() != ErrorKind::Interrupted || !rehearsal.left.is_empty() {
        return failure;
    }
    failure
        .while_doing("the rehearsal was stopped, and nothing of it is left")
        .hint("`towpath rehearse` begins another one")
}

async fn write(context: &Context, act: &Act, rehearsal: &Rehearsal) -> Result<ReportPaths> {
    act.store.put_document(KEY, rehearsal).await?;
    context.local.set_last_rehearsal(act.run())?;
    report::write(context, &act.store, None).await
}

/// What `run` would have been told.
fn asking(arguments: &RehearseArguments) -> RunArguments {
    RunArguments {
        plan: None,
        run: None,
        new_run: true,
        yes: arguments.yes,
        replace: arguments.replace.clone(),
    }
}

/// Plans against the target's own database, as a run would, and refuses what a run would refuse. From
/// then on the plan leads to the scratch database, and to nowhere else.
async fn of_source(context: &Context, asking: &RunArguments) -> Result<Act> {
    context.guard()?;
    let run = clock::new_run_id()?;
    let store = context.open_store(&run).await?;
    let (found, holder) = Box::pin(survey::survey(context, &run)).await?;
    let mut snapshot = Some(holder);
    if !asking.yes
        && let Some(holder) = snapshot.take()
    {
        // People think for hours, and the source cannot clean up meanwhile.
        holder.release().await?;
    }
    if let Some(confirmed) = &asking.replace {
        towpath_load::confirm_clear(&found.target_url, confirmed)?;
    }
    let clears = asking.replace.is_some();
    let checks = survey::check(context, &found, &store, clears).await?;
    let mut plan = planning::make_plan(context, &found, &run, checks)?;
    let database = RehearsalPlan::database_of(&run);
    eprint!("{}", show::plan(&plan, &found.schema.report));
    planning::refuse_failed(&plan.checks)?;
    eprintln!(
        "rehearsal: all of it goes into the new database {database} on that server, which is dropped afterwards"
    );
    planning::agree(asking)?;
    lead_to_scratch(context, &mut plan, database, None)?;
    let stored = run_files::begin(&store, &plan, &found.schema).await?;
    Ok(Act {
        rows: store.clone(),
        store,
        plan,
        rows_plan: stored,
        schema: found.schema,
        target: found.target_structure,
        snapshot,
    })
}

fn lead_to_scratch(
    context: &Context,
    plan: &mut Plan,
    database: String,
    from: Option<RunId>,
) -> Result<()> {
    let target = context.url(Side::Target)?;
    let stands_for = target.identity();
    let mut scratch = target;
    scratch.database.clone_from(&database);
    plan.target.endpoint = scratch.identity();
    plan.target.facts.database.clone_from(&database);
    plan.rehearsal = Some(RehearsalPlan {
        database,
        stands_for,
        from,
    });
    Ok(())
}

/// The export of another run, which is only read: nothing of the rehearsal is written into its folder.
async fn of_sealed_run(context: &Context, asking: &RunArguments, from: &RunId) -> Result<Act> {
    let rows = context.open_store(from).await?;
    let rows_plan = run_files::require_plan(&rows).await?;
    planning::refuse_rehearsal(&rows_plan.plan)?;
    planning::refuse_clone(&rows_plan.plan)?;
    let target = context.url(Side::Target)?;
    let planned = &rows_plan.plan.target.endpoint;
    if target.identity() != *planned {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "run {from} was planned for target {planned}, the target URL leads to {}",
                target.identity()
            ),
        )
        .hint("use the URL of the plan, or rehearse without --from"));
    }
    let schema = run_files::clean_schema(&rows, &rows_plan.plan).await?;
    let run = clock::new_run_id()?;
    let store = context.open_store(&run).await?;
    let options = context.session_options(Side::Target, &format!("towpath/{run}/survey"));
    let mut session = Session::connect(&target, Side::Target, &options).await?;
    session.begin_reading().await?;
    let found = structure::read(&mut session).await?;
    session.rollback().await?;
    session.close().await;
    let mut plan = rows_plan.plan.as_ref().clone();
    plan.run = run.clone();
    plan.created_at = clock::now();
    let database = RehearsalPlan::database_of(&run);
    eprintln!(
        "rehearsal: the export of run {from} goes into the new database {database} on {}, which is dropped afterwards",
        target.host
    );
    planning::agree(asking)?;
    lead_to_scratch(context, &mut plan, database, Some(from.clone()))?;
    run_files::begin_rehearsal(&store, &plan).await?;
    Ok(Act {
        store,
        plan,
        rows,
        rows_plan,
        schema,
        target: found,
        snapshot: None,
    })
}

/// How far a rehearsal came that was not stopped.
struct Played {
    evidence: String,
    verification: Verification,
    gate: GateFindings,
    bindings: Vec<BindingReport>,
}

/// All of a run, up to the gate. The scratch database is handed out as soon as it is there, so that
/// it can be dropped however this ends.
async fn play(
    context: &Context,
    arguments: &RehearseArguments,
    act: &mut Act,
    scratch: &mut Option<Scratch>,
) -> Result<Played> {
    let snapshot = act.snapshot.take();
    let act = &*act;
    let command = format!("rehearse {}", act.run());
    let levels = match arguments.all {
        true => BTreeSet::from(Level::EVERY),
        false => BTreeSet::from(Level::ALL),
    };
    Box::pin(context.with_lease(&act.store, &command, async |journal| {
        enter(&journal, RunStage::Planned).await?;
        let making = scratch::make(context, act.run(), arguments.keep, &act.schema);
        let made = timed(&journal, "scratch database", Box::pin(making)).await?;
        let inner = context.aside(scratch.insert(made).aside(&context.url(Side::Target)?));
        let (evidence, verification) =
            Box::pin(load_and_verify(&inner, act, levels, &journal, snapshot)).await?;
        context.stop.check()?;
        let (gate, bindings) = Box::pin(gate(context, act, &journal)).await?;
        Ok(Played {
            evidence,
            verification,
            gate,
            bindings,
        })
    }))
    .await
}

async fn load_and_verify(
    inner: &Context,
    act: &Act,
    levels: BTreeSet<Level>,
    journal: &Journal,
    snapshot: Option<SnapshotHolder>,
) -> Result<(String, Verification)> {
    let (rows, plan) = (&act.rows, &act.rows_plan);
    let transfer = Transfer::open(inner, rows, plan, journal.clone(), None, snapshot).await?;
    let manifest = match act.from() {
        None => Box::pin(transfer.export_and_load()).await?,
        Some(from) => {
            let manifest = transfer.manifest().await?.ok_or_else(|| {
                Failure::new(
                    ErrorKind::Blocked,
                    format!("the export of run {from} is not sealed"),
                )
                .hint("finish it with `towpath export`, or rehearse without --from")
            })?;
            Box::pin(transfer.load(&manifest)).await?;
            manifest
        }
    };
    let (key, verification) = Box::pin(verifying::verify_into(
        inner, &act.store, rows, plan, manifest, levels, journal, None,
    ))
    .await?;
    Ok((act.store.describe(&key), verification))
}

/// What the gate of a cutover would say, as far as it needs no fence.
async fn gate(
    context: &Context,
    act: &Act,
    journal: &Journal,
) -> Result<(GateFindings, Vec<BindingReport>)> {
    let mut gate = GateFindings::default();
    match act.from() {
        Some(from) => gate.not_looked_at.push(format!(
            "the source: the rows are those of run {from}, and nobody expects it to have stood still since"
        )),
        None => {
            let looking = source::source_change(context, &act.store, &act.rows_plan);
            gate.source_moved = timed(journal, "gate: source read again", Box::pin(looking)).await?;
        }
    }
    if !crate::consumers::are_selected(context) {
        gate.not_looked_at
            .push("consumers: no Lambda function is selected under [switch]".to_owned());
        return Ok((gate, Vec::new()));
    }
    let clients = aws::switch_clients(context).await?;
    let found = match aws::discover(context, &clients, act.store.run()).await {
        Ok(found) => found,
        Err(failure) => {
            gate.refused_by
                .push(format!("consumers could not be looked at: {failure:?}"));
            return Ok((gate, Vec::new()));
        }
    };
    if let Err(failure) = gates::refuse_left_behind(&found) {
        gate.refused_by.push(failure.to_string());
    }
    if found.bindings.is_empty() {
        gate.refused_by.push(
            "nothing to switch: no selected function or secret points at the source".to_owned(),
        );
    }
    let planned = found.bindings.iter().map(|it| it.report("planned"));
    Ok((gate, planned.collect()))
}

/// Takes everything away, however the rehearsal went, and writes down how that was; the failure is one
/// of taking away.
async fn strike(
    context: &Context,
    arguments: &RehearseArguments,
    act: &Act,
    scratch: Option<Scratch>,
    played: &Result<Played>,
) -> (Rehearsal, Option<Failure>) {
    if context.stop.is_raised() {
        eprintln!("taking away what the rehearsal has made");
    }
    let mut left = Vec::new();
    let mut broken = None;
    if act.from().is_none()
        && let Err(failure) = act.store.delete_staged().await
    {
        left.push(format!("staged rows in the run store: {failure:?}"));
        broken = Some(failure);
    }
    let roles_made = scratch.as_ref().map(|it| it.roles.clone());
    let would_besides = would_besides(context, arguments, act, scratch.as_ref());
    match scratch {
        Some(scratch) if arguments.keep && played.is_ok() => {
            left.push(format!(
                "database {}, to look at; `towpath rehearse --clean` drops it",
                scratch.database
            ));
            scratch::keep(scratch).await;
        }
        Some(scratch) => {
            let database = scratch.database.clone();
            match scratch::unmake(context, act.run(), scratch).await {
                Ok(more) => left.extend(more),
                Err(failure) => {
                    left.push(format!("database {database} and its roles: {failure:?}"));
                    broken = Some(failure);
                }
            }
        }
        None => {}
    }
    let rehearsal = Rehearsal {
        run: act.run().clone(),
        verdict: verdict(played),
        failure: played.as_ref().err().map(|failure| format!("{failure:?}")),
        roles_made: roles_made.unwrap_or_default(),
        would_besides,
        gate: played.as_ref().ok().map(|played| played.gate.clone()),
        bindings: played
            .as_ref()
            .map(|played| played.bindings.clone())
            .unwrap_or_default(),
        left,
    };
    let broken = broken.map(|failure| {
        failure
            .while_doing("could not take away all that the rehearsal has made")
            .hint("`towpath rehearse --clean` tries again")
    });
    (rehearsal, broken)
}

fn verdict(played: &Result<Played>) -> RehearsalVerdict {
    match played {
        Err(_) => RehearsalVerdict::Failed,
        Ok(played) if !played.verification.is_clean() => RehearsalVerdict::Differences,
        Ok(played) if !played.gate.refused_by.is_empty() => RehearsalVerdict::Refused,
        Ok(_) => RehearsalVerdict::Ready,
    }
}

/// What a run would have done and a rehearsal may not.
fn would_besides(
    context: &Context,
    arguments: &RehearseArguments,
    act: &Act,
    scratch: Option<&Scratch>,
) -> Vec<String> {
    let mut would = Vec::new();
    if let Some(database) = &arguments.replace {
        would.push(format!(
            "drop everything in the target database {}",
            readable(database)
        ));
    }
    let is_rds = context
        .url(Side::Target)
        .is_ok_and(|target| aws::is_rds(context, &target));
    if is_rds && context.settings.text("target.rds_snapshot") != "never" {
        would.push("take an RDS snapshot of the target before the load".to_owned());
    }
    if let Some(scratch) = scratch {
        would.extend(changes_of_roles(act, &scratch.left_alone));
        would.extend(scratch.not_done.iter().cloned());
    }
    would
}

fn changes_of_roles(act: &Act, left_alone: &LeftAlone) -> Vec<String> {
    let expectation = Expectation::new(&act.schema.expected, &act.schema.report);
    let sides = Sides {
        expected: "run",
        found: "server",
    };
    left_alone
        .unrehearsed(&expectation, &act.target)
        .iter()
        .map(|difference| format!("change {}", line(difference, sides)))
        .collect()
}

fn tell(context: &Context, act: &Act, played: &Played, rehearsal: &Rehearsal) -> Exit {
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "rehearsal", "run": act.run(), "rehearsal": rehearsal})
        );
    } else {
        println!("rehearsal {}", act.run());
    }
    let exit = verify::tell(context, &played.evidence, &played.verification);
    if !context.json {
        for refused in &rehearsal
            .gate
            .iter()
            .flat_map(|it| &it.refused_by)
            .collect::<Vec<_>>()
        {
            println!("the gate of a cutover would refuse: {refused}");
        }
        for moved in rehearsal
            .gate
            .iter()
            .filter_map(|it| it.source_moved.as_ref())
        {
            println!(
                "a cutover would catch up behind its fence, or refuse a changed schema: {moved}"
            );
        }
        for would in &rehearsal.would_besides {
            println!("a run would besides {would}");
        }
        match rehearsal.left.as_slice() {
            [] => println!("left behind: nothing but the report"),
            left => left.iter().for_each(|left| println!("left behind: {left}")),
        }
    }
    match rehearsal.verdict {
        RehearsalVerdict::Ready => {
            next("`towpath plan -o plan.json`, then `towpath run plan.json`, when it is for good");
            Exit::Done
        }
        RehearsalVerdict::Refused => {
            next("mend what would refuse the cutover, then `towpath rehearse` again");
            Exit::Blocked
        }
        RehearsalVerdict::Differences | RehearsalVerdict::Failed => exit,
    }
}

/// Takes away what earlier rehearsals have left, rows in this run store included.
async fn sweep(context: &Context, which: Sweep) -> Result<Swept> {
    let here = context.store_location()?.to_string();
    let staged = async |mark: &Mark| {
        if mark.store != here {
            return Some(format!(
                "rows of run {} staged in {}: that is another store than this one",
                mark.run, mark.store
            ));
        }
        let deleted = match context.open_store(&mark.run).await {
            Ok(store) => store.delete_staged().await,
            Err(failure) => Err(failure),
        };
        let failure = deleted.err()?;
        Some(format!("staged rows of run {}: {failure:?}", mark.run))
    };
    Box::pin(scratch::sweep(context, which, staged)).await
}

fn tell_swept(swept: &Swept) {
    for mark in &swept.dropped {
        eprintln!("took away what rehearsal {} had left", mark.run);
    }
    for left in &swept.left {
        eprintln!("left as it is: {left}");
    }
}

async fn clean(context: &Context) -> Result<Exit> {
    let swept = sweep(context, Sweep::DeadAndKept).await?;
    if context.json {
        let dropped: Vec<&RunId> = swept.dropped.iter().map(|mark| &mark.run).collect();
        println!(
            "{}",
            json!({"v": 1, "type": "rehearsals-cleaned", "dropped": dropped, "left": swept.left})
        );
        return Ok(Exit::Done);
    }
    tell_swept(&swept);
    if swept.dropped.is_empty() && swept.left.is_empty() {
        eprintln!("no rehearsal has left anything on the target's server");
    }
    Ok(Exit::Done)
}
