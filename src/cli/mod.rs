//! The face of frcopy: arguments, settings, what is shown, and exit codes. The library never sees it.

pub(crate) mod args;
mod authorize;
mod az;
mod check;
mod ci;
mod copy;
#[cfg(feature = "emulator")]
mod demo;
#[cfg(feature = "emulator")]
mod emulator;
mod exit_code;
mod handover_file;
mod id_map;
mod list;
mod progress;
mod report;
mod settings;
mod shells;
mod side;
mod signals;
mod usage;

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use frcopy::copy::{Event, Observer, Outcome, wait};
use frcopy::error::Error;
use frcopy::stop::Stop;

use args::{Command, OutputArgs, WaitArgs};
use progress::{Progress, Verbosity};
use signals::{Signal, Signals};
pub(crate) use usage::parse;

/// Carries out a command; an error is one that the command itself has no exit code for.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let code = match command {
        Command::Copy(args) => copy::run(args),
        Command::Wait(args) => run_wait(args),
        Command::List(args) => list::run(args),
        Command::Check(args) => check::run(args),
        Command::Authorize(args) => authorize::run(args),
        Command::Completions(args) => Ok(shells::completions(args)),
        Command::Man(args) => shells::man(args),
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
    see_copy_through(&args.output, async |observer, stop| wait(&plan, observer, stop).await, |_| None)
}

/// Runs the only copy to its end and shows it. What is noted beside it may go wrong as well.
fn see_copy_through(
    output: &OutputArgs,
    work: impl AsyncFnOnce(Observer<'_>, &Stop) -> Outcome,
    note: impl FnOnce(&Outcome) -> Option<Error>,
) -> anyhow::Result<ExitCode> {
    let verbosity = Verbosity::new(output.quiet, output.verbose);
    let work = async |progress: &Progress, stop: &Stop| {
        let voice = progress.voice();
        Ok(work(&|event: Event<'_>| voice.show(&event), stop).await)
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
    work: impl AsyncFnOnce(&Progress, &Stop) -> Result<T, Error>,
    show: impl FnOnce(T, Option<Signal>) -> ExitCode,
) -> anyhow::Result<ExitCode> {
    let progress = Progress::start(verbosity);
    let (stopper, stop) = Stop::new();
    let runtime = runtime()?;
    let (ending, signal) = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be waited for")?;
        let mut work = pin!(work(&progress, &stop));
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
                    stopper.tell();
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
