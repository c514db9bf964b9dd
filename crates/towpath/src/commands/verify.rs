//! `towpath verify`.

use std::collections::BTreeSet;

use serde::Serialize;
use towpath_model::clone::CloneFinding;
use towpath_model::plan::Plan;
use towpath_model::verification::{Difference, Measure, Reading, Verification};
use towpath_model::{ErrorKind, Exit, Failure, Result};
use towpath_store::read_journal;
use towpath_verify::{Level, open_manifest};

use crate::arguments::{MeasureArgument, ReadingArgument, VerifyArguments};
use crate::clock;
use crate::commands::{evidence, next, proofs, show};
use crate::context::Context;
use crate::pipeline::clone::database::{self, Destination};
use crate::pipeline::clone::order;
use crate::pipeline::health::Queries;
use crate::pipeline::planning;
use crate::pipeline::verifying::{self, Looking};
use crate::run_files;
use crate::run_state::RunState;

/// Differences printed; all of them are in the evidence.
const SHOWN: usize = 50;

/// Verifies a run, at the levels that were named or at those that prove the copy; or checks the
/// evidence of an earlier verification.
pub async fn verify(context: &Context, arguments: &VerifyArguments) -> Result<Exit> {
    if let Some(file) = &arguments.evidence {
        return evidence::check(context, arguments, file).await;
    }
    let looking = looking(arguments)?;
    let run = context.run(arguments.run.as_deref())?;
    let store = context.open_store(&run).await?;
    let plan = run_files::require_plan(&store).await?;
    planning::refuse_rehearsal(&plan.plan)?;
    if looking.levels.contains(&Level::Chunks) {
        let state = RunState::of(&read_journal(&store).await?);
        state.require_staged(&run).map_err(|failure| {
            failure.hint(format!(
                "there is nothing to look at in the store; `towpath verify {run} --rows --sequences --schema` compares the target with the manifest, which stays"
            ))
        })?;
    }
    let aside = clone_of_run(context, &plan.plan, &looking).await?;
    let context = aside.as_ref().unwrap_or(context);
    let demanded = arguments.expect_manifest.as_deref();
    let manifest = open_manifest(&store, &plan.plan, plan.hash, demanded).await?;
    if arguments.dry_run {
        // Not even the lease: who may read store and databases may look.
        let looking = verifying::verify_context(context, &store, &plan, manifest, looking).await?;
        let now = clock::now();
        let found = Box::pin(towpath_verify::verify(&looking, now, clock::now)).await?;
        return Ok(tell(context, "none, a dry run stores nothing", &found));
    }
    let proves_the_copy = Level::prove_the_copy(&looking.levels);
    let (key, verification) =
        Box::pin(
            context.with_lease(&store, &format!("verify {run}"), async |journal| {
                let stage = RunState::of(&read_journal(&store).await?).stage;
                Box::pin(verifying::verify(
                    context, &store, &plan, manifest, looking, &journal, stage,
                ))
                .await
            }),
        )
        .await?;
    let exit = tell(context, &store.describe(&key), &verification);
    if exit == Exit::Done {
        next(&match proves_the_copy {
            _ if plan.plan.clone.is_some() => {
                "`towpath clones` lists the clones on its server".to_owned()
            }
            false => format!("`towpath verify {run}` looks at all that proves the copy"),
            true => format!("`towpath cutover {run}` when consumers may move"),
        });
    }
    Ok(exit)
}

/// For the run of a clone: its database in the target's place, whatever that is called by now.
async fn clone_of_run(
    context: &Context,
    plan: &Plan,
    looking: &Looking,
) -> Result<Option<Context>> {
    let Some(clone) = &plan.clone else {
        return Ok(None);
    };
    if looking.measure == Measure::Live && (clone.masks.is_some() || clone.subset.is_some()) {
        return Err(Failure::new(
            ErrorKind::Usage,
            "--source live compares a clone with rows that are not meant to be in it",
        )
        .hint("leave --source away: the manifest says what the clone has to hold"));
    }
    if looking.levels.iter().all(|level| *level == Level::Chunks) {
        return Ok(None);
    }
    let destination = Destination {
        url: order::server(&context.settings)?,
        name: clone.name.clone(),
    };
    let is_there = destination.database(&clone.aside).identity() == plan.target.endpoint;
    if !is_there {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "run {} made its clone as {}, and clones are looked for on {}",
                plan.run,
                plan.target.endpoint,
                destination.server()
            ),
        )
        .hint("export TOWPATH_CLONE_URL with a database of that server"));
    }
    let aside = database::of_run(context, &destination, plan).await?;
    Ok(Some(context.aside(aside)))
}

