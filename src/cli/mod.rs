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
mod signals;
mod usage;

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use frcopy::copy::{Event, Observer, Outcome, copy, wait};
use frcopy::error::{Error, ErrorKind};
use frcopy::stop::Stop;

use args::{Command, CopyArgs, OutputArgs, WaitArgs};
use progress::{Progress, Verbosity};
use signals::{Signal, Signals};
pub(crate) use usage::parse;

/// Carries out a command; an error is one that the command itself has no exit code for.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Copy(args) => run_copy(args),
        Command::Wait(args) => run_wait(args),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(args),
        #[cfg(feature = "emulator")]
        Command::Demo => demo::run(),
    }
}

fn run_copy(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    match settings::plan(args, &settings::process_environment) {
        Ok(plan) => see_through(&args.output, async |observer, stop| copy(&plan, observer, stop).await),
        Err(error) => Ok(refuse(error)),
    }
}

fn run_wait(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    match settings::wait_plan(args, &settings::process_environment) {
        Ok(plan) => see_through(&args.output, async |observer, stop| wait(&plan, observer, stop).await),
        Err(error) => Ok(refuse(error)),
    }
}

/// Settings that cannot be: nothing was begun, so there is no result.
fn refuse(error: Error) -> ExitCode {
    report::error(&error);
    exit_code::of(&Err(error))
}

/// Runs a copy to its end, shows it, and lets signals stop it: the first one in good order, the second one at once.
fn see_through(
    output: &OutputArgs,
    work: impl AsyncFnOnce(Observer<'_>, &Stop) -> Outcome,
) -> anyhow::Result<ExitCode> {
    let progress = Progress::start(Verbosity::new(output.quiet, output.verbose));
    let observer = |event: Event<'_>| progress.show(&event);
    let (stopper, stop) = Stop::new();
    let runtime = runtime()?;
    let (outcome, signal) = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be waited for")?;
        let mut work = pin!(work(&observer, &stop));
        let mut first = None;
        loop {
            tokio::select! {
                outcome = &mut work => return anyhow::Ok((Some(outcome), first)),
                signal = signals.next() => {
                    if first.is_some() {
                        return Ok((None, first));
                    }
                    first = Some(signal);
                    progress.stopping();
                    stopper.tell();
                }
            }
        }
    })?;
    // A name that is still being resolved must not hold up the exit.
    runtime.shutdown_background();
    progress.finish();
    let Some(outcome) = outcome else { return Ok(exit_code_of(signal)) };
    report::outcome(output.format, &outcome, progress.verbosity());
    let interrupted = outcome.result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted);
    Ok(if interrupted { exit_code_of(signal) } else { exit_code::of(&outcome.result) })
}

fn exit_code_of(signal: Option<Signal>) -> ExitCode {
    ExitCode::from(signal.unwrap_or(Signal::Interrupt) as u8)
}

/// One thread is enough: nearly all of the time is spent waiting.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime for network requests cannot be set up")
}
