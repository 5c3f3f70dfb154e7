//! The stdout contract for scripts: the lines of `--output json`, and writing to stdout.
//!
//! JSON fields are only ever added. A value that is not known is null. `frcopy help json` describes every field.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::sync::OnceLock;

use crate::api::version::ApiVersion;
use crate::authorization_file::AuthorizationFile;
use crate::copy::{Outcome, Report};
use crate::doctor::{CheckResult, Finding};
use crate::error::{Error, ErrorKind};
use crate::inventory::Listed;
use crate::model::{Model, ModelId, Readiness};
use crate::prune::{Leftover, Origin, Pruned};
use crate::redactor::redact;
use crate::resource::{Endpoint, Resource};
use crate::resource_name::ResourceName;
use crate::text::{clean_lines, needs_escape};
use jiff::Timestamp;
use serde::Serialize;

use super::config::Definition;
use super::status::status;

/// Writes one line to stdout.
pub(super) fn print_line(line: &str) {
    let mut stdout = io::stdout().lock();
    record(writeln!(stdout, "{}", clean_lines(line)).and_then(|()| stdout.flush()));
}

/// Writes many lines to stdout.
pub(super) fn print_lines(lines: impl Iterator<Item = String>) {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        if let Err(error) = writeln!(stdout, "{}", clean_lines(&line)) {
            return record(Err(error));
        }
    }
    record(stdout.flush());
}

/// Writes a whole text to stdout that repeats no value of others.
pub(super) fn print_document(text: &[u8]) {
    let mut stdout = io::stdout().lock();
    record(stdout.write_all(text).and_then(|()| stdout.flush()));
}

/// The first error that kept something from stdout.
static STDOUT_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Why stdout is incomplete, if it is. The command then does not exit with 0.
pub(super) fn stdout_error() -> Option<&'static io::Error> {
    STDOUT_ERROR.get()
}

/// Keeps an error of stdout. A closed pipe is none: its reader wanted no more lines.
fn record(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = STDOUT_ERROR.set(error);
    }
}

/// Serialises a line. Strings and numbers cannot fail to be serialised.
pub(super) fn line(value: &impl Serialize) -> String {
    escaped(&redact(&serde_json::to_string(value).unwrap_or_default()))
}

/// The same JSON, with escapes for what controls a terminal, and for `##`, with which Azure Pipelines' commands begin.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if needs_escape(c) || (c == '#' && text.ends_with('#')) {
            // Writing to a string cannot fail.
            let _ = c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"));
        } else {
            text.push(c);
        }
    }
    text
}

/// Text as it is shown.
pub(super) fn text<T: Display + ?Sized>(value: &T) -> String {
    value.to_string()
}

/// Timestamps have whole seconds.
pub(super) fn date(date: Timestamp) -> String {
    format!("{date:.0}")
}

/// A model in a line: where it is, and its id.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelAt<'a> {
    name: Option<&'a str>,
    endpoint: Option<String>,
    model_id: Option<&'a str>,
}

/// The line of one copy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CopyLine<'a> {
    schema: &'static str,
    status: &'static str,
    action: Option<&'static str>,
    kind: Option<String>,
    api_version: Option<String>,
    source: ModelAt<'a>,
    target: CopyTarget<'a>,
    operation: Option<String>,
    verified: bool,
    started_at: String,
    elapsed_seconds: f64,
    request_ids: CopyRequestIds,
    error: Option<ErrorObject>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CopyTarget<'a> {
    name: Option<&'a str>,
    endpoint: Option<String>,
    model_id: Option<&'a str>,
    resource_id: Option<String>,
    region: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CopyRequestIds {
    authorize: Option<String>,
    start: Option<String>,
    last_poll: Option<String>,
}

/// An error inside a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorObject {
    kind: &'static str,
    code: Option<String>,
    message: String,
    remedy: Option<String>,
    request_id: Option<String>,
}

