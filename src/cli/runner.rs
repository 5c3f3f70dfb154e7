//! Runs the work of a command until it ends or a signal arrives.

use std::pin::pin;
use std::process::ExitCode;

use crate::copy::{Event, Observer, Report};
use crate::error::Error;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::OutputArgs;
use super::ci::Results;
use super::console::{self, Console, Verbosity};
use super::side_names::SideNames;
use super::signals::{Signal, Signals};
use super::{ci, copy_result, exit_code};

/// Reports settings that cannot be used, of a command without results in CI. No request was sent.
pub(super) fn refuse(error: &Error) -> ExitCode {
    refuse_with(Results::None, error)
}

/// Reports settings that cannot be used. No request was sent.
pub(super) fn refuse_with(results: Results, error: &Error) -> ExitCode {
    fail(results, error, None)
}

/// Reports an error that ended a command before it had results, to the CI system as well.
fn fail(results: Results, error: &Error, signal: Option<Signal>) -> ExitCode {
    console::error(error);
    let unpublished = console::unpublished(ci::publish_failure(results, error));
    exit_code::from_errors([error].into_iter().chain(&unpublished), signal)
}

/// Runs a command that copies one model, and shows its result. `record` stores the result elsewhere, which may fail.
pub(super) fn one_copy(
    output: &OutputArgs,
    sides: SideNames,
    work: impl AsyncFnOnce(Observer<'_>, &CancellationToken) -> Report,
    record: impl FnOnce(&Report) -> Option<Error>,
) -> anyhow::Result<ExitCode> {
    let verbosity = output.verbosity();
    let work = async |console: &Console, cancel: &CancellationToken| {
        let reporter = console.copy_reporter(sides);
        Ok(work(&|event: Event<'_>| reporter.show(&event), cancel).await)
    };
    until_signal(verbosity, Results::Copies, work, |report, signal| {
        copy_result::show(output.format, &report, verbosity);
        let unpublished = console::unpublished(ci::publish_copies([&report]));
        let unrecorded = record(&report);
        unrecorded.iter().for_each(console::error);
        let errors = report.result.as_ref().err().into_iter().chain(&unrecorded).chain(&unpublished);
        exit_code::from_errors(errors, signal)
    })
}

/// Runs `work` and shows its output. If it fails, `results` says what the CI system gets. The first signal cancels the work; the second one ends the process at once.
pub(super) fn until_signal<T>(
    verbosity: Verbosity,
    results: Results,
    work: impl AsyncFnOnce(&Console, &CancellationToken) -> Result<T, Error>,
    show: impl FnOnce(T, Option<Signal>) -> ExitCode,
) -> anyhow::Result<ExitCode> {
    let console = Console::start(verbosity);
    let cancel = CancellationToken::new();
    let runtime = runtime()?;
    let (result, signal) = runtime.block_on(async {
        let mut signals = listen()?;
        let mut work = pin!(work(&console, &cancel));
        let mut first = None;
        loop {
            tokio::select! {
                result = &mut work => return anyhow::Ok((Some(result), first)),
                signal = signals.next() => {
                    if first.is_some() {
                        return Ok((None, first));
                    }
                    first = Some(signal);
                    console.stopping();
                    cancel.cancel();
                }
            }
        }
    })?;
    // Name resolution that is still running must not delay the exit.
    runtime.shutdown_background();
    console.finish();
    Ok(match result {
        Some(Ok(output)) => show(output, signal),
        Some(Err(error)) => fail(results, &error, signal),
        None => exit_code::from_signal(signal),
    })
}

/// Starts to listen for signals.
pub(super) fn listen() -> anyhow::Result<Signals> {
    Signals::listen().context("the process cannot listen for signals")
}

/// A runtime with one thread: the work is mostly waiting.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime for network requests cannot be created")
}
