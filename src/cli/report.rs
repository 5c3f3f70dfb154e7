//! How an ending looks: the result on stdout for scripts, the verdict on stderr for people.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::copy::{Outcome, Report};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::ModelId;
use crate::text::UntrustedText;
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::args::Format;
use super::ci;
use super::progress::Verbosity;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP_LABEL: &str = "help";
const HELP: Style = AnsiColor::Green.on_default().bold();

/// Shows the ending of the only copy, and hands it on where a CI system waits for it. Returns why that was not possible.
#[must_use]
pub(crate) fn ending(format: Format, outcome: &Report, verbosity: Verbosity) -> Option<Error> {
    show_ending(format, outcome, verbosity, error);
    handed_on(ci::copies([outcome]))
}

/// What a CI system could not be told is an error that people are told.
pub(crate) fn handed_on(published: Result<(), Error>) -> Option<Error> {
    published.inspect_err(error).err()
}

/// Shows the ending of one copy of many: one line, or an error that says of which model.
pub(crate) fn outcome_of_batch(format: Format, outcome: &Report, verbosity: Verbosity) {
    show_ending(format, outcome, verbosity, |error| {
        // Those that were not begun are counted at the end.
        if !was_not_begun(error, outcome) {
            error_of(&name_of(outcome), error);
        }
    });
}

fn show_ending(format: Format, outcome: &Report, verbosity: Verbosity, show_error: impl FnOnce(&Error)) {
    match &outcome.result {
        Ok(success) if verbosity >= Verbosity::Normal => say(&ended_well(*success, outcome)),
        Ok(_) => {}
        Err(error) => {
            show_error(error);
            hand_over(error, outcome);
        }
    }
    result_of(format, outcome);
}

/// How many of them ended in which way, those that some did.
pub(crate) fn tally<'w>(all: usize, parts: impl IntoIterator<Item = (usize, &'w str)>) -> String {
    let met = parts.into_iter().filter(|(count, _)| *count > 0);
    let met: Vec<_> = met.map(|(count, what)| format!("{count} {what}")).collect();
    let met = if met.is_empty() { "nothing".into() } else { met.join(", ") };
    format!("of {all} models and classifiers: {met}")
}

/// Whether a signal came before the copy was begun.
pub(crate) fn was_not_begun(error: &Error, report: &Report) -> bool {
    error.kind() == ErrorKind::Interrupted && !report.begun
}

/// Which model a report is about.
pub(crate) fn name_of(report: &Report) -> String {
    let id = report.source_model_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    format!("{}{id}", report.kind)
}

/// The line that resumes a copy which goes on without this command.
fn hand_over(error: &Error, report: &Report) {
    if let Some(operation) = &report.operation
        && is_under_way(error, report)
    {
        say(&format!("operation: {operation}"));
        say(&format!("to follow it: frcopy wait '{operation}'"));
    }
}

/// The id on stdout is that of a model which is there and ready, and of no other.
fn result_of(format: Format, outcome: &Report) {
    let id = outcome.target_model_id.as_ref();
    match (format, &outcome.result, id) {
        (Format::Json, _, _) => result(&json(outcome)),
        (Format::Text, Ok(Outcome::Copied | Outcome::Replaced | Outcome::AlreadyThere), Some(id)) => {
            result(id.as_str());
        }
        (Format::Text, _, _) => {}
    }
}

/// Shows an error: what, why, what to do, and the id of the request.
pub(crate) fn error(error: &Error) {
    say(&format!("{ERROR}error:{ERROR:#} {error}"));
    explain(error);
    ci::error(None, error);
}

/// The same, of one model of many.
pub(crate) fn error_of(name: &str, error: &Error) {
    say(&format!("{ERROR}error:{ERROR:#} {name}: {error}"));
    explain(error);
    ci::error(Some(name), error);
}

/// Shows what is no failure and yet must be known.
pub(crate) fn warning(text: &str) {
    say(&format!("warning: {text}"));
    ci::warning(text);
}

