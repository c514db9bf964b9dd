//! Makes the plan of a new run, or finds the one of a run that goes on.

use std::collections::HashMap;
use std::io::IsTerminal;

use towpath_model::document;
use towpath_model::name::readable;
use towpath_model::plan::{CheckResult, Plan, PlannedJobs, PlannedTable, Verdict};
use towpath_model::schema::CleanSchema;
use towpath_model::script::{self, Statement};
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_plan::checks::LargeObjectFate;
use towpath_plan::{ChunkSize, Contents, FormatChoice, PlanOptions};
use towpath_postgres::SnapshotHolder;
use towpath_store::RunStore;

use crate::arguments::RunArguments;
use crate::clock;
use crate::commands::ask;
use crate::commands::show;
use crate::context::Context;
use crate::pipeline::survey::{self, Survey};
use crate::run_files::{self, StoredPlan};

/// The version that plans tell.
pub const MADE_BY: &str = env!("CARGO_PKG_VERSION");

/// Makes a plan of a survey.
pub fn make_plan(
    context: &Context,
    survey: &Survey,
    run: &RunId,
    checks: Vec<CheckResult>,
) -> Result<Plan> {
    let jobs = context.choose_jobs(&survey.source, &survey.target)?;
    let options = PlanOptions {
        run: run.clone(),
        now: clock::now(),
        made_by: MADE_BY.to_owned(),
        store: context.store_location()?.to_string(),
        large_objects: survey::large_object_fate(context)?,
        secrets: survey::secrets(context)?,
        format: format_choice(context)?,
        chunk_size: chunk_size(context, &jobs)?,
        jobs,
        source_endpoint: survey.source_url.identity(),
        target_endpoint: survey.target_url.identity(),
    };
    towpath_plan::plan(
        &survey.source,
        &survey.target,
        &Contents {
            relations: &survey.relations,
            sequences: &survey.sequences,
            large_objects: &survey.large_objects,
            migrations: survey.migrations.as_ref(),
        },
        &survey.schema,
        checks,
        &options,
    )
}

/// What the configuration says of the size of chunks.
fn chunk_size(context: &Context, jobs: &PlannedJobs) -> Result<ChunkSize> {
    let mebibytes = context.settings.number_or_auto("copy.chunk_mib")?;
    Ok(match mebibytes {
        // As much as a table can hold is as good as no limit.
        Some(mebibytes) => ChunkSize::Bytes(mebibytes.min(32 << 20) << 20),
        None => ChunkSize::Auto { jobs: jobs.jobs },
    })
}

/// What the configuration says of the format.
fn format_choice(context: &Context) -> Result<FormatChoice> {
    let word = context.settings.word("copy.format", &["auto", "csv"])?;
    Ok(match word {
        "csv" => FormatChoice::Csv,
        _ => FormatChoice::Auto,
    })
}

/// A run that is about to be worked on.
pub struct OpenRun {
    /// Its store.
    pub store: RunStore,
    /// Its plan, stored.
    pub plan: StoredPlan,
    /// Whether the plan was just stored: the run begins.
    pub is_new: bool,
    /// The snapshot that the plan was made in, if nobody had to be asked meanwhile. An export that
    /// begins at once needs no other one.
    pub snapshot: Option<SnapshotHolder>,
}

/// Opens the run that the arguments mean. The plan of a new run is stored only after every check
/// has passed and the operator has agreed, so a refusal leaves store and target untouched.
pub async fn open_run(context: &Context, arguments: &RunArguments) -> Result<OpenRun> {
    context.store_location()?;
    context.guard()?;
    let from_file = arguments.plan.as_deref().map(read_plan_file).transpose()?;
    if let Some(run) = known_run(context, arguments, from_file.as_ref())? {
        let store = context.open_store(&run).await?;
        if let Some(plan) = run_files::stored_plan(&store).await? {
            if let Some(from_file) = &from_file
                && *from_file != *plan.plan
            {
                return Err(Failure::new(
                    ErrorKind::Usage,
                    format!("the plan file is not the plan that run {run} began with"),
                )
                .hint("make a new plan with `towpath plan -o FILE`"));
            }
            refuse_rehearsal(&plan.plan)?;
            refuse_clone(&plan.plan)?;
            same_databases(context, &plan.plan)?;
            context.local.set_current_run(&run)?;
            return Ok(OpenRun {
                store,
                plan,
                is_new: false,
                snapshot: None,
            });
        }
        if from_file.is_none() {
            return Err(Failure::new(
                ErrorKind::NotFound,
                format!(
                    "run {run} is not in the store {}",
                    context.store_location()?
                ),
            )
            .hint("check --store, or begin anew with --new-run"));
        }
    }
    begin_run(context, arguments, from_file).await
}

