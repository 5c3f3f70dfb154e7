//! Shows the result of a copy: the id or JSON on stdout, a sentence or an error on stderr.

use std::path::Path;

use crate::copy::{CopyOptions, Outcome, Report};
use crate::error::Error;
use crate::label::{in_shell, resource_options};
use crate::resource_name::ResourceName;

use super::args::Format;
use super::console::{self, Verbosity};
use super::json;
use super::status::{is_running, name, was_not_begun};

/// Shows the result of a command's only copy.
pub(super) fn show(format: Format, report: &Report, verbosity: Verbosity) {
    show_with(format, report, verbosity, None, |error| {
        console::error(error);
        show_operation(error, report);
    });
}

/// Shows the result of one of several copies; an error names the model, and the target if there are several.
///
/// With a manifest, one command waits for all of them, and is printed at the end.
pub(super) fn show_named(
    format: Format,
    report: &Report,
    verbosity: Verbosity,
    target: Option<&ResourceName>,
    has_manifest: bool,
) {
    show_with(format, report, verbosity, target, |error| {
        // Copies that were not begun are only counted at the end: their error is that of the whole command.
        if !was_not_begun(report) {
            let target = target.map(|target| format!("{target}: ")).unwrap_or_default();
            console::error_for(&format!("{target}{}", name(report)), error);
        }
        if !has_manifest {
            show_operation(error, report);
        }
    });
}

fn show_with(
    format: Format,
    report: &Report,
    verbosity: Verbosity,
    target: Option<&ResourceName>,
    show_error: impl FnOnce(&Error),
) {
    match &report.result {
        Ok(outcome) if verbosity >= Verbosity::Normal => console::line(&sentence(*outcome, report)),
        Ok(_) => {}
        Err(error) => {
            show_error(error);
        }
    }
    print_result(format, report, target);
}

/// Prints the command that polls a copy which is still running.
fn show_operation(error: &Error, report: &Report) {
    if let Some(operation) = &report.operation
        && is_running(error, report)
    {
        console::line(&format!("operation: {operation}"));
        let labels = [("--from", &report.source_label), ("--to", &report.target_label)];
        let labels = labels.into_iter().filter_map(|(option, label)| Some((option, label.as_deref()?)));
        console::line(&format!("to wait for it: frcopy wait '{operation}'{}", resource_options(labels)));
    }
}

/// The line with the command that waits for every copy between two resources that a manifest has as open.
pub(super) fn wait_for_manifest(path: &Path, options: &CopyOptions) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let names = resource_options([("--from", &*options.source.label), ("--to", &*options.target.label)]);
    format!("to wait for the running copies: frcopy wait --manifest {}{names}", in_shell(&path.to_string_lossy()))
}

/// Prints the id of a copy only if the copy exists and is ready; with several targets after the name of the target.
fn print_result(format: Format, report: &Report, target: Option<&ResourceName>) {
    let id = report.target_model_id.as_ref();
    match (format, &report.result, id) {
        (Format::Json, _, _) => json::print_line(&json::copy(report)),
        (Format::Text, Ok(Outcome::Copied | Outcome::Replaced | Outcome::AlreadyThere), Some(id)) => {
            json::print_line(&target.map_or_else(|| id.to_string(), |target| format!("{target}\t{id}")));
        }
        (Format::Text, _, _) => {}
    }
}

fn sentence(outcome: Outcome, report: &Report) -> String {
    let name = name(report);
    let target = report.target_resource.as_ref().map(ToString::to_string);
    let target = target.or(report.target.as_ref().map(ToString::to_string));
    let to = target.as_ref().map(|target| format!(" to {target}")).unwrap_or_default();
    let id = report.target_model_id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
    let version = report.api_version.map(|version| format!(" with API {version}")).unwrap_or_default();
    let seconds = report.elapsed.as_secs_f64();
    let replaced = || {
        let id = report.target_model_id.as_ref().map_or_else(|| "its model".to_owned(), ToString::to_string);
        target.as_ref().map(|target| format!("{id} on {target}")).unwrap_or(id)
    };
    match outcome {
        Outcome::Copied => format!("copied {name}{to}{id}{version} in {seconds:.1} s"),
        Outcome::Replaced => format!("replaced {} with a copy of {name}{version} in {seconds:.1} s", replaced()),
        Outcome::AlreadyThere => {
            let target = report.target_resource.as_ref().map_or("the target", ResourceName::as_str);
            format!("skipped {name}: {target} has it already{id}")
        }
        Outcome::WouldCopy => format!("would copy {name}{to}{id}{version}"),
        Outcome::WouldReplace => {
            format!("would replace {} with a copy of {name}{version}, through a staging copy", replaced())
        }
    }
}
