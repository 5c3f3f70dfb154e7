//! Decides what follows from a verdict: verify the copy, release its id, or keep the id.

use super::context::Context;
use super::event::Event;
use super::poll::{Verdict, failure};
use super::release::{Ended, Owner, Reservation};
use super::verify::verify;
use super::watch_command::watch_it;
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;
use crate::text::UntrustedText;

/// Verifies a successful copy on the target, releases the id of a failed one, and keeps the id where there is no verdict.
pub(super) async fn settle(cx: &Context<'_>, reservation: Reservation, verdict: Verdict) -> Ended {
    let (operation, request_id) = match verdict {
        Verdict::Ready => return reservation.copied(true),
        Verdict::Open(error) => return reservation.keep(error),
        Verdict::Terminal { operation, request_id } => (operation, request_id),
    };
    if !reservation.is_that_of(&operation, cx.target) {
        // Boxed, because it is large and rare.
        return Box::pin(settle_other(cx, reservation, operation, request_id)).await;
    }
    if let Some(error) = failure(cx, operation) {
        return reservation.release(cx, error.with_request_id(request_id)).await;
    }
    match cx.target {
        Some(target) if cx.options.verify => match verify(cx, target, &reservation).await {
            Ok(shown) => reservation.shown_as(shown),
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

/// An operation that names another target is not evidence for this one: it is no verdict, and it verifies nothing. The hosts
/// of regional and custom endpoints differ, so it may be the same target all the same: the target itself decides, also where
/// no verification is wanted. Where it cannot be read, the copy that this run has started counts as not verified.
async fn settle_other(
    cx: &Context<'_>,
    reservation: Reservation,
    operation: Operation,
    request_id: Option<UntrustedText>,
) -> Ended {
    let other = about_other(&operation);
    let is_named = reservation.is_named_by(&operation);
    let not_verified = |reservation: Reservation| {
        cx.emit(Event::NotVerified { error: &other });
        reservation.copied(false)
    };
    let failed = failure(cx, operation).map(|error| error.with_request_id(request_id));
    let failed = match (reservation.owner(), failed) {
        (Owner::OtherRun, Some(error)) => return reservation.keep(error),
        (_, failed) => failed,
    };
    let Some(target) = cx.target else {
        return match failed {
            None if is_named => not_verified(reservation),
            failed => no_verdict(cx, reservation, failed.unwrap_or(other)),
        };
    };
    match (verify(cx, target, &reservation).await, failed) {
        (Ok(Some(_)), _) | (Ok(None), None) => not_verified(reservation),
        (Ok(None), Some(error)) => no_verdict(cx, reservation, error),
        (Err(error), _) if error.is_interrupted() => reservation.keep(error),
        (Err(error), _) if error.is_verdict() => reservation.release(cx, error).await,
        (Err(error), failed) => no_verdict(cx, reservation, failed.unwrap_or(error)),
    }
}

fn about_other(operation: &Operation) -> Error {
    let id = operation.target_model_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let location = operation.target_location.as_ref().map(|location| format!(" at {location}")).unwrap_or_default();
    Error::new(ErrorKind::Unforeseen, format!("the operation is about a copy{id}{location}"))
}

/// Keeps the id: what ended may have been another copy.
fn no_verdict(cx: &Context<'_>, reservation: Reservation, cause: Error) -> Ended {
    let (version, kind) = (reservation.version(), reservation.kind());
    let what = format!("the operation names another target, and whether {} is copied is not known", reservation.id());
    let remedy = watch_it(version, kind, reservation.id(), cx.target);
    reservation.keep(Error::new(ErrorKind::UnderWay, what).with_source(cause).with_remedy(remedy))
}