/// What the arguments ask for, unless it makes no sense.
fn looking(arguments: &VerifyArguments) -> Result<Looking> {
    let mut looking = Looking::from(levels(arguments));
    let refuse = |what: &str, hint: &str| Err(Failure::new(ErrorKind::Usage, what).hint(hint));
    let rows = looking.levels.contains(&Level::Rows);
    if arguments.source.is_some() && !rows {
        return refuse(
            "--source says what rows are compared with, and no rows are looked at",
            "add --rows",
        );
    }
    if arguments.read.is_some() && !rows {
        return refuse(
            "--read says how rows are read, and no rows are looked at",
            "add --rows",
        );
    }
    let live = arguments.source == Some(MeasureArgument::Live);
    let pushdown = arguments.read == Some(ReadingArgument::Pushdown);
    if pushdown && !live {
        return refuse(
            "--read pushdown lets each server digest its own rows, and the export has other digests",
            "add --source live, or leave --read away",
        );
    }
    if live && arguments.expect_manifest.is_some() && looking.levels.len() == 1 {
        return refuse(
            "--expect-manifest demands an export, and --source live compares with none",
            "leave one of them away",
        );
    }
    if arguments.show_values && !rows && !looking.levels.contains(&Level::Health) {
        return refuse(
            "--show-values tells values of rows and texts of queries, and neither is looked at",
            "add --rows or --health",
        );
    }
    if arguments.max_differences.is_some() && !rows && !looking.levels.contains(&Level::Access) {
        return refuse(
            "--max-differences bounds how many rows are named, and no rows are looked at",
            "add --rows or --access",
        );
    }
    let of_queries = arguments.explain_queries.is_some() || arguments.analyze_queries;
    if of_queries && !looking.levels.contains(&Level::Health) {
        return refuse(
            "--explain-queries is a part of the checklist, and it is not gone through",
            "add --health",
        );
    }
    looking.queries = Queries {
        explained: arguments
            .explain_queries
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        analyzed: arguments.analyze_queries,
    };
    if live {
        looking.measure = Measure::Live;
    }
    if pushdown {
        looking.reading = Reading::Pushdown;
    }
    looking.show_values = arguments.show_values;
    looking.max_differences = arguments
        .max_differences
        .map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    Ok(looking)
}

fn levels(arguments: &VerifyArguments) -> BTreeSet<Level> {
    if arguments.all {
        return BTreeSet::from(Level::EVERY);
    }
    let named: BTreeSet<Level> = [
        (arguments.chunks, Level::Chunks),
        (arguments.counts, Level::Counts),
        (arguments.rows, Level::Rows),
        (arguments.sequences, Level::Sequences),
        (arguments.schema, Level::Schema),
        (arguments.access, Level::Access),
        (arguments.health, Level::Health),
    ]
    .into_iter()
    .filter_map(|(wanted, level)| wanted.then_some(level))
    .collect();
    if named.is_empty() {
        BTreeSet::from(Level::ALL)
    } else {
        named
    }
}

/// The result for programs. Written as it is, and not by way of a tree: the chain may be long.
#[derive(Serialize)]
struct Told<'a> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    verification: &'a Verification,
    evidence: &'a str,
}