fn explain(error: &Error) {
    for (label, text) in explanation(error) {
        let style = if label == HELP_LABEL { HELP } else { Style::new() };
        say(&format!("{style}{label}:{style:#} {text}"));
    }
}

/// Why it happened, what to do, and the id of the request, each with its label.
pub(crate) fn explanation(error: &Error) -> impl Iterator<Item = (&'static str, String)> {
    let causes = error.causes().map(|cause| ("cause", cause.to_string()));
    let remedy = error.remedy().map(|remedy| (HELP_LABEL, remedy.to_owned()));
    causes.chain(remedy).chain(error.request_id().map(|id| ("request id", id.to_string())))
}

fn ended_well(success: Outcome, report: &Report) -> String {
    let name = name_of(report);
    let to = report.target.as_ref().map(|target| format!(" to {target}")).unwrap_or_default();
    let named = report.target_model_id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
    let version = report.api_version.map(|version| format!(" with API {version}")).unwrap_or_default();
    let seconds = report.elapsed.as_secs_f64();
    match success {
        Outcome::Copied => format!("copied {name}{to}{named}{version} in {seconds:.1} s"),
        Outcome::Replaced => format!("replaced {name}{to}{named}{version} in {seconds:.1} s"),
        Outcome::AlreadyThere => format!("skipped {name}: the target has it already{named}"),
        Outcome::WouldCopy => format!("would copy {name}{to}{named}{version}"),
        Outcome::WouldReplace => format!("would replace {name}{to}{named}{version}, by way of a staging copy"),
    }
}

/// One line on stdout. A reader that has gone away wanted no more, and the copy's own exit code stands.
pub(crate) fn result(line: &str) {
    let mut stdout = io::stdout().lock();
    note(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
}

/// A whole text on stdout. A reader that has gone away wanted no more.
pub(crate) fn document(text: &[u8]) {
    let mut stdout = io::stdout().lock();
    note(stdout.write_all(text).and_then(|()| stdout.flush()));
}

/// Many lines on stdout. A reader that has gone away wanted no more.
pub(crate) fn results(lines: impl Iterator<Item = String>) {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        if let Err(error) = writeln!(stdout, "{line}") {
            return note(Err(error));
        }
    }
    note(stdout.flush());
}

/// Whether something that belongs on stdout could not be written there, though somebody waits for it.
static STDOUT_IS_SHORT: AtomicBool = AtomicBool::new(false);

/// A reader that has gone away wanted no more; a disk that is full is an error.
fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && !STDOUT_IS_SHORT.swap(true, Ordering::Relaxed)
    {
        say(&format!("{ERROR}error:{ERROR:#} not everything could be written to stdout: {error}"));
    }
}

/// Whether stdout does not have all that belongs there.
pub(crate) fn stdout_is_short() -> bool {
    STDOUT_IS_SHORT.load(Ordering::Relaxed)
}

/// One line on stderr, in colour where that is wanted.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Whether an ending leaves a copy that goes on, or that nobody can follow any more.
pub(crate) fn is_under_way(error: &Error, report: &Report) -> bool {
    match error.kind() {
        ErrorKind::UnderWay => true,
        ErrorKind::Credentials | ErrorKind::Interrupted => report.operation.is_some(),
        _ => false,
    }
}

/// Whether a copy was asked for and nobody knows what came of it: its operation is not known either.
fn may_be_under_way(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unforeseen | ErrorKind::Interrupted) && error.delivery() == Delivery::Unanswered
}

