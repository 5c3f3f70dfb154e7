//! From an accepted copy to its verdict, and from the verdict to the copy itself.

use std::time::Duration;

use tokio::time::Instant;

use super::{Event, Observer, Report};
use crate::api::version::ApiVersion;
use crate::api::{self, Answer, service_error};
use crate::client::{Client, RetryPolicy};
use crate::error::{Error, ErrorKind, Finding};
use crate::model::{Kind, ModelId, Readiness};
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::poll::{self, Schedule};
use crate::resource::Side;

/// How long the target may take to show a model whose operation has succeeded.
const VERIFY_FOR: Duration = Duration::from_secs(10);
/// How often the target is asked for a copy that it does not show yet, at most.
const VERIFY_EVERY: Duration = Duration::from_secs(1);
const LOOK_LATER: &str = "look for the copy in the target resource in a few minutes";
const ASK_SUPPORT: &str = "run the command again, and give the request id to Azure support if the copy fails again";

/// How an accepted copy is followed.
pub(super) struct Pursuit<'p, 'c> {
    pub(super) version: ApiVersion,
    pub(super) source: &'p Client<'c>,
    pub(super) observer: Observer<'p>,
    pub(super) poll_interval: Duration,
    pub(super) deadline: Instant,
    /// Whether this command has seen the source accept the copy. Then "no such operation" is not believed.
    pub(super) accepted: bool,
}

/// How often a source must say that it knows no such operation before that is believed.
const TIMES_TO_BELIEVE: u32 = 3;

impl Pursuit<'_, '_> {
    /// Asks the source until the operation has ended, and returns what it said of a success.
    pub(super) async fn follow(&self, url: &OperationUrl, report: &mut Report) -> Result<Operation, Error> {
        let request = api::operation(url);
        let (version, last_poll) = (self.version, &mut report.request_ids.last_poll);
        let ask = async || {
            let read = |answer: &Answer| Ok((api::read_operation(version, answer)?, answer.request_id()));
            let (operation, request_id) = self.source.once(&request, read).await?;
            *last_poll = request_id;
            Ok(operation)
        };
        let seen = |answer: &Result<Operation, Error>| match answer {
            Ok(operation) => (self.observer)(Event::Status(&operation.status)),
            Err(error) => (self.observer)(Event::StatusUnknown(error)),
        };
        let schedule = Schedule { interval: self.poll_interval, deadline: self.deadline };
        let mut unknown = 0;
        let is_final = |error: &Error| {
            unknown = if is_unknown_operation(error) { unknown + 1 } else { 0 };
            error.kind() == ErrorKind::Credentials || (!self.accepted && unknown >= TIMES_TO_BELIEVE)
        };
        let polling = poll::until_done(schedule, ask, is_final, seen);
        let operation = self.source.interruptible(polling).await.and_then(|ended| ended).map_err(goes_on)?;
        if report.target_model_id.is_none() {
            // Followed from its URL alone, a copy is told from what the service says of it.
            report.kind = operation.kind.unwrap_or(report.kind);
            report.target_model_id.clone_from(&operation.target_model_id);
        }
        let last_poll = report.request_ids.last_poll.clone();
        verdict(operation).map_err(|error| error.with_request_id(last_poll))
    }

    /// Whether the target shows the copy, ready. Asks again while the target does not show it yet.
    pub(super) async fn verify(&self, target: &Client<'_>, kind: Kind, id: &ModelId) -> Result<bool, Error> {
        (self.observer)(Event::Verifying);
        let until = (Instant::now() + VERIFY_FOR).min(self.deadline);
        let request = api::model(self.version, kind, id);
        let read = |answer: &Answer| Ok((api::read_model(self.version, answer)?.readiness, answer.request_id()));
        loop {
            let answer = target.call(&request, RetryPolicy::READ.until(until), read).await;
            let not_yet = match answer {
                Ok((Readiness::Ready, _)) => return Ok(true),
                Ok((Readiness::Invalid, request_id)) => {
                    let what = format!("the target says that the copy {id} is invalid");
                    let error = Error::new(ErrorKind::Failed, what).with_remedy(ASK_SUPPORT);
                    return Err(error.with_request_id(request_id));
                }
                Ok((Readiness::Creating, request_id)) => {
                    not_yet(&format!("{id} is still being created on the target")).with_request_id(request_id)
                }
                Ok((Readiness::Unknown(status), request_id)) => {
                    not_yet(&format!("{id} is {status} on the target")).with_request_id(request_id)
                }
                Err(error) if error.finding() == Finding::NoSuchModel => {
                    not_yet(&format!("the target does not show {id}"))
                        .with_finding(Finding::NoSuchModel)
                        .with_source(error)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(goes_on(error)),
                Err(error) => {
                    (self.observer)(Event::NotVerified { error: &error });
                    return Ok(false);
                }
            };
            let pause = self.poll_interval.min(VERIFY_EVERY);
            if Instant::now() + pause > until {
                return Err(not_yet);
            }
            target.pause(pause).await.map_err(goes_on)?;
        }
    }
}

/// An accepted copy does not end with the command that was interrupted.
fn goes_on(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => error.with_message("interrupted; the copy goes on without this command"),
        ErrorKind::NotFound => error
            .with_message("the source knows no such operation")
            .with_remedy("look for the model in the target resource: operations are forgotten after 24 hours"),
        _ => error,
    }
}

/// Whether the service itself says that it knows no such operation, or has forgotten it.
fn is_unknown_operation(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound && error.finding() != Finding::Inconclusive
}

fn not_yet(what: &str) -> Error {
    let what = format!("the source says that the copy succeeded, but {what}");
    Error::new(ErrorKind::UnderWay, what).with_remedy(LOOK_LATER)
}

/// Whether a copy has ended without success.
pub(super) fn has_ended(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Failed | ErrorKind::Canceled | ErrorKind::Skipped)
}

/// The service's verdict.
fn verdict(operation: Operation) -> Result<Operation, Error> {
    let (kind, what) = match operation.status {
        OperationStatus::Succeeded => return Ok(operation),
        OperationStatus::Canceled => (ErrorKind::Canceled, "the copy was canceled by the service"),
        OperationStatus::Skipped => (ErrorKind::Skipped, "the copy was skipped by the service"),
        _ => (ErrorKind::Failed, "the copy failed"),
    };
    let known = operation.error.as_ref().and_then(|said| service_error::remedy(said, Side::Source));
    let remedy = known.unwrap_or_else(|| ASK_SUPPORT.to_owned());
    let error = Error::new(kind, what).with_remedy(remedy);
    Err(match operation.error {
        Some(said) => error.with_source(said),
        None => error.with_source("the service gives no reason"),
    })
}
