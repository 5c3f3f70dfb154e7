//! Reads the target until it shows the copy.

use std::time::Duration;

use tokio::time::Instant;

use super::context::Context;
use super::event::Event;
use super::poll::{ASK_SUPPORT, continues};
use super::release::Reservation;
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind, Finding};
use crate::model::{Model, ModelId, Readiness};

/// How long the target may take to show a model whose operation has succeeded.
const VERIFY_TIME: Duration = Duration::from_secs(10);
/// The longest delay between two reads of the target.
const VERIFY_INTERVAL: Duration = Duration::from_secs(1);

/// The copy as the target shows it, ready. None where the reads are inconclusive.
///
/// # Errors
/// [`ErrorKind::Failed`] where the target says twice that the copy is invalid, [`ErrorKind::UnderWay`] where it does not show
/// the copy in time.
pub(super) async fn verify(
    cx: &Context<'_>,
    target: &Client<'_>,
    reservation: &Reservation,
) -> Result<Option<Model>, Error> {
    cx.emit(Event::Verifying);
    let id = reservation.id();
    let until = (Instant::now() + VERIFY_TIME).min(target.deadline());
    let call = reservation.version().wire().model(reservation.kind(), id);
    // What the target last said. It counts until the target says something else: a failed read is no answer.
    let mut not_ready = None;
    let mut was_invalid = false;
    loop {
        let error = match target.send(&call, RetryPolicy::VERIFY.until(until)).await {
            Ok(answer) => {
                let error = match answer.value.readiness {
                    Readiness::Ready => return Ok(Some(answer.value)),
                    Readiness::Invalid if was_invalid => {
                        return Err(invalid(target, id).with_request_id(answer.request_id));
                    }
                    // One read may be old: it contradicts the source.
                    Readiness::Invalid => {
                        was_invalid = true;
                        invalid(target, id)
                    }
                    Readiness::Creating => {
                        not_ready_yet(cx.source, &format!("{id} is still being created on {}", target.label()))
                    }
                    Readiness::Unknown(status) => {
                        not_ready_yet(cx.source, &format!("{id} is {status} on {}", target.label()))
                    }
                };
                error.with_request_id(answer.request_id)
            }
            Err(error) if error.is_no_such_model() => {
                not_ready_yet(cx.source, &format!("{} does not show {id}", target.label()))
                    .with_delivery(Delivery::Final(Finding::NoSuchModel))
                    .with_source(error)
            }
            Err(error) if error.is_interrupted() => return Err(continues(error, cx.source.label())),
            Err(error) => {
                let Some(not_ready) = not_ready.take() else {
                    cx.emit(Event::NotVerified { error: &error });
                    return Ok(None);
                };
                not_ready
            }
        };
        let pause = cx.options.poll_interval.min(VERIFY_INTERVAL);
        if Instant::now() + pause > until {
            return Err(error);
        }
        not_ready = Some(error);
        target.pause(pause).await.map_err(|error| continues(error, cx.source.label()))?;
    }
}

/// The error of a copy that the target itself calls invalid.
pub(super) fn invalid(target: &Client<'_>, id: &ModelId) -> Error {
    Error::new(ErrorKind::Failed, format!("{} says that the copy {id} is invalid", target.label()))
        .with_remedy(ASK_SUPPORT)
}

fn not_ready_yet(source: &Client<'_>, what: &str) -> Error {
    Error::new(ErrorKind::UnderWay, format!("{} says that the copy succeeded, but {what}", source.label()))
        .with_remedy("look for the copy in the target resource in a few minutes")
}
