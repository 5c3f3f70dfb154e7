//! The first call: the target authorizes the copy and reserves an id for it.

use super::authorized::Authorized;
use super::context::Job;
use super::plan::IfExists;
use super::preflight::{SourceModel, TargetId};
use super::release::Reservation;
use super::reserve::{AuthorizeRequest, CHOOSE_ANOTHER_ID, NotAuthorized, WAIT_FOR_EXPIRY, reserve};
use super::turn::Turn;
use crate::api::Quota;
use crate::error::Error;

/// Asks the target to authorize a copy.
///
/// # Errors
/// When there is no authorization. An id that a lost answer may have reserved is named in a warning.
pub(super) async fn authorize<'a>(
    job: &Job<'_>,
    model: &SourceModel,
    target: &TargetId,
    Turn { entry, slot }: Turn<'a>,
) -> Result<(Authorized<'a>, Reservation), Error> {
    match authorize_now(job, model, target).await {
        Ok((authorized, reservation)) => {
            Ok((Authorized { entry, _slot: slot, ..authorized }, reservation.with_entry(entry)))
        }
        Err(NotAuthorized { error, may_be_reserved, unreleased }) => {
            // An open entry lets the next run release the id.
            match unreleased {
                Some(id) => job.cx.journal.unreleased(entry, &id),
                None if may_be_reserved => {}
                None => job.cx.journal.ended(entry),
            }
            Err(error)
        }
    }
}

async fn authorize_now(
    job: &Job<'_>,
    model: &SourceModel,
    target: &TargetId,
) -> Result<(Authorized<'static>, Reservation), NotAuthorized> {
    let copy = job.plan.new_copy(model.version, model.kind, model.model.as_ref(), target.id())?;
    let request = AuthorizeRequest {
        version: model.version,
        is_free: is_free(job, model, target).await?,
        reserved_until: job.reserved_until(copy.id()),
        copy,
        source: Some(job.cx.source),
        is_recorded: job.cx.journal.keeps_entries(),
        if_reserved: match job.plan.options.if_exists {
            IfExists::Replace => WAIT_FOR_EXPIRY,
            IfExists::Fail | IfExists::Skip => CHOOSE_ANOTHER_ID,
        },
    };
    reserve(job.target, job.cx.observer, request).await
}

/// Whether the target says that it has no such model. After a list, which may be minutes old, it is asked right before the
/// authorize request.
async fn is_free(job: &Job<'_>, model: &SourceModel, target: &TargetId) -> Result<bool, Error> {
    let TargetId::NotListed(id) = target else { return Ok(matches!(target, TargetId::Free(_))) };
    job.target.wait_for_turn(Quota::Management, "authorize the copy").await?;
    match job.look_up_target_for(model, id).await? {
        TargetId::Taken(_) => Err(job.exists(model)),
        target => Ok(matches!(target, TargetId::Free(_))),
    }
}
