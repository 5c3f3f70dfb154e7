//! Replaces a model so that the target always has a good copy: first copies to a staging id, then deletes the old model,
//! then copies to its id, then deletes the staging copy.
//!
//! What the target shows tells the next run where the last one stopped.

use std::time::Duration;

use tokio::time::Instant;

use super::context::Job;
use super::copy_to::copy_to;
use super::event::Event;
use super::plan::staging_id;
use super::preflight::{Lookup, SourceModel, TargetId};
use super::release::Copied;
use super::report::{Done, Outcome};
use crate::client::RetryPolicy;
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Model, ModelId};

/// How long the target may still show a model that it has deleted.
const DELETE_TIME: Duration = Duration::from_secs(10);
const FINISH: &str = "run the same command again, which finishes the work";

/// What the target has under the id of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Empty,
    /// A copy of the same training.
    Same,
    /// Another model.
    Other,
}

/// A replacement, and how far an earlier command came with it.
pub(super) struct Replacement {
    source: SourceModel,
    place: Place,
    staging_id: ModelId,
    /// The staging copy that an earlier command left.
    staged: Option<Model>,
}

impl Replacement {
    /// Looks for a staging copy of an earlier command. None where there is nothing to replace and nothing to finish.
    pub(super) async fn find(job: &Job<'_>, source: SourceModel, place: Place) -> Result<Option<Self>, Error> {
        let staging_id = staging_id(job.plan.new_model_id())?;
        let staged = match job.look_up(job.target, source.shown_by, source.kind, &staging_id).await? {
            Lookup::Found(model) => Some(model),
            Lookup::Absent(_) | Lookup::Inconclusive => None,
        };
        let has_work = place == Place::Other || staged.is_some();
        Ok(has_work.then_some(Self { source, place, staging_id, staged }))
    }

    /// Whether the copy is in its place, and only a staging copy must be deleted.
    pub(super) fn only_cleans_up(&self) -> bool {
        self.place == Place::Same
    }
}

impl Job<'_> {
    /// Carries out a replacement, from where an earlier command stopped.
    pub(super) async fn replace(&self, replacement: &Replacement) -> Result<Done, Error> {
        let Replacement { source, place, staging_id, .. } = replacement;
        let id = self.plan.new_model_id();
        if *place == Place::Same {
            self.delete_staging_copy(source, staging_id).await;
            let target_model_id = Some(id.clone());
            return Ok(Done { outcome: Outcome::AlreadyThere, target_model_id, verified: true });
        }
        if *place == Place::Other {
            self.stage(replacement).await?;
            self.delete_old(source, staging_id).await?;
        }
        let copied = self.copy_when_free(source, id).await;
        let copied =
            copied.map_err(|error| but_staged(error, format!("the new {id} is not in its place yet"), staging_id))?;
        if copied.verified {
            self.delete_staging_copy(source, staging_id).await;
        } else {
            self.cx.emit(Event::StagingKept { staging_id });
        }
        let Copied { id, verified } = copied;
        Ok(Done { outcome: Outcome::Replaced, target_model_id: Some(id), verified })
    }

    /// Deletes the old model, now that the staging copy is there. Both are read again: another command may have done all of
    /// this in the meantime.
    async fn delete_old(&self, source: &SourceModel, staging_id: &ModelId) -> Result<(), Error> {
        let id = self.plan.new_model_id();
        if !self.is_copy_of(source, staging_id).await? || self.is_copy_of(source, id).await? {
            let what = format!("the target's {id} was changed while it was being replaced");
            return Err(Error::new(ErrorKind::Unavailable, what).with_remedy(FINISH));
        }
        self.delete(source, id).await.map_err(|error| {
            let what = match error.delivery() {
                Delivery::Unanswered => format!("whether the old {id} was deleted is not known"),
                _ if error.is_interrupted() => format!("interrupted; the old {id} may be deleted"),
                _ => format!("the old {id} was not deleted, and its staging copy stays beside it"),
            };
            but_staged(error, what, staging_id)
        })
    }

    /// Whether the target now shows a copy of the source's training under an id.
    async fn is_copy_of(&self, source: &SourceModel, id: &ModelId) -> Result<bool, Error> {
        match self.look_up(self.target, source.shown_by, source.kind, id).await? {
            Lookup::Found(copy) => source.is_same_training(&copy),
            Lookup::Absent(_) | Lookup::Inconclusive => Ok(false),
        }
    }

    /// Makes the staging copy, unless a good one is there.
    async fn stage(&self, replacement: &Replacement) -> Result<(), Error> {
        let Replacement { source, staging_id, staged, .. } = replacement;
        if let Some(staged) = staged {
            if source.is_same_training(staged)? {
                return Ok(());
            }
            // It is of an older training, and the old model is still in its place.
            self.delete(source, staging_id).await?;
        }
        self.cx.emit(Event::Staging { staging_id });
        let copied = self.copy_when_free(source, staging_id).await.map_err(|error| {
            let id = self.plan.new_model_id();
            half_done(error, format!("nothing was replaced yet: the old {id} is in its place"), FINISH)
        })?;
        self.cx.emit(Event::Staged);
        if copied.verified {
            return Ok(());
        }
        let what = format!("the target does not show the staging copy {staging_id}, and the old model is kept");
        Err(Error::new(ErrorKind::Unavailable, what).with_remedy(FINISH))
    }

    /// Copies to an id that should be free by now.
    async fn copy_when_free(&self, source: &SourceModel, id: &ModelId) -> Result<Copied, Error> {
        let until = Instant::now() + DELETE_TIME;
        loop {
            let target = self.look_up_target_for(source, id).await?;
            // A deleted model may be shown a little longer.
            if !matches!(target, TargetId::Taken(_)) || Instant::now() >= until {
                return copy_to(self, source, &target).await;
            }
            self.target.pause(Duration::from_secs(1)).await?;
        }
    }

    /// Deletes a model from the target.
    async fn delete(&self, source: &SourceModel, id: &ModelId) -> Result<(), Error> {
        self.target.check_may_mutate()?;
        match self.target.send(&source.version.wire().delete(source.kind, id), RetryPolicy::READ).await {
            Ok(_) => {}
            // A deletion without an answer was carried out.
            Err(error) if error.is_no_such_model() => {}
            Err(error) => return Err(error),
        }
        self.cx.emit(Event::Deleted { target_model_id: id });
        Ok(())
    }

    /// Deletes the staging copy. If that fails, the next run does it.
    async fn delete_staging_copy(&self, source: &SourceModel, staging_id: &ModelId) {
        let deleted = async {
            if self.is_copy_of(source, self.plan.new_model_id()).await? {
                return self.delete(source, staging_id).await;
            }
            Err(Error::new(ErrorKind::Unavailable, "the target does not show the copy in its place"))
        };
        if let Err(error) = deleted.await {
            self.cx.emit(Event::StagingLeft { staging_id, error: &error });
        }
    }
}

/// An error while the staging copy is the good copy.
fn but_staged(error: Error, what: String, staging_id: &ModelId) -> Error {
    half_done(error, what, &format!("{FINISH}; until then {staging_id} holds a good copy on the target"))
}

/// An error in the middle of a replacement: its own remedy comes first, then what finishes the work.
fn half_done(error: Error, what: String, finish: &str) -> Error {
    let first = error.remedy().map(|remedy| format!("{remedy}; then ")).unwrap_or_default();
    let remedy = format!("{first}{finish}");
    Error::new(error.kind(), what).with_delivery(error.delivery()).with_source(error).with_remedy(remedy)
}
