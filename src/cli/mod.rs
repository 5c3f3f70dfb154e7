//! The face of frcopy: arguments, settings, what is shown, and exit codes. The library never sees it.

pub(crate) mod args;
#[cfg(feature = "emulator")]
mod demo;
#[cfg(feature = "emulator")]
mod emulator;
mod exit_code;
mod progress;
mod report;
mod settings;
mod usage;

use std::process::ExitCode;

use anyhow::Context;
use frcopy::copy::{Event, copy};

use args::{Command, CopyArgs};
use progress::{Progress, Verbosity};
pub(crate) use usage::parse;

/// Carries out a command; an error is one that the command itself has no exit code for.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Copy(args) => run_copy(args),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(args),
        #[cfg(feature = "emulator")]
        Command::Demo => demo::run(),
    }
}

fn run_copy(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    let plan = match settings::plan(args, &settings::process_environment) {
        Ok(plan) => plan,
        Err(error) => {
            report::error(&error);
            return Ok(exit_code::of(&Err(error)));
        }
    };
    let progress = Progress::start(Verbosity::new(args.output.quiet, args.output.verbose));
    let runtime = runtime()?;
    let observer = |event: Event<'_>| progress.show(&event);
    let outcome = runtime.block_on(copy(&plan, &observer));
    // A name that is still being resolved must not hold up the exit.
    runtime.shutdown_background();
    progress.finish();
    report::outcome(args.output.format, &plan, &outcome, progress.verbosity());
    Ok(exit_code::of(&outcome.result))
}

/// One thread is enough: nearly all of the time is spent waiting.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime for network requests cannot be set up")
}
