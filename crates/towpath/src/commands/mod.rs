//! One file per command.

mod check;
mod clean;
pub mod clone;
mod clones;
mod config_show;
mod cutover;
pub mod diff;
mod evidence;
mod export_schema;
mod init;
mod mask;
mod plan;
pub mod proofs;
pub mod rehearse;
mod report;
mod rollback;
mod run;
pub mod show;
mod status;
mod unfence;
mod verify;

use std::io::{BufRead, IsTerminal};

use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};

use crate::arguments::{Arguments, Command, ConfigCommand};
use crate::context::Context;

/// Runs the command.
pub async fn dispatch(arguments: Arguments) -> Result<Exit> {
    if let Command::Init = arguments.command {
        return init::init(&arguments.config);
    }
    let context = Context::new(&arguments)?;
    context.listen_for_signals();
    match arguments.command {
        Command::Init => Ok(Exit::Done),
        Command::Check => Box::pin(check::check(&context)).await,
        Command::Plan(plan) => Box::pin(plan::plan(&context, &plan)).await,
        Command::Diff(diff) => Box::pin(diff::diff(&context, &diff)).await,
        Command::Run(run) => Box::pin(run::run(&context, &run)).await,
        Command::Rehearse(rehearse) => Box::pin(rehearse::rehearse(&context, &rehearse)).await,
        Command::Export(export) if export.schema_only => {
            Box::pin(export_schema::export(&context, &export)).await
        }
        Command::Export(export) => Box::pin(run::export(&context, &export.run)).await,
        Command::Load(run) => Box::pin(run::load(&context, &run)).await,
        Command::Verify(verify) => Box::pin(verify::verify(&context, &verify)).await,
        Command::Cutover(cutover) => Box::pin(cutover::cutover(&context, &cutover)).await,
        Command::Rollback(rollback) => Box::pin(rollback::rollback(&context, &rollback)).await,
        Command::Unfence(unfence) => Box::pin(unfence::unfence(&context, &unfence)).await,
        Command::Clone(clone) => Box::pin(clone::clone(&context, &clone)).await,
        Command::Clones(clones) => Box::pin(clones::clones(&context, &clones)).await,
        Command::Mask { what } => Box::pin(mask::mask(&context, &what)).await,
        Command::Clean(clean) => Box::pin(clean::clean(&context, &clean)).await,
        Command::Status(which) => Box::pin(status::status(&context, &which)).await,
        Command::Report(report) => Box::pin(report::report(&context, &report)).await,
        Command::Config {
            what: ConfigCommand::Show,
        } => config_show::show(&context),
    }
}

/// The one line that every stage ends with.
pub fn next(step: &str) {
    eprintln!("next: {step}");
}

/// Asks the operator, unless the command line has agreed.
pub fn ask(agreed: bool, question: &str) -> Result<()> {
    if agreed {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new(ErrorKind::Usage, "there is no terminal to ask on").hint("pass --yes"),
        );
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|cause| {
            Failure::new(ErrorKind::Usage, "could not read the answer").because(cause)
        })?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Interrupted,
        "not agreed; nothing was changed",
    ))
}

/// A severe action wants the run's id: by flag, or typed. `to` says what for; `hint` comes before the
/// flag in the refusal, where there is more to say.
pub fn confirm(run: &RunId, by_flag: Option<&str>, to: &str, hint: Option<&str>) -> Result<()> {
    let refuse = |what: String| {
        let flag = format!("pass --confirm {run}");
        let hint = hint.map_or_else(|| flag.clone(), |hint| format!("{hint}; {flag}"));
        Failure::new(ErrorKind::Usage, what).hint(hint)
    };
    let typed = match by_flag {
        Some(typed) => typed.to_owned(),
        None if std::io::stdin().is_terminal() => {
            eprint!("type the run id to {to}: ");
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|cause| refuse("could not read the answer".to_owned()).because(cause))?;
            line.trim().to_owned()
        }
        None => return Err(refuse(format!("to {to}, run {run} needs a confirmation"))),
    };
    if typed == run.as_str() {
        return Ok(());
    }
    Err(refuse(format!("{typed:?} is not the run {run}")))
}
