//! The command line of towpath: arguments, configuration, the stage machine, reporters, exit codes.
//!
//! The only crate that reads environment variables, prints or exits. Data goes to stdout,
//! conversation to stderr.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this crate talks to the person"
)]

mod arguments;
mod aws;
mod checklist;
mod clock;
mod commands;
mod consumers;
mod context;
mod http;
mod letter;
mod local;
mod panics;
mod pipeline;
mod progress;
mod report;
mod run_files;
mod run_state;
mod secrets;
mod settings;
mod signing;
mod table;

use std::process::ExitCode;

use clap::Parser;
use towpath_model::{Exit, Failure};

pub use settings::{SETTINGS, SettingSpec};

/// Gives memory back when a stage has ended, where the system's allocator keeps it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line of this process.
pub fn main_impl() -> ExitCode {
    panics::tell_without_values();
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return usage(&answer),
    };
    start_log(arguments.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => {
            let failure = Failure::new(
                towpath_model::ErrorKind::Internal,
                "could not start the asynchronous runtime",
            );
            return letter::print(&failure.because(cause), false);
        }
    };
    let json = arguments.json;
    let outcome = runtime.block_on(Box::pin(commands::dispatch(arguments)));
    // Tasks that wait on a server that does not answer must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => letter::print(&failure, json),
    }
}

/// Help and version are answers; everything else that clap says is a usage error.
fn usage(answer: &clap::Error) -> ExitCode {
    // A closed stdout or stderr changes nothing about the exit code.
    let _ = answer.print();
    match answer.kind() {
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => {
            ExitCode::from(Exit::Done.code())
        }
        _ => ExitCode::from(Exit::Usage.code()),
    }
}

/// Log lines go to stderr: warnings of towpath's own crates, more with `-v`. Crates of others stay
/// silent, because drivers and SDKs log statements and requests.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter: Vec<String> = [
        "",
        "_postgres",
        "_store",
        "_schema",
        "_export",
        "_load",
        "_mask",
        "_subset",
        "_fence",
        "_verify",
        "_switch",
        "_rds",
    ]
    .iter()
    .map(|part| format!("towpath{part}={level}"))
    .collect();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter.join(",")))
        .with_writer(std::io::stderr)
        .with_ansi(std::env::var_os("NO_COLOR").is_none() && progress::stderr_is_terminal())
        .init();
}
