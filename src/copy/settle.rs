//! Decides what follows from a verdict: verify the copy, release its id, or keep the id.

use super::context::Context;
use super::event::Event;
use super::poll::{Verdict, failure};
use super::release::{Ended, Owner, Reservation};
use super::verify::verify;
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;

/// Verifies a successful copy on the target, releases the id of a failed one, and keeps the id where there is no verdict.
pub(super) async fn settle(cx: &Context<'_>, reservation: Reservation, verdict: Verdict) -> Ended {
    let (operation, request_id) = match verdict {
        Verdict::Ready => return reservation.copied(true),
        Verdict::Open(error) => return reservation.keep(error),
        Verdict::Terminal { operation, request_id } => (operation, request_id),
    };
    if !reservation.is_that_of(&operation, cx.target) {
        return settle_other(cx, reservation, operation).with_request_id(request_id);
    }
    if let Some(error) = failure(cx, operation) {
        return reservation.release(cx, error.with_request_id(request_id)).await;
    }
    match cx.target {
        Some(target) if cx.options.verify => match verify(cx, target, &reservation).await {
            Ok(verified) => reservation.copied(verified),
            Err(error) if error.is_verdict() => reservation.release(cx, error).await,
            Err(error) => reservation.keep(error),
        },
        _ => {
            if reservation.owner() == Owner::OtherParty {
                cx.emit(Event::NotVerifiable);
            }
            reservation.copied(false)
        }
    }
}

/// An operation that names another target is not evidence for this one: nothing is verified and nothing is released. The
/// hosts of regional and custom endpoints differ, so it may be the same target all the same.
fn settle_other(cx: &Context<'_>, reservation: Reservation, operation: Operation) -> Ended {
    let id = operation.target_model_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let location = operation.target_location.as_ref().map(|location| format!(" at {location}")).unwrap_or_default();
    let other = Error::new(ErrorKind::Unforeseen, format!("the operation is about a copy{id}{location}"));
    if let Some(error) = failure(cx, operation) {
        return reservation.keep(error);
    }
    cx.emit(Event::NotVerified { error: &other });
    reservation.copied(false)
}
