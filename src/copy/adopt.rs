//! Adopts a copy to the target id that an earlier command started and that is still running, or has just ended.

use std::time::Duration;

use tokio::time::Instant;

use super::context::Job;
use super::event::Event;
use super::plan::IfExists;
use super::poll::{Polling, poll};
use super::preflight::{Lookup, SourceModel, TargetId};
use super::release::{Copied, Owner, Reservation};
use super::running::{LOOKS_FOR_PROOF, PROOF_INTERVAL, RunningCopy, find_running, look_repeatedly};
use super::settle::settle;
use crate::api::ListedCopy;
use crate::client::{Client, RetryPolicy};
use crate::error::{Error, ErrorKind};
use crate::label::resource_options;
use crate::model::{Model, ModelId, Readiness};
use crate::operation::OperationUrl;

/// How often the source is asked at most whether a copy is running, before that counts as not known.
const MAX_LOOKS: u32 = 5;
/// With little time left, the looks take this part of it.
const PART_FOR_LOOKS: u32 = 3;

/// Looks for the reason of a conflict about an id that was free before: a copy to it that is running or has just ended.
/// It is polled, and it counts if it brings the source's model.
///
/// # Errors
/// The given conflict, where there is no such copy.
pub(super) async fn adopt(
    job: &Job<'_>,
    source: &SourceModel,
    target: &TargetId,
    id: &ModelId,
    conflict: Error,
) -> Result<Copied, Error> {
    if job.plan.options.if_exists == IfExists::Fail {
        // Only an id that was free before can be that of a running copy.
        if !matches!(target, TargetId::Free(_) | TargetId::NotListed(_)) {
            return Err(conflict);
        }
        return Err(match running_copy(job, source, id).await {
            RunningCopy::Found(operation) => running(id, &operation, job.cx.source).with_source(conflict),
            RunningCopy::Absent | RunningCopy::Elsewhere => conflict,
            RunningCopy::NotProved => not_known(id, job.cx.source, conflict),
        });
    }
    // Where the target did not say that the id is free, a model may have been there all the time.
    if !matches!(target, TargetId::Free(_))
        && let Ok(Lookup::Found(copy)) =
            job.look_up(&job.target.for_decisive_reads(), source.shown_by, source.kind, id).await
        && copy.readiness == Readiness::Ready
    {
        return accept(job, source, copy);
    }
    if let RunningCopy::Found(operation) = running_copy(job, source, id).await {
        job.cx.emit(Event::Adopted { target_model_id: id, operation: &operation });
        let verdict = poll(&job.cx, &Polling::accepted(source.version, &operation)).await;
        let reservation = Reservation::new(source.version, source.kind, id.clone(), Owner::OtherRun);
        match settle(&job.cx, reservation, verdict).await.result() {
            Ok(_) => {}
            // It was to another target, or it came to nothing: another process has reserved the id.
            Err(error) if error.is_verdict() || error.is_no_such_model() => {
                job.cx.emit(Event::AdoptionEnded);
                return Err(conflict);
            }
            Err(error) => return Err(error),
        }
    }
    // Only the target shows which model the copy is.
    let copy = match job.look_up(&job.target.for_decisive_reads(), source.shown_by, source.kind, id).await {
        Ok(Lookup::Found(copy)) => copy,
        Ok(Lookup::Absent(_)) => return Err(conflict),
        // The conflict says that the id stays reserved.
        Err(error) if error.is_interrupted() => return Err(error.with_source(conflict)),
        Err(error) => {
            let what = format!("{error}; {conflict}");
            return Err(error.with_message(what));
        }
        Ok(Lookup::Inconclusive) => {
            let what =
                format!("{} does not show whether its {id} is a copy of this {}", job.target.label(), source.kind);
            return Err(Error::new(ErrorKind::Unavailable, what)
                .with_source(conflict)
                .with_remedy("run the same command again in a few minutes"));
        }
    };
    accept(job, source, copy)
}

