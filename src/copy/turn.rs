//! What a copy waits for before its authorize request: the limits of the service, and another process that makes the same
//! copy.

use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::context::Job;
use super::event::Event;
use super::journal::{Announced, AuthorizeEntry, EntryId};
use super::preflight::{SourceModel, TargetId};
use crate::api::Quota;
use crate::error::Error;
use crate::model::ModelId;

/// A shorter wait is none.
const NOT_QUEUED: Duration = Duration::from_millis(50);

/// What a wait has led to.
pub(super) enum Waited<'a> {
    /// The copy may be authorized.
    ForTurn(Turn<'a>),
    /// Another process has made the copy meanwhile, with this id.
    ForOther(ModelId),
    /// Another process has begun the copy meanwhile and has ended: that copy must be finished first.
    LeftOpen,
}

/// Allows one copy to be authorized.
pub(super) struct Turn<'a> {
    /// The entry of the copy in the journal.
    pub(super) entry: EntryId,
    /// Limits how many authorizations are unused.
    pub(super) slot: Option<SemaphorePermit<'a>>,
}

/// Waits until a copy may be authorized, and writes it to the journal, from where on no other process begins it.
///
/// # Errors
/// When that is not before the deadline, or the journal cannot be written.
pub(super) async fn wait_for_turn<'a>(
    job: &Job<'a>,
    model: &SourceModel,
    target: &TargetId,
) -> Result<Waited<'a>, Error> {
    let version = model.version;
    let queued = Instant::now();
    job.cx.emit_waiting(version);
    let slot = job.cx.source.interruptible(job.shared.slot(version, job.cx.source, job.target));
    let slot = job.until_given_up(slot).await?;
    if queued.elapsed() > NOT_QUEUED {
        job.cx.emit(Event::LeftQueue);
    }
    // A model whose start is not allowed before the deadline must not be authorized.
    job.cx.source.check_may_mutate()?;
    let quota = if version.wire().limits_starts_per_minute() { Quota::CustomModelCopy } else { Quota::Management };
    job.cx.source.check_turn_before_deadline(quota, "start the copy")?;
    let Some(entry) = announce(job, model, target).await? else { return Ok(Waited::LeftOpen) };
    let waited = match job.copied_meanwhile(model).await {
        Ok(None) => return Ok(Waited::ForTurn(Turn { entry, slot })),
        Ok(Some(id)) => Ok(Waited::ForOther(id)),
        Err(error) => Err(error),
    };
    job.cx.journal.ended(entry);
    waited
}

/// Writes the copy to the journal, once no other process is making it. None where one has left it open.
async fn announce(job: &Job<'_>, model: &SourceModel, target: &TargetId) -> Result<Option<EntryId>, Error> {
    let ask = || {
        let announced = job.cx.journal.before_authorize(&AuthorizeEntry {
            source: job.cx.source.endpoint(),
            target: job.target.endpoint(),
            kind: model.kind,
            source_id: &model.id,
            target_id: target.id(),
            version: model.version,
            target_time: job.target.service_time(),
        })?;
        Ok(match announced {
            Announced::As(entry) => Some(Some(entry)),
            Announced::LeftOpen => Some(None),
            Announced::OwnedByOther => None,
        })
    };
    job.unless_owned_by_other(ask).await
}