impl From<&Error> for ErrorObject {
    fn from(error: &Error) -> Self {
        let service = error.service();
        let message = service.map(|said| text(&said.message)).filter(|message| !message.is_empty());
        Self {
            kind: error_kind(error.kind()),
            code: service.and_then(|said| said.code.as_ref()).map(text),
            message: message.unwrap_or_else(|| error.to_string()),
            remedy: error.remedy().map(text),
            request_id: error.request_id().map(text),
        }
    }
}

/// `frcopy.copy/1`: the line of one copy.
pub(super) fn copy(report: &Report) -> String {
    line(&CopyLine {
        schema: "frcopy.copy/1",
        status: status(report),
        action: report.result.as_ref().ok().map(|outcome| action(*outcome)),
        kind: report.kind.map(|kind| kind.to_string()),
        api_version: report.api_version.map(|version| version.to_string()),
        source: ModelAt {
            name: report.source_resource.as_ref().map(ResourceName::as_str),
            endpoint: report.source.as_ref().map(text),
            model_id: report.source_model_id.as_ref().map(ModelId::as_str),
        },
        target: CopyTarget {
            name: report.target_resource.as_ref().map(ResourceName::as_str),
            endpoint: report.target.as_ref().map(text),
            model_id: report.target_model_id.as_ref().map(ModelId::as_str),
            resource_id: report.target_resource_id.as_ref().map(text),
            region: report.target_region.as_ref().map(text),
        },
        operation: report.operation.as_ref().map(text),
        verified: report.verified,
        started_at: date(report.started_at),
        elapsed_seconds: (report.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        request_ids: CopyRequestIds {
            authorize: report.request_ids.authorize.as_ref().map(text),
            start: report.request_ids.start.as_ref().map(text),
            last_poll: report.request_ids.last_poll.as_ref().map(text),
        },
        error: report.result.as_ref().err().map(ErrorObject::from),
    })
}

/// The line of one check of a resource.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingLine<'a> {
    schema: &'static str,
    resource: &'a str,
    endpoint: Option<String>,
    check: String,
    status: &'static str,
    message: Option<String>,
    remedy: Option<String>,
    error: Option<ErrorObject>,
}

/// `frcopy.doctor/1`: the line of one check of a resource.
pub(super) fn finding(resource: &str, endpoint: Option<&Endpoint>, finding: &Finding) -> String {
    let (status, message, remedy, error) = match &finding.result {
        CheckResult::Fine(what) => ("ok", Some(what.clone()), None, None),
        CheckResult::Warning { what, remedy } => ("warning", Some(what.clone()), Some(remedy.clone()), None),
        CheckResult::Failed(error) => ("failed", Some(error.to_string()), error.remedy().map(text), Some(error)),
        CheckResult::NotChecked(why) => ("notChecked", why.clone(), None, None),
    };
    line(&FindingLine {
        schema: "frcopy.doctor/1",
        resource,
        endpoint: endpoint.map(text),
        check: finding.check.to_string(),
        status,
        message,
        remedy,
        error: error.map(ErrorObject::from),
    })
}

/// The line of one model that a copy has left.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrunedLine<'a> {
    schema: &'static str,
    endpoint: String,
    kind: String,
    model_id: &'a str,
    api_version: String,
    leftover: &'static str,
    status: &'static str,
    reason: &'a str,
    created_at: Option<String>,
    error: Option<ErrorObject>,
}

/// `frcopy.prune/1`: the line of one model that a copy has left.
pub(super) fn pruned(pruned: &Pruned, resource: &Resource) -> String {
    let Leftover { version, model, origin, .. } = &pruned.leftover;
    line(&PrunedLine {
        schema: "frcopy.prune/1",
        endpoint: resource.endpoint.to_string(),
        kind: model.kind.to_string(),
        model_id: model.id.as_str(),
        api_version: trained_with(*version, model),
        leftover: match origin {
            Origin::StagingCopy { .. } => "stagingCopy",
            Origin::BlankModel => "blankModel",
        },
        status: pruned.status(),
        reason: pruned.reason(),
        created_at: model.created.map(date),
        error: pruned.deletion.as_ref().and_then(|deletion| deletion.as_ref().err()).map(ErrorObject::from),
    })
}

