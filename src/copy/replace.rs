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
use super::release::{Copied, LATE_DELETE_TIME, MAX_LOST_DELETES};
use super::report::{Done, Outcome};
use super::target_list::ListEntry;
use crate::api::Quota;
use crate::client::RetryPolicy;
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Model, ModelId, Readiness};
use crate::model_diff::is_unchanged;

/// How long the target may still show a model that it has deleted.
const DELETE_TIME: Duration = Duration::from_secs(10);
/// How often a deletion, and the two reads before it, are sent at most while nothing is half done: for half a minute.
const MAX_FAILED_LOOKS: u32 = 7;
const FINISH: &str = "run the same command again, which finishes the work";

/// What the target has under the id of the copy.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing.
    Empty,
    /// A copy of the same training.
    Same,
    /// Another model.
    Other(Box<Model>),
}

/// A replacement, and how far an earlier command came with it.
pub(super) struct Replacement {
    source: SourceModel,
    place: Place,
    staging_id: ModelId,
    left: Option<LeftCopy>,
}

/// The staging copy that an earlier command left.
struct LeftCopy {
    staged: Model,
    /// Until when a deletion may still be carried out whose answer that command lost before it ended.
    late_until: Instant,
}

/// A copy that must be there when another model is deleted.
enum Kept<'a> {
    /// The staging copy of the source's training, under this id, while the old model is deleted.
    Staging(&'a ModelId),
    /// The copy of the source's training, under this id, while its staging copy is deleted: the next run can do that.
    Copy(&'a ModelId),
    /// The old model, as it was shown before, while a staging copy of an older training is deleted.
    Unchanged(&'a Model),
}

impl Kept<'_> {
    fn id(&self) -> &ModelId {
        match self {
            Self::Staging(id) | Self::Copy(id) => id,
            Self::Unchanged(model) => &model.id,
        }
    }

    /// How often a deletion is sent at most while its answers are lost. In the middle of the work, the deadline ends it.
    fn max_lost_deletes(&self) -> u32 {
        match self {
            Self::Staging(_) => u32::MAX,
            Self::Copy(_) => MAX_LOST_DELETES,
            Self::Unchanged(_) => MAX_FAILED_LOOKS,
        }
    }

    /// How often the two reads before a deletion are sent at most.
    fn max_failed_looks(&self) -> u32 {
        if matches!(self, Self::Staging(_)) { u32::MAX } else { MAX_FAILED_LOOKS }
    }
}

/// What two reads right before a deletion have shown.
enum Look {
    /// The model is the one that was shown before, and the copy to keep is there.
    MayDelete,
    /// The model is not there any more.
    Gone,
    /// Another process has changed the model.
    Changed(Error),
    /// The copy to keep is not there.
    NotKept(Error),
}

/// The result of a deletion.
enum Deletion {
    /// The model is not there any more. A repetition whose answer was lost may be carried out until this time.
    Deleted { late_until: Option<Instant> },
    /// Another process has changed the model, which was not deleted.
    Changed(Error),
    /// The copy to keep is not there, so nothing was deleted.
    NotKept(Error),
}

impl Replacement {
    /// Looks for a staging copy of an earlier command. None where there is nothing to replace and nothing to finish.
    pub(super) async fn find(job: &Job<'_>, source: SourceModel, place: Place) -> Result<Option<Self>, Error> {
        let staging_id = staging_id(job.plan.new_model_id())?;
        // A list may be minutes old. What it shows is read again before a copy or a deletion.
        let listed = job.shared.target_list.get();
        let staged = match listed.and_then(|list| list.look_up(source.kind, &staging_id, source.shown_by)) {
            Some(ListEntry::Found(model)) => Some(model.clone()),
            Some(ListEntry::Missing) => None,
            None => match job.look_up(job.target, source.shown_by, source.kind, &staging_id).await? {
                Lookup::Found(model) => Some(model),
                Lookup::Absent(_) | Lookup::Inconclusive => None,
            },
        };
        let left = staged.map(|staged| LeftCopy { staged, late_until: Instant::now() + LATE_DELETE_TIME });
        let has_work = matches!(place, Place::Other(_)) || left.is_some();
        Ok(has_work.then_some(Self { source, place, staging_id, left }))
    }

    /// Whether the copy is in its place, and only a staging copy must be deleted.
    pub(super) fn only_cleans_up(&self) -> bool {
        matches!(self.place, Place::Same)
    }
}

impl Job<'_> {
    /// Carries out a replacement, from where an earlier command stopped. None where another process has left one of its
    /// two copies open meanwhile.
    pub(super) async fn replace(&self, replacement: &Replacement) -> Result<Option<Done>, Error> {
        let Replacement { source, place, staging_id, left } = replacement;
        let id = self.plan.new_model_id();
        let left_until = left.as_ref().map(|left| left.late_until);
        let (staged, late_until) = match place {
            Place::Same => {
                if let Some(left) = left {
                    self.delete_staging_copy(source, &left.staged, left_until).await?;
                }
                return Ok(Some(Done::already_there(id.clone())));
            }
            Place::Other(old) => {
                let Some(staged) = self.stage(replacement, old).await? else { return Ok(None) };
                match self.delete_old(source, old, staging_id).await? {
                    Deletion::Deleted { late_until } => (Some(staged), late_until),
                    Deletion::Changed(error) | Deletion::NotKept(error) => {
                        return self.replaced_by_other_process(source, error).await.map(Some);
                    }
                }
            }
            Place::Empty => {
                self.persist();
                (left.as_ref().map(|left| left.staged.clone()), None)
            }
        };
        let copied = self.copy_when_free(source, id).await;
        let copied =
            copied.map_err(|error| but_staged(error, format!("the new {id} is not in its place yet"), staging_id))?;
        let Some(copied) = copied else {
            // The copy of the other process must not be verified before a deletion can still be carried out.
            if let Some(late_until) = late_until {
                self.pause_until(late_until).await?;
            }
            return Ok(None);
        };
        if let Some(late_until) = late_until {
            self.check_not_deleted(source, late_until, staging_id).await?;
        }
        match staged {
            Some(staged) if copied.verified => self.delete_staging_copy(source, &staged, left_until).await?,
            _ => self.cx.emit(Event::StagingKept { staging_id }),
        }
        Ok(Some(Done::with_copy(Outcome::Replaced, copied)))
    }

    /// Deletes the old model, now that the staging copy is there.
    async fn delete_old(&self, source: &SourceModel, old: &Model, staging_id: &ModelId) -> Result<Deletion, Error> {
        let id = &old.id;
        self.delete(source, old, Kept::Staging(staging_id)).await.map_err(|error| {
            let what = match error.delivery() {
                Delivery::Unanswered => format!("whether the old {id} was deleted is not known"),
                _ if error.is_interrupted() => format!("interrupted; the old {id} may be deleted"),
                _ => format!("the old {id} was not deleted, and its staging copy stays beside it"),
            };
            but_staged(error, what, staging_id)
        })
    }

    /// The result where another process has changed the target. It counts if it has brought the source's model.
    async fn replaced_by_other_process(&self, source: &SourceModel, error: Error) -> Result<Done, Error> {
        let id = self.plan.new_model_id();
        if self.is_copy_of(source, id).await? {
            return Ok(Done::already_there(id.clone()));
        }
        Err(error)
    }

    /// Whether the target now shows a copy of the source's training under an id.
    async fn is_copy_of(&self, source: &SourceModel, id: &ModelId) -> Result<bool, Error> {
        self.read_copy(source, id).await?.map_or(Ok(false), |copy| source.is_same_training(&copy))
    }

    /// Reads one model of the target, without which nothing can go on. None where the target says that there is none.
    async fn read_copy(&self, source: &SourceModel, id: &ModelId) -> Result<Option<Model>, Error> {
        match self.target.for_decisive_reads().read(&source.shown_by.wire().model(source.kind, id)).await {
            Ok(model) => Ok(Some(model)),
            Err(error) if error.is_no_such_model() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the staging copy, unless a good one is there. Returns it as the target shows it, or none where another process
    /// has left one open meanwhile.
    async fn stage(&self, replacement: &Replacement, old: &Model) -> Result<Option<Model>, Error> {
        let Replacement { source, staging_id, left, .. } = replacement;
        if let Some(LeftCopy { staged, late_until: left_until }) = left {
            if source.is_same_training(staged)? {
                return Ok(Some(staged.clone()));
            }
            // It is of an older training.
            match self.delete(source, staged, Kept::Unchanged(old)).await? {
                // A lost deletion, also of the earlier command, must not delete the next staging copy.
                Deletion::Deleted { late_until } => {
                    self.pause_until(late_until.map_or(*left_until, |late| late.max(*left_until))).await?;
                }
                Deletion::Changed(error) | Deletion::NotKept(error) => return Err(error),
            }
        }
        self.cx.emit(Event::Staging { staging_id });
        let copied = self.copy_when_free(source, staging_id).await.map_err(|error| {
            let id = self.plan.new_model_id();
            half_done(error, format!("nothing was replaced yet: the old {id} is in its place"), FINISH)
        })?;
        let Some(copied) = copied else { return Ok(None) };
        self.persist();
        self.cx.emit(Event::Staged);
        let kept =
            |what| format!("{} {what} the staging copy {staging_id}, and the old model is kept", self.target.label());
        match self.read_copy(source, staging_id).await {
            Ok(Some(staged)) if copied.verified || is_good(source, &staged)? => Ok(Some(staged)),
            Ok(_) => Err(Error::new(ErrorKind::Unavailable, kept("does not show")).with_remedy(FINISH)),
            Err(error) => Err(half_done(error, kept("did not answer whether it has"), FINISH)),
        }
    }

    /// Tries connections until the deadline from now on: the replacement has begun.
    fn persist(&self) {
        self.cx.source.persist();
        self.target.persist();
    }

    /// Copies to an id that should be free by now. None as in [`copy_to`].
    async fn copy_when_free(&self, source: &SourceModel, id: &ModelId) -> Result<Option<Copied>, Error> {
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

    /// Deletes a model from the target, if it is still the one that was shown before and a good copy stays.
    ///
    /// Both are read at the same time before each sending, and so before each repetition: after a 429, a 503 or a lost
    /// answer another process may have put a new model in the place of the old one. The service has no conditional
    /// deletion, so a window remains: from these reads until the service carries out the deletion. It is one round trip
    /// and the client's own delay for the limits per second. A deletion whose answer is lost can be carried out even
    /// later; therefore the staging copy is kept for [`LATE_DELETE_TIME`] after it.
    async fn delete(&self, source: &SourceModel, model: &Model, kept: Kept<'_>) -> Result<Deletion, Error> {
        let call = source.version.wire().delete(source.kind, &model.id);
        let (mut attempts, mut lost, mut late_until, mut lost_answer) = (0, 0, None, None);
        loop {
            match self.look_before_deletion(source, model, &kept).await {
                Ok(Look::MayDelete) => {}
                Ok(Look::Gone) if attempts == 0 => return Ok(Deletion::Deleted { late_until: None }),
                Ok(Look::Gone) => break,
                Ok(Look::Changed(error)) => return Ok(Deletion::Changed(error)),
                Ok(Look::NotKept(error)) => return Ok(Deletion::NotKept(error)),
                Err(error) if error.is_interrupted() => return Err(error),
                Err(error) => return Err(lost_answer.unwrap_or(error)),
            }
            if let Some(error) = lost_answer.take_if(|_| lost >= kept.max_lost_deletes()) {
                return Err(error);
            }
            let error = match self.target.send_once(&call, RetryPolicy::ONCE).await {
                Ok(_) => break,
                Err(error) if error.is_no_such_model() => break,
                Err(error) => error,
            };
            attempts += 1;
            lost += u32::from(error.delivery() == Delivery::Unanswered);
            let may_be_late = !matches!(error.delivery(), Delivery::NotSent | Delivery::Throttled { .. });
            if may_be_late {
                late_until = Some(Instant::now() + LATE_DELETE_TIME);
            }
            let error = self.target.wait_before_repetition(error, attempts).await?;
            lost_answer = if may_be_late { Some(error) } else { lost_answer };
        }
        self.cx.emit(Event::Deleted { target_model_id: &model.id });
        Ok(Deletion::Deleted { late_until })
    }

    /// Reads a model that is to be deleted and the copy that must stay, both at the same time. If one read fails, both are
    /// repeated, so that neither is old.
    async fn look_before_deletion(&self, source: &SourceModel, model: &Model, kept: &Kept<'_>) -> Result<Look, Error> {
        let kept_id = kept.id();
        let mut failures = 0;
        let (now, kept_now) = loop {
            self.target.check_may_mutate()?;
            // The wait for the rate limit comes before the reads, not between them and the deletion.
            self.target.wait_for_turn(Quota::Management, "delete the model").await?;
            // What is to be deleted is read last: on a slow resource, one read may come seconds after the other.
            let error = match tokio::try_join!(self.read_once(source, kept_id), self.read_once(source, &model.id)) {
                Ok((kept, now)) => break (now, kept),
                Err(error) => error,
            };
            failures += 1;
            if failures >= kept.max_failed_looks() {
                return Err(error);
            }
            self.target.wait_before_repetition(error, failures).await?;
        };
        let Some(now) = now else { return Ok(Look::Gone) };
        if !is_unchanged(model, &now) {
            return Ok(Look::Changed(changed(&model.id)));
        }
        let is_kept = match (kept_now, kept) {
            (None, _) => false,
            (Some(now), Kept::Staging(_) | Kept::Copy(_)) => source.is_same_training(&now)?,
            (Some(now), Kept::Unchanged(before)) => is_unchanged(before, &now),
        };
        Ok(if is_kept { Look::MayDelete } else { Look::NotKept(changed(kept_id)) })
    }

    /// Reads one model of the target once. None where the target says that there is none.
    async fn read_once(&self, source: &SourceModel, id: &ModelId) -> Result<Option<Model>, Error> {
        match self.target.send_once(&source.shown_by.wire().model(source.kind, id), RetryPolicy::ONCE).await {
            Ok(response) => Ok(Some(response.value)),
            Err(error) if error.is_no_such_model() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks that the new model is still there when a deletion of the old one without an answer can no longer be carried out.
    async fn check_not_deleted(
        &self,
        source: &SourceModel,
        late_until: Instant,
        staging_id: &ModelId,
    ) -> Result<(), Error> {
        let id = self.plan.new_model_id();
        let is_there = async {
            self.pause_until(late_until).await?;
            self.is_copy_of(source, id).await
        };
        let what = || format!("a deletion of the old {id} got no answer, and may have deleted the new one");
        match is_there.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(but_staged(changed(id), what(), staging_id)),
            Err(error) => Err(but_staged(error, what(), staging_id)),
        }
    }

    /// Deletes the staging copy, now that the copy is in its place. If it was left by an earlier command, a deletion of the old
    /// model which that command lost may be on its way until a time: only then the copy is read again. If the deletion
    /// fails, the next run does it.
    ///
    /// # Errors
    /// When the copy is not in its place any more: a deletion of the old model whose answer was lost was carried out late,
    /// or another process has changed it.
    async fn delete_staging_copy(
        &self,
        source: &SourceModel,
        staged: &Model,
        left_until: Option<Instant>,
    ) -> Result<(), Error> {
        let (id, staging_id) = (self.plan.new_model_id(), &staged.id);
        let deleted = async {
            if let Some(left_until) = left_until {
                self.pause_until(left_until).await?;
            }
            self.delete(source, staged, Kept::Copy(id)).await
        };
        match deleted.await {
            Ok(Deletion::Deleted { .. }) => Ok(()),
            Ok(Deletion::NotKept(error)) => Err(error),
            Ok(Deletion::Changed(error)) | Err(error) => {
                self.cx.emit(Event::StagingLeft { staging_id, error: &error });
                Ok(())
            }
        }
    }

    /// Waits until a time.
    ///
    /// # Errors
    /// When the deadline is earlier, or the command is cancelled.
    async fn pause_until(&self, until: Instant) -> Result<(), Error> {
        if until > self.target.deadline() {
            let what = "the deadline is too near to wait until a lost deletion can no longer be carried out";
            return Err(Error::new(ErrorKind::Unavailable, what).with_remedy(FINISH));
        }
        self.target.pause(until.saturating_duration_since(Instant::now())).await
    }
}

/// Whether a model is ready and comes from the source's training.
fn is_good(source: &SourceModel, model: &Model) -> Result<bool, Error> {
    Ok(model.readiness == Readiness::Ready && source.is_same_training(model)?)
}

/// The error where another process has changed what is replaced.
fn changed(id: &ModelId) -> Error {
    let what = format!("the target's {id} was changed while it was being replaced");
    Error::new(ErrorKind::Unavailable, what).with_remedy(FINISH)
}

/// An error while the staging copy is the good copy.
fn but_staged(error: Error, what: String, staging_id: &ModelId) -> Error {
    half_done(error, what, &format!("{FINISH}; until then {staging_id} holds a good copy on the target"))
}

/// An error in the middle of a replacement: what finishes the work, and then the remedy of its cause, which may end with a
/// command.
fn half_done(error: Error, what: String, finish: &str) -> Error {
    let of_cause = error.remedy().filter(|remedy| *remedy != FINISH);
    let of_cause = of_cause.map(|remedy| format!("; about the cause: {remedy}")).unwrap_or_default();
    let remedy = format!("{finish}{of_cause}");
    Error::new(error.kind(), what).with_delivery(error.delivery()).with_source(error).with_remedy(remedy)
}
