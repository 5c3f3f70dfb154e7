//! How an ending looks: the result on stdout for scripts, the verdict on stderr for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use frcopy::copy::{Outcome, Record};
use frcopy::error::{Delivery, Error, ErrorKind};
use frcopy::model::ModelId;
use serde::Serialize;

use super::args::Format;
use super::progress::Verbosity;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Green.on_default().bold();

/// Shows the ending of a copy.
pub(crate) fn outcome(format: Format, outcome: &Outcome, verbosity: Verbosity) {
    match &outcome.result {
        Ok(()) if verbosity >= Verbosity::Normal => say(&copied(&outcome.record)),
        Ok(()) => {}
        Err(error) => {
            self::error(error);
            if let Some(operation) = &outcome.record.operation
                && is_under_way(error, &outcome.record)
            {
                say(&format!("operation: {operation}"));
                say(&format!("to follow it: frcopy wait '{operation}'"));
            }
        }
    }
    let id = outcome.record.target_model_id.as_ref();
    match (format, &outcome.result, id) {
        (Format::Json, _, _) => result(&json(outcome)),
        (Format::Text, Ok(()), Some(id)) => result(id.as_str()),
        (Format::Text, _, _) => {}
    }
}

/// Shows an error: what, why, what to do, and the id of the request.
pub(crate) fn error(error: &Error) {
    say(&format!("{ERROR}error:{ERROR:#} {error}"));
    for cause in error.causes() {
        say(&format!("cause: {cause}"));
    }
    if let Some(remedy) = error.remedy() {
        say(&format!("{HELP}help:{HELP:#} {remedy}"));
    }
    if let Some(request_id) = error.request_id() {
        say(&format!("request id: {request_id}"));
    }
}

fn copied(record: &Record) -> String {
    let name = |id: &Option<ModelId>| id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let to = record.target.as_ref().map(|target| format!(" to {target}")).unwrap_or_default();
    let named = record.target_model_id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
    let version = record.api_version.map(|version| format!(" with API {version}")).unwrap_or_default();
    let seconds = record.elapsed.as_secs_f64();
    format!("copied {}{}{to}{named}{version} in {seconds:.1} s", record.kind, name(&record.source_model_id))
}

/// One line on stdout. A reader that has gone away wanted no more, and the copy's own exit code stands.
pub(crate) fn result(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// One line on stderr, in colour where that is wanted.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Whether an ending leaves a copy that goes on, or that nobody can follow any more.
fn is_under_way(error: &Error, record: &Record) -> bool {
    match error.kind() {
        ErrorKind::UnderWay => true,
        ErrorKind::Credentials | ErrorKind::Interrupted => record.operation.is_some(),
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
    resource_id: Option<&'a str>,
    region: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestIds<'a> {
    authorize: Option<&'a str>,
    start: Option<&'a str>,
    last_poll: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonError<'a> {
    kind: &'static str,
    code: Option<&'a str>,
    message: String,
    remedy: Option<&'a str>,
    request_id: Option<&'a str>,
}

fn json(Outcome { record, result }: &Outcome) -> String {
    let json = Json {
        schema: "frcopy.copy/1",
        status: status(result, record),
        kind: record.kind.to_string(),
        api_version: record.api_version.map(|version| version.to_string()),
        source: Side {
            endpoint: record.source.to_string(),
            model_id: record.source_model_id.as_ref().map(ModelId::as_str),
        },
        target: Target {
            endpoint: record.target.as_ref().map(ToString::to_string),
            model_id: record.target_model_id.as_ref().map(ModelId::as_str),
            resource_id: record.target_resource_id.as_deref(),
            region: record.target_region.as_deref(),
        },
        operation: record.operation.as_ref().map(ToString::to_string),
        verified: record.verified,
        started_at: format!("{:.0}", record.started_at),
        elapsed_seconds: (record.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        request_ids: RequestIds {
            authorize: record.request_ids.authorize.as_deref(),
            start: record.request_ids.start.as_deref(),
            last_poll: record.request_ids.last_poll.as_deref(),
        },
        error: result.as_ref().err().map(json_error),
    };
    // Strings and numbers cannot fail to be written.
    serde_json::to_string(&json).unwrap_or_default()
}

fn json_error(error: &Error) -> JsonError<'_> {
    let service = error.service();
    JsonError {
        kind: kind(error.kind()),
        code: service.and_then(|said| said.code.as_deref()),
        message: service.map(|said| said.message.clone()).filter(|said| !said.is_empty()).unwrap_or(error.to_string()),
        remedy: error.remedy(),
        request_id: error.request_id(),
    }
}

fn status(result: &Result<(), Error>, record: &Record) -> &'static str {
    let Err(error) = result else { return "succeeded" };
    match error.kind() {
        // An accepted copy goes on; one of which nobody knows whether it was accepted may.
        _ if is_under_way(error, record) || may_be_under_way(error) => "running",
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
