//! Copies a model to one target id: transfers it, with a second authorization where that is allowed.

use super::adopt::adopt;
use super::context::Job;
use super::event::Event;
use super::preflight::{SourceModel, TargetId};
use super::release::Copied;
use super::transfer::transfer;
use crate::error::{Delivery, Error};

/// How often a copy is transferred at most, each time with a new authorization.
const MAX_TRANSFERS: u32 = 3;

/// Copies a model to one target id.
pub(super) async fn copy_to(job: &Job<'_>, model: &SourceModel, target: &TargetId) -> Result<Copied, Error> {
    let mut transfers = 1;
    loop {
        let error = match transfer(job, model, target).await {
            Ok(copied) => return Ok(copied),
            Err(error) => error,
        };
        match target.id() {
            Some(id) if error.is_conflict() => return adopt(job, model, target, id, error).await,
            // It is proved that no copy was started, and the release of the id was tried.
            _ if error.delivery() == Delivery::NotProcessed && transfers < MAX_TRANSFERS => {
                job.cx.emit(Event::StartingOver);
                transfers += 1;
            }
            _ => return Err(error),
        }
    }
}