fn known_run(
    context: &Context,
    arguments: &RunArguments,
    from_file: Option<&Plan>,
) -> Result<Option<RunId>> {
    if arguments.new_run {
        return Ok(None);
    }
    match (from_file, &arguments.run) {
        (Some(plan), _) => Ok(Some(plan.run.clone())),
        (None, Some(text)) => text.parse().map(Some),
        (None, None) => context.local.current_run(),
    }
}

async fn begin_run(
    context: &Context,
    arguments: &RunArguments,
    from_file: Option<Plan>,
) -> Result<OpenRun> {
    let run = match &from_file {
        Some(plan) => plan.run.clone(),
        None => clock::new_run_id()?,
    };
    let store = context.open_store(&run).await?;
    if from_file.is_none() {
        // Said before minutes of work, not after.
        ensure_can_agree(arguments)?;
    }
    let (found, holder) = Box::pin(survey::survey(context, &run)).await?;
    let mut snapshot = Some(holder);
    if from_file.is_none() && !arguments.yes {
        // People think for hours, and the source cannot clean up meanwhile.
        release(snapshot.take()).await?;
    }
    match Box::pin(agreed_plan(context, arguments, from_file, &found, &store)).await {
        Ok(plan) => Ok(OpenRun {
            store,
            plan,
            is_new: true,
            snapshot,
        }),
        Err(failure) => {
            // The refusal is the news, not how the snapshot ended.
            let _ = release(snapshot).await;
            Err(failure)
        }
    }
}

async fn release(snapshot: Option<SnapshotHolder>) -> Result<()> {
    match snapshot {
        Some(holder) => holder.release().await,
        None => Ok(()),
    }
}

/// The plan of a new run, agreed upon and stored.
async fn agreed_plan(
    context: &Context,
    arguments: &RunArguments,
    from_file: Option<Plan>,
    found: &Survey,
    store: &RunStore,
) -> Result<StoredPlan> {
    let run = store.run();
    let clears = arguments.replace.is_some();
    if let Some(confirmed) = &arguments.replace {
        towpath_load::confirm_clear(&found.target_url, confirmed)?;
    }
    let checks = survey::check(context, found, store, clears).await?;
    let plan = match from_file {
        Some(plan) => {
            still_holds(&plan, &make_plan(context, found, run, checks.clone())?)?;
            refuse_failed(&checks)?;
            plan
        }
        None => {
            let plan = make_plan(context, found, run, checks)?;
            eprint!("{}", show::plan(&plan, &found.schema.report));
            refuse_failed(&plan.checks)?;
            agree(arguments)?;
            plan
        }
    };
    let stored = run_files::begin(store, &plan, &found.schema).await?;
    context.local.set_current_run(run)?;
    Ok(stored)
}

fn read_plan_file(path: &std::path::Path) -> Result<Plan> {
    let bytes = std::fs::read(path).map_err(|cause| {
        Failure::new(
            ErrorKind::LocalFile,
            format!("could not read plan file {}", path.display()),
        )
        .because(cause)
    })?;
    document::parse(&bytes, &path.display().to_string())
}

/// A rehearsal is history: its database is gone, and its evidence is about nothing that is there.
pub fn refuse_rehearsal(plan: &Plan) -> Result<()> {
    match &plan.rehearsal {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            ErrorKind::Blocked,
            format!("run {} was a rehearsal", plan.run),
        )
        .hint("begin a run with `towpath run`; `towpath report` and `towpath status` show the rehearsal")),
    }
}

/// A clone is no migration: nothing is switched to it, and its rows may be masked.
pub fn refuse_clone(plan: &Plan) -> Result<()> {
    match &plan.clone {
        None => Ok(()),
        Some(clone) => Err(Failure::new(
            ErrorKind::Blocked,
            format!("run {} makes clone {}", plan.run, readable(&clone.name)),
        )
        .hint("`towpath clone` goes on with it and `towpath clones` lists it; a migration begins with `towpath run --new-run`")),
    }
}

