//! Adopts a copy to the target id that an earlier command started and that is still running.

use super::context::Job;
use super::event::Event;
use super::operations::find_operation;
use super::plan::IfExists;
use super::poll::{Polling, poll};
use super::preflight::{Lookup, SourceModel};
use super::release::{Copied, Owner, Reservation};
use super::settle::settle;
use crate::api::ListedCopy;
use crate::error::{Error, ErrorKind};
use crate::model::ModelId;
use crate::operation::OperationUrl;

/// Looks for the reason of a conflict about an id that was free before: a copy to it that is running or has just ended.
/// It is polled, and it counts if it brings the source's model.
///
/// # Errors
/// The given conflict, where there is no such copy.
pub(super) async fn adopt(job: &Job<'_>, source: &SourceModel, id: &ModelId, conflict: Error) -> Result<Copied, Error> {
    if job.plan.options.if_exists == IfExists::Fail {
        return Err(conflict);
    }
    let reservation = || Reservation::new(source.version, source.kind, id.clone(), Owner::OtherRun);
    if let Some(operation) = running_copy(job, source, id).await {
        job.cx.emit(Event::Adopted { target_model_id: id, operation: &operation });
        let verdict = poll(&job.cx, &Polling::accepted(source.version, &operation)).await;
        match settle(&job.cx, reservation(), verdict).await {
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
    let copy = match job.look_up(job.target, source.shown_by, source.kind, id).await? {
        Lookup::Found(copy) => copy,
        Lookup::Absent(_) => return Err(conflict),
        Lookup::Inconclusive => {
            let what = format!("the target does not show whether its {id} is a copy of this {}", source.kind);
            return Err(Error::new(ErrorKind::Unavailable, what)
                .with_source(conflict)
                .with_remedy("run the same command again in a few minutes"));
        }
    };
    let differences = source.differences(&copy)?;
    if !differences.is_empty() {
        return Err(source.differs(id, &differences));
    }
    job.cx.emit(Event::AlreadyThere { target_model_id: id });
    Ok(reservation().copied(true))
}

async fn running_copy(job: &Job<'_>, source: &SourceModel, id: &ModelId) -> Option<OperationUrl> {
    let is_running = |copy: &ListedCopy| copy.target_model_id == *id && !copy.status.is_terminal();
    match find_operation(job.cx.source, source.version, source.kind, is_running, |_| true).await {
        Ok(operation) => operation,
        Err(error) => {
            job.cx.emit_inconclusive(&error);
            None
        }
    }
}