/// Takes what the target shows under the id for the copy.
///
/// # Errors
/// When it is another model.
fn accept(job: &Job<'_>, source: &SourceModel, copy: Model) -> Result<Copied, Error> {
    let differences = source.differences(&copy)?;
    if !differences.is_empty() {
        return Err(source.differs(job.target.label(), &copy.id, &differences, job.plan.options.if_exists));
    }
    job.cx.emit(Event::AlreadyThere { target_model_id: &copy.id });
    let reservation = Reservation::new(source.version, source.kind, copy.id.clone(), Owner::OtherRun);
    reservation.shown_as(Some(copy)).result()
}

/// A copy to this id on this target that is running, or that the target may not show yet.
async fn running_copy(job: &Job<'_>, source: &SourceModel, id: &ModelId) -> RunningCopy {
    let remaining = job.cx.source.deadline().saturating_duration_since(Instant::now());
    let interval = (remaining / PART_FOR_LOOKS / (LOOKS_FOR_PROOF - 1)).min(PROOF_INTERVAL);
    let wait = async |_| job.cx.source.pause(interval).await.is_ok() && !job.cx.source.is_past_deadline();
    // Nothing is deleted after them, so a slow look counts as well.
    look_repeatedly(MAX_LOOKS, Duration::MAX, async || look_for_running(job, source, id).await, wait).await
}

async fn look_for_running(job: &Job<'_>, source: &SourceModel, id: &ModelId) -> RunningCopy {
    // Another process may copy a model of the same id to another target.
    let is_on_target = |copy: &ListedCopy| job.target.endpoint().is_origin_of_text(copy.target_location.raw());
    match find_running(job.cx.source, source.version, source.kind, id, is_on_target, RetryPolicy::READ).await {
        Ok(RunningCopy::Elsewhere) => RunningCopy::Absent,
        Ok(running) => running,
        Err(error) => {
            job.cx.emit_inconclusive(&error);
            RunningCopy::NotProved
        }
    }
}

/// The conflict, where the source does not show whether a copy causes it.
fn not_known(id: &ModelId, source: &Client<'_>, conflict: Error) -> Error {
    let error = if source.is_cancelled() {
        Error::interrupted(format!("interrupted; whether a copy to the target id {id} is running is not known"))
    } else {
        let source = source.label();
        let what = format!("the target id {id} is in use, and {source} does not show whether a copy to it is running");
        Error::new(ErrorKind::Exists, what)
    };
    error.with_source(conflict).with_remedy(
        "run the command again in a few minutes with --if-exists skip, or choose another --target-model-id",
    )
}

/// Checks that no copy to an id that the target does not show is running. It only reads.
///
/// # Errors
/// The conflict with which a copy would end, unless it would adopt the running one.
pub(super) async fn check_not_running(job: &Job<'_>, source: &SourceModel, id: &ModelId) -> Result<(), Error> {
    if job.plan.options.if_exists != IfExists::Fail {
        return Ok(());
    }
    let copies = job.shared.running_copies(&job.cx, source.version).await;
    let target = job.target.endpoint();
    let is_on_target = |copy: &ListedCopy| target.is_origin_of_text(copy.target_location.raw());
    let is_meant = |copy: &&ListedCopy| copy.is_to(source.kind, id) && is_on_target(copy);
    let Some(copy) = copies.iter().find(is_meant) else { return Ok(()) };
    let operation = source.version.wire().operation_url(&copy.id, job.cx.source.endpoint())?;
    Err(running(id, &operation, job.cx.source))
}

/// The conflict with a running copy, which the caller did not want to adopt.
fn running(id: &ModelId, operation: &OperationUrl, source: &Client<'_>) -> Error {
    Error::new(ErrorKind::Exists, format!("a copy to the target id {id} is already running, or has just ended"))
        .with_remedy(format!(
            "wait for it: frcopy wait '{operation}'{}; or run the command again with --if-exists skip",
            resource_options([("--from", source.label())])
        ))
}