/// Whether the URLs still lead where the plan says.
fn same_databases(context: &Context, plan: &Plan) -> Result<()> {
    use towpath_model::connection::Side;
    for (side, planned) in [
        (Side::Source, &plan.source.endpoint),
        (Side::Target, &plan.target.endpoint),
    ] {
        let now = context.url(side)?.identity();
        if now != *planned {
            return Err(Failure::new(
                ErrorKind::Blocked,
                format!(
                    "run {} was planned for {side} {planned}, the {side} URL leads to {now}",
                    plan.run
                ),
            )
            .hint("use the URL of the plan, or start over with --new-run"));
        }
    }
    Ok(())
}

/// What has changed between the schema that was planned and the one that is there now.
pub fn schema_change(plan: &Plan, now: &CleanSchema) -> Result<Option<&'static str>> {
    let hash = |statements: &[Statement]| script::render(statements).map(|t| script::hash(&t));
    Ok(if hash(&now.pre_data)? != plan.pre_data {
        Some("tables, types, functions or views were created, altered or dropped")
    } else if hash(&now.post_data)? != plan.post_data {
        Some("indexes, constraints, triggers, policies or grants were created, altered or dropped")
    } else {
        None
    })
}

/// Whether the source has got large objects since a plan that knows of none. They are nothing in the
/// schema, and no planned table would show them.
pub fn unplanned_large_objects(context: &Context, plan: &Plan, now: &Survey) -> Result<bool> {
    let planned = plan.tables.iter().any(|table| !table.rows.is_table());
    let go = survey::large_object_fate(context)? != LargeObjectFate::Leave;
    Ok(!planned && go && now.large_objects.count > 0)
}

/// Whether a saved plan covers what a plan of now would. Where tables are cut may differ, because
/// page counts drift; that nothing is left out may not.
fn same_tables(saved: &Plan, now: &Plan) -> bool {
    let same = |a: &PlannedTable, b: &PlannedTable| {
        (&a.name, &a.columns, &a.types, &a.key, a.format)
            == (&b.name, &b.columns, &b.types, &b.key, b.format)
            && a.force_row_security == b.force_row_security
            && (a.rows, &a.expressions) == (b.rows, &b.expressions)
    };
    let tables: HashMap<_, _> = now.tables.iter().map(|table| (&table.id, table)).collect();
    saved.tables.len() == now.tables.len()
        && saved.sequences == now.sequences
        && saved.tables.iter().all(|table| {
            table.covers_everything()
                && tables
                    .get(&table.id)
                    .is_some_and(|other| same(table, other))
        })
}

/// Whether a saved plan still describes what is there.
fn still_holds(saved: &Plan, now: &Plan) -> Result<()> {
    let changed = if saved.source.endpoint != now.source.endpoint {
        "another source"
    } else if saved.target.endpoint != now.target.endpoint {
        "another target"
    } else if saved.store != now.store {
        "another store"
    } else if saved.pre_data != now.pre_data || saved.post_data != now.post_data {
        "another schema: something was created, altered or dropped since"
    } else if !same_tables(saved, now) {
        "other tables, columns, formats or slices than this source has: the file was edited, or something was created or dropped since"
    } else {
        return Ok(());
    };
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("the plan of run {} no longer holds: {changed}", saved.run),
    )
    .hint("make a new plan with `towpath plan -o FILE`"))
}

/// Stops at failed checks. The kind tells a script what stood in the way, where a kind is known.
pub fn refuse_failed(checks: &[CheckResult]) -> Result<()> {
    let failed: Vec<&CheckResult> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    let kind = match first.check.as_str() {
        "target-empty" => ErrorKind::TargetNotEmpty,
        "target-structure" => ErrorKind::TargetStructure,
        _ => ErrorKind::Blocked,
    };
    let others = match failed.len() {
        1 => String::new(),
        2 => " (and 1 more check failed)".to_owned(),
        more => format!(" (and {} more checks failed)", more - 1),
    };
    Err(Failure::new(
        kind,
        format!("check {} failed: {}{others}", first.check, first.finding),
    )
    .hint(first.remedy.clone()))
}

/// Fails where nobody can be asked and nobody has agreed before.
pub fn ensure_can_agree(arguments: &RunArguments) -> Result<()> {
    if arguments.yes || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(
        Failure::new(ErrorKind::Usage, "there is no terminal to ask on")
            .hint("pass --yes, or make a plan with `towpath plan -o FILE` and run that"),
    )
}

/// Asks the operator, unless the command line has agreed.
pub fn agree(arguments: &RunArguments) -> Result<()> {
    ask(arguments.yes, "\nrun this plan?")
}