/// Prints what was found; gives the exit code.
pub fn tell(context: &Context, evidence: &str, verification: &Verification) -> Exit {
    if context.json {
        let told = Told {
            v: 1,
            kind: "verification",
            verification,
            evidence,
        };
        println!("{}", serde_json::to_string(&told).unwrap_or_default());
    } else {
        print_verdict(verification);
    }
    eprintln!("evidence: {evidence}");
    if verification.is_clean() {
        return Exit::Done;
    }
    let of_health = |it: &Difference| matches!(it, Difference::Health(_));
    let is_original =
        |it: &Difference| matches!(it, Difference::Clone(CloneFinding::Original { .. }));
    next(match verification.differences.iter().all(of_health) {
        // After a cutover, mostly: there is nothing left to be held back.
        true => "follow the remedies, then `towpath verify --health` again",
        false if verification.differences.iter().any(is_original) => {
            "mask these columns, or allow them by name with a reason, and clone again; what served before still does"
        }
        false if verification.clone.is_some() => {
            "hand nobody this clone; the evidence names every difference, and what served under its name before still does where it was not swapped in"
        }
        false => "do not cut over; the evidence names every difference",
    });
    Exit::Differences
}

/// Prints the verdict, what each level saw, and what differs.
pub fn print_verdict(verification: &Verification) {
    println!("{}", show::verdict(verification));
    for proof in proofs::lines(verification) {
        println!("  {proof}");
    }
    if let Some(health) = &verification.health {
        print!("{}", show::checks(&health.results()));
        print!("{}", show::queries(&health.queries));
    }
    for passed in verification
        .access
        .iter()
        .flat_map(|it| it.not_looked_at.iter().take(SHOWN))
    {
        println!("  not looked at: {passed}");
    }
    let of_clone = verification.clone.iter().flat_map(|it| &it.not_looked_at);
    for passed in of_clone.take(SHOWN) {
        println!("  not looked at: {passed}");
    }
    // What failed of the checklist has been told in it.
    let beside = verification.differences.iter();
    let beside: Vec<&Difference> = beside
        .filter(|it| !matches!(it, Difference::Health(_)))
        .collect();
    for difference in beside.iter().take(SHOWN) {
        println!("  {}", show::difference(difference));
    }
    if beside.len() > SHOWN {
        println!("  and {} more", beside.len() - SHOWN);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parsed(flags: &str) -> Result<VerifyArguments, clap::Error> {
        let line = ["towpath", "verify"]
            .into_iter()
            .chain(flags.split_whitespace());
        match Arguments::try_parse_from(line)?.command {
            Command::Verify(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_level_it_proves_the_copy() {
        let levels = |flags: &str| looking(&parsed(flags).unwrap()).unwrap().levels;
        assert_eq!(levels(""), BTreeSet::from(Level::ALL));
        assert_eq!(levels("--all"), BTreeSet::from(Level::EVERY));
        assert_eq!(levels("--all").len(), 7);
        assert_eq!(
            levels("--counts --access"),
            BTreeSet::from([Level::Counts, Level::Access])
        );
        assert_eq!(levels("--source live"), BTreeSet::from(Level::ALL));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for flags in [
            "--chunks --source live",
            "--counts --read stream",
            "--rows --read pushdown",
            "--read pushdown --source manifest",
            "--rows --source live --expect-manifest ab",
            "--schema --show-values",
            "--sequences --max-differences 3",
            "--schema --explain-queries",
        ] {
            let failure = looking(&parsed(flags).unwrap()).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Usage, "{flags}");
            assert!(failure.find_hint().is_some(), "{flags}");
        }
        for flags in [
            "--all --rows",
            "--evidence file --rows",
            "--evidence file --all",
            "--evidence file --source live",
            "--evidence file --show-values",
            "--public-key ab",
            "--source sideways",
            "--max-differences 0",
        ] {
            assert!(parsed(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn what_makes_sense_is_not() {
        for flags in [
            "--rows --source live --read pushdown",
            "--source live --read pushdown",
            "--rows --show-values --max-differences 3",
            "--health --show-values",
            "--health --explain-queries=7 --analyze-queries RUN",
            "--all --explain-queries RUN",
            "--rows --source manifest --expect-manifest ab",
            "RUN --evidence file --public-key ab --expect-manifest cd --store file:///x",
        ] {
            looking(&parsed(flags).unwrap()).unwrap();
        }
    }
}