/// What the copy did, or would do.
fn action(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Copied | Outcome::WouldCopy => "copy",
        Outcome::Replaced | Outcome::WouldReplace => "replace",
        Outcome::AlreadyThere => "none",
    }
}

fn error_kind(kind: ErrorKind) -> &'static str {
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

/// The line of one model of a resource.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelLine<'a> {
    schema: &'static str,
    resource: Option<&'a str>,
    endpoint: String,
    kind: String,
    model_id: &'a str,
    api_version: String,
    status: String,
    name: Option<String>,
    description: Option<String>,
    tags: BTreeMap<String, String>,
    created_at: Option<String>,
    modified_at: Option<String>,
    expires_at: Option<String>,
    retired: bool,
}

/// `frcopy.model/1`: the line of one model of a resource.
pub(super) fn model(Listed { version, model }: &Listed, resource: &Resource) -> String {
    line(&ModelLine {
        schema: "frcopy.model/1",
        resource: resource.name.as_ref().map(ResourceName::as_str),
        endpoint: resource.endpoint.to_string(),
        kind: model.kind.to_string(),
        model_id: model.id.as_str(),
        api_version: trained_with(*version, model),
        status: readiness(&model.readiness),
        name: model.name.as_ref().map(text),
        description: model.description.as_ref().map(text),
        tags: model.tags.iter().map(|(key, value)| (text(key), text(value))).collect(),
        created_at: model.created.map(date),
        modified_at: model.modified.map(date),
        expires_at: model.expires.map(date),
        retired: model.is_retired(),
    })
}

/// The version that trained a model: its number, or the service's date of a preview version.
pub(super) fn trained_with(version: ApiVersion, model: &Model) -> String {
    let Some(date) = model.api_version.as_ref().map(text) else { return version.to_string() };
    date.parse::<ApiVersion>().map_or(date, |version| version.to_string())
}

/// The status of a model.
pub(super) fn readiness(readiness: &Readiness) -> String {
    match readiness {
        Readiness::Ready => "ready".into(),
        Readiness::Creating => "creating".into(),
        Readiness::Invalid => "invalid".into(),
        Readiness::Unknown(status) => text(status),
    }
}

/// The line of a named resource.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedResourceLine<'a> {
    schema: &'static str,
    name: &'a str,
    endpoint: Option<&'a str>,
    account: Option<&'a str>,
    authentication: &'static str,
    resource_id: Option<&'a str>,
    region: Option<&'a str>,
    defined_in: &'a str,
}

/// `frcopy.resource/1`: the line of a named resource.
pub(super) fn named_resource(definition: &Definition) -> String {
    line(&NamedResourceLine {
        schema: "frcopy.resource/1",
        name: definition.name.as_str(),
        endpoint: definition.endpoint.as_deref(),
        account: definition.account.as_deref(),
        authentication: definition.authentication(),
        resource_id: definition.resource_id.as_deref(),
        region: definition.region.as_deref(),
        defined_in: &definition.place,
    })
}

/// The line of an authorization.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationLine<'a> {
    schema: &'static str,
    status: &'static str,
    kind: String,
    api_version: String,
    target: ModelAt<'a>,
    expires_at: String,
}

/// `frcopy.authorize/1`: the line of an authorization that was issued or revoked.
pub(super) fn authorization(status: &'static str, file: &AuthorizationFile, name: Option<&ResourceName>) -> String {
    let AuthorizationFile { target, version, kind, authorization, .. } = file;
    line(&AuthorizationLine {
        schema: "frcopy.authorize/1",
        status,
        kind: kind.to_string(),
        api_version: version.to_string(),
        target: ModelAt {
            name: name.map(ResourceName::as_str),
            endpoint: Some(target.to_string()),
            model_id: Some(authorization.target_model_id.as_str()),
        },
        expires_at: date(authorization.expires),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_no_command_and_keeps_its_meaning() {
        let value = "a###b\u{9b}\u{e0041}\n::error::";
        let json = line(&value);
        assert_eq!(json, r#""a#\u0023#b\u009b\udb40\udc41\n::error::""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        assert_eq!(clean_lines(&json), json);
    }
}
