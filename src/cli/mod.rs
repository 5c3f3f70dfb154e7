//! The face of frcopy: arguments, settings, what is shown, and exit codes. Nothing else in the library imports this.

pub(crate) mod args;
mod authorization_file;
mod authorize;
mod az;
mod check;
mod ci;
mod completions;
mod copy;
#[cfg(feature = "emulator")]
mod demo;
#[cfg(feature = "emulator")]
mod emulator;
mod exit_code;
mod id_map;
mod list;
mod progress;
mod report;
mod settings;
mod side;
mod signals;
mod usage;

use std::io::Write;
use std::pin::pin;
use std::process::ExitCode;

use crate::copy::{Event, Observer, Report, wait};
use crate::error::Error;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use args::{Command, OutputArgs, WaitArgs};
use progress::{Progress, Verbosity};
use signals::{Signal, Signals};

/// Parses the command line, runs the command, and returns the exit code of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match usage::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    run(&arguments.command).unwrap_or_else(|error| {
        // One line: returning the error from `main` would print its Debug form, with a backtrace.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Carries out a command; an error is one that the command itself has no exit code for.
fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let code = match command {
        Command::Copy(args) => copy::run(args),
        Command::Wait(args) => run_wait(args),
        Command::List(args) => list::run(args),
        Command::Check(args) => check::run(args),
        Command::Authorize(args) => authorize::run(args),
        Command::Completions(args) => Ok(completions::completions(args)),
        Command::Man(args) => completions::man(args),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(args),
        #[cfg(feature = "emulator")]
        Command::Demo => demo::run(),
    }?;
    let is_all_there = code != ExitCode::SUCCESS || !report::stdout_is_short();
    Ok(if is_all_there { code } else { ExitCode::FAILURE })
}

fn run_wait(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let plan = match settings::wait_plan(args, &settings::process_environment) {
        Ok(plan) => plan,
        Err(error) => return Ok(refuse(&error)),
    };
    run_copy(&args.output, async |observer, cancel| wait(&plan, observer, cancel).await, |_| None)
}

/// Runs the only copy to its end and shows it. What is noted beside it may go wrong as well.
fn run_copy(
    output: &OutputArgs,
    work: impl AsyncFnOnce(Observer<'_>, &CancellationToken) -> Report,
    note: impl FnOnce(&Report) -> Option<Error>,
) -> anyhow::Result<ExitCode> {
    let verbosity = Verbosity::new(output.quiet, output.verbose);
    let work = async |progress: &Progress, cancel: &CancellationToken| {
        let reporter = progress.reporter();
        Ok(work(&|event: Event<'_>| reporter.show(&event), cancel).await)
    };
    see_through(verbosity, work, |outcome, signal| {
        let unpublished = report::ending(output.format, &outcome, verbosity);
        let unnoted = note(&outcome);
        unnoted.iter().for_each(report::error);
        exit_code::of(outcome.result.as_ref().err().into_iter().chain(&unnoted).chain(&unpublished), signal)
    })
}

/// Settings that cannot be: nothing was begun, so there is no result.
fn refuse(error: &Error) -> ExitCode {
    report::error(error);
    exit_code::of([error], None)
}

/// Runs work to its end and shows it, and lets signals stop it: the first one in good order, the second one at once.
fn see_through<T>(
    verbosity: Verbosity,
    work: impl AsyncFnOnce(&Progress, &CancellationToken) -> Result<T, Error>,
    show: impl FnOnce(T, Option<Signal>) -> ExitCode,
) -> anyhow::Result<ExitCode> {
    let progress = Progress::start(verbosity);
    let cancel = CancellationToken::new();
    let runtime = runtime()?;
    let (ending, signal) = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be waited for")?;
        let mut work = pin!(work(&progress, &cancel));
        let mut first = None;
        loop {
            tokio::select! {
                ending = &mut work => return anyhow::Ok((Some(ending), first)),
                signal = signals.next() => {
                    if first.is_some() {
                        return Ok((None, first));
                    }
                    first = Some(signal);
                    progress.stopping();
                    cancel.cancel();
                }
            }
        }
    })?;
    // A name that is still being resolved must not hold up the exit.
    runtime.shutdown_background();
    progress.finish();
    Ok(match ending {
        Some(Ok(output)) => show(output, signal),
        Some(Err(error)) => {
            report::error(&error);
            exit_code::of([&error], signal)
        }
        None => exit_code::of_signal(signal),
    })
}

/// One thread is enough: nearly all of the time is spent waiting.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime for network requests cannot be set up")
}
