//! What a [`Report`] means: the state of its copy, and the name of its model.

use crate::copy::{Outcome, Report};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::Kind;

/// The kind and id of the model that a report is about.
pub(super) fn name(report: &Report) -> String {
    let id = report.source_model_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let kind = report.kind.unwrap_or(Kind::Model);
    format!("{kind}{id}")
}

/// Whether the copy was not begun. Its error is that of the whole command, or of its target.
pub(super) fn was_not_begun(report: &Report) -> bool {
    !report.begun
}

/// Whether the service accepted the copy and its verdict is not known.
pub(super) fn is_running(error: &Error, report: &Report) -> bool {
    match error.kind() {
        ErrorKind::UnderWay => true,
        ErrorKind::Credentials | ErrorKind::Interrupted => report.operation.is_some(),
        _ => false,
    }
}

/// Whether the start request was sent, got no answer, and may have been accepted.
fn may_be_running(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unforeseen | ErrorKind::Interrupted) && error.delivery() == Delivery::Unanswered
}

/// The `status` of JSON lines, CI results and summaries.
pub(super) fn status(report: &Report) -> &'static str {
    let error = match &report.result {
        Ok(Outcome::Copied | Outcome::Replaced) => return "succeeded",
        Ok(Outcome::AlreadyThere) => return "skipped",
        Ok(Outcome::WouldCopy | Outcome::WouldReplace) => return "planned",
        Err(error) => error,
    };
    if is_running(error, report) || may_be_running(error) { "running" } else { status_of(error) }
}

/// The `status` of an error that is not about a running copy.
pub(super) fn status_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Failed => "failed",
        ErrorKind::Canceled => "canceled",
        ErrorKind::Skipped => "skipped",
        ErrorKind::Settings | ErrorKind::Credentials | ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Refused => {
            "refused"
        }
        ErrorKind::UnderWay => "running",
        ErrorKind::Unavailable | ErrorKind::Unforeseen | ErrorKind::Interrupted => "unavailable",
    }
}
