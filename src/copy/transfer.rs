//! The three calls of a copy: authorize on the target, start on the source, poll the operation; then settle.

use super::authorize::authorize;
use super::context::{Context, Job};
use super::poll::{Polling, Verdict, poll};
use super::preflight::{SourceModel, TargetId};
use super::release::{Copied, Ended, Reservation};
use super::settle::settle;
use super::start::{Start, start};
use super::turn::Turn;
use crate::error::Error;

/// Copies one model to one target id.
///
/// From the first call on, an id is reserved on the target. The [`Reservation`] stands for it, and only its own methods
/// make an [`Ended`] of it: `settle` calls them where the copy has a verdict, `release` where it was not started, `keep`
/// where it is running, or may be. So [`finish`] cannot return without deciding about the id.
///
/// # Errors
/// The service's refusal or verdict, or why there is none. [`Delivery::NotProcessed`](crate::error::Delivery) means that
/// the start was not carried out and the release of the id was tried: a second authorization may be asked for.
pub(super) async fn transfer(
    job: &Job<'_>,
    model: &SourceModel,
    target: &TargetId,
    turn: Turn<'_>,
) -> Result<Copied, Error> {
    let (authorized, reservation) = authorize(job, model, target, turn).await?; // POST to the target
    let start = start(&job.cx, &model.id, authorized).await; // POST to the source
    finish(&job.cx, start, reservation).await.result()
}

/// What comes after the start request. An earlier run may have sent it, and another party the authorize request.
pub(super) async fn finish(cx: &Context<'_>, start: Start, reservation: Reservation) -> Ended {
    match start {
        Start::Accepted(operation) => {
            if let Err(error) = cx.journal.accepted(reservation.entry(), &operation) {
                cx.emit_inconclusive(&error);
            }
            let verdict = poll(cx, &Polling::accepted(reservation.version(), &operation)).await; // GET from the source
            settle(cx, reservation.with_operation(operation), verdict).await // GET from the target, or DELETE
        }
        // The start request got no answer, and the target shows the copy.
        Start::Ready => settle(cx, reservation, Verdict::Ready).await,
        // The start was refused, not sent, or proved not carried out.
        Start::Refused(error) => reservation.release(cx, error).await,
        // The copy may be running: its id must not be released.
        Start::Unknown(error) => reservation.keep(error),
    }
}