/// The object of `--output json`. Fields are added, never changed; what is absent is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    status: &'static str,
    action: Option<&'static str>,
    kind: String,
    api_version: Option<String>,
    source: Side<'a>,
    target: Target<'a>,
    operation: Option<String>,
    verified: bool,
    started_at: String,
    elapsed_seconds: f64,
    request_ids: RequestIds<'a>,
    error: Option<JsonError<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Side<'a> {
    endpoint: String,
    model_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    endpoint: Option<String>,
    model_id: Option<&'a str>,
    resource_id: Option<&'a UntrustedText>,
    region: Option<&'a UntrustedText>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestIds<'a> {
    authorize: Option<&'a UntrustedText>,
    start: Option<&'a UntrustedText>,
    last_poll: Option<&'a UntrustedText>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonError<'a> {
    kind: &'static str,
    code: Option<&'a UntrustedText>,
    message: String,
    remedy: Option<&'a str>,
    request_id: Option<&'a UntrustedText>,
}

pub(crate) fn json(report: &Report) -> String {
    let json = Json {
        schema: "frcopy.copy/1",
        status: status(&report.result, report),
        action: report.result.as_ref().ok().map(|success| action(*success)),
        kind: report.kind.to_string(),
        api_version: report.api_version.map(|version| version.to_string()),
        source: Side {
            endpoint: report.source.to_string(),
            model_id: report.source_model_id.as_ref().map(ModelId::as_str),
        },
        target: Target {
            endpoint: report.target.as_ref().map(ToString::to_string),
            model_id: report.target_model_id.as_ref().map(ModelId::as_str),
            resource_id: report.target_resource_id.as_ref(),
            region: report.target_region.as_ref(),
        },
        operation: report.operation.as_ref().map(ToString::to_string),
        verified: report.verified,
        started_at: format!("{:.0}", report.started_at),
        elapsed_seconds: (report.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        request_ids: RequestIds {
            authorize: report.request_ids.authorize.as_ref(),
            start: report.request_ids.start.as_ref(),
            last_poll: report.request_ids.last_poll.as_ref(),
        },
        error: report.result.as_ref().err().map(json_error),
    };
    // Strings and numbers cannot fail to be written.
    serde_json::to_string(&json).unwrap_or_default()
}

pub(crate) fn json_error(error: &Error) -> JsonError<'_> {
    let service = error.service();
    JsonError {
        kind: kind(error.kind()),
        code: service.and_then(|said| said.code.as_ref()),
        message: service
            .filter(|said| !said.message.is_empty())
            .map_or_else(|| error.to_string(), |said| said.message.to_string()),
        remedy: error.remedy(),
        request_id: error.request_id(),
    }
}

/// What was done, or would be.
fn action(success: Outcome) -> &'static str {
    match success {
        Outcome::Copied | Outcome::WouldCopy => "copy",
        Outcome::Replaced | Outcome::WouldReplace => "replace",
        Outcome::AlreadyThere => "none",
    }
}

pub(crate) fn status(result: &Result<Outcome, Error>, report: &Report) -> &'static str {
    let error = match result {
        Ok(Outcome::Copied | Outcome::Replaced) => return "succeeded",
        Ok(Outcome::AlreadyThere) => return "skipped",
        Ok(Outcome::WouldCopy | Outcome::WouldReplace) => return "planned",
        Err(error) => error,
    };
    match error.kind() {
        // An accepted copy goes on; one of which nobody knows whether it was accepted may.
        _ if is_under_way(error, report) || may_be_under_way(error) => "running",
        ErrorKind::Failed => "failed",
        ErrorKind::Canceled => "canceled",
        ErrorKind::Skipped => "skipped",
        ErrorKind::Settings | ErrorKind::Credentials | ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Refused => {
            "refused"
        }
        ErrorKind::Unavailable | ErrorKind::Unforeseen | ErrorKind::UnderWay | ErrorKind::Interrupted => "unavailable",
    }
}

fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Settings => "settings",
        ErrorKind::Credentials => "credentials",
        ErrorKind::NotFound => "notFound",
        ErrorKind::Exists => "exists",
        ErrorKind::Refused => "refused",
        ErrorKind::Failed => "failed",
        ErrorKind::Canceled => "canceled",
        ErrorKind::Skipped => "skipped",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::UnderWay => "underWay",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Unforeseen => "unforeseen",
    }
}
