//! The three calls of a copy: authorize on the target, start on the source, poll the operation; then settle.

use super::authorize::authorize;
use super::context::{Context, Job};
use super::poll::{Polling, Verdict, poll};
use super::preflight::{SourceModel, TargetId};
use super::release::{Copied, Reservation};
use super::settle::settle;
use super::start::{Start, start};
use crate::error::Error;

/// Copies one model to one target id.
///
/// From the first call on, an id is reserved on the target. The [`Reservation`] stands for it, and only three functions
/// take it and return what this function returns: `settle` (the copy has a verdict), `release` (the copy was not started)
/// and `keep` (the copy is running, or may be). So no path can forget the id.
///
/// # Errors
/// The service's refusal or verdict, or why there is none. [`Delivery::NotProcessed`](crate::error::Delivery) means that
/// the start was not carried out and the id is released: a second authorization may be asked for.
pub(super) async fn transfer(job: &Job<'_>, model: &SourceModel, target: &TargetId) -> Result<Copied, Error> {
    let (authorized, reservation) = authorize(job, model, target).await?; // POST to the target
    let start = start(&job.cx, &model.id, authorized).await; // POST to the source
    finish(&job.cx, start, reservation).await
}

/// What comes after the start request. An earlier run may have sent it, and another party the authorize request.
///
/// # Errors
/// As those of [`transfer`].
pub(super) async fn finish(cx: &Context<'_>, start: Start, reservation: Reservation) -> Result<Copied, Error> {
    match start {
        Start::Accepted(operation) => {
            if let Err(error) = cx.journal.accepted(reservation.entry(), &operation) {
                cx.emit_inconclusive(&error);
            }
            let verdict = poll(cx, &Polling::accepted(reservation.version(), &operation)).await; // GET from the source
            settle(cx, reservation, verdict).await // GET from the target, or DELETE
        }
        // The start request got no answer, and the target shows the copy.
        Start::Ready => settle(cx, reservation, Verdict::Ready).await,
        // The service did not accept the start.
        Start::Refused(error) => reservation.release(cx, error).await,
        // The copy may be running: its id must not be released.
        Start::Unknown(error) => reservation.keep(error),
    }
}
