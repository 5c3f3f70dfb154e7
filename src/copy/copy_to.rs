//! Copies a model to one target id: waits for its turn and transfers it, with a second authorization where that is allowed.

use super::adopt::adopt;
use super::context::Job;
use super::event::Event;
use super::preflight::{SourceModel, TargetId};
use super::release::Copied;
use super::transfer::transfer;
use super::turn::{Waited, wait_for_turn};
use crate::error::{Delivery, Error};

/// How often a copy is transferred at most, each time with a new authorization.
const MAX_TRANSFERS: u32 = 3;

/// Copies a model to one target id. None where another process has begun the copy meanwhile and has ended: nothing was
/// sent, and the job begins again with what is open.
pub(super) async fn copy_to(job: &Job<'_>, model: &SourceModel, target: &TargetId) -> Result<Option<Copied>, Error> {
    let mut transfers = 1;
    loop {
        let turn = match wait_for_turn(job, model, target).await? {
            Waited::ForTurn(turn) => turn,
            Waited::ForOther(id) => return Ok(Some(Copied::by_other(id))),
            Waited::LeftOpen => return Ok(None),
        };
        let error = match transfer(job, model, target, turn).await {
            Ok(copied) => return Ok(Some(copied)),
            Err(error) => error,
        };
        match target.id() {
            Some(id) if error.is_conflict() => return adopt(job, model, target, id, error).await.map(Some),
            // It is proved that no copy was started, and the release of the id was tried.
            _ if error.delivery() == Delivery::NotProcessed && transfers < MAX_TRANSFERS => {
                job.cx.emit(Event::StartingOver);
                transfers += 1;
            }
            _ => return Err(error),
        }
    }
}
