//! Decides what to do where the target already has the id, or, in v2.1, a copy of the same training.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::context::{Job, NamedByService};
use super::event::Event;
use super::plan::IfExists;
use super::preflight::{Lookup, Preflight, SourceModel, TargetId};
use super::replace::{Place, Replacement};
use crate::error::{Error, ErrorKind};
use crate::inventory::{Inventory, Scope};
use crate::known_copies::Identity;
use crate::label::Label;
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::model_diff::{has_same_name_and_dates, trained_at};

/// A blank v2.1 model that is younger may be the target of a running copy: its start may wait a minute for the rate limit,
/// and the copy takes up to half a minute.
const BLANK_MAY_BE_COPY: SignedDuration = SignedDuration::from_secs(90);
/// Delay between two reads of the target while such a model is there.
const BLANK_INTERVAL: Duration = Duration::from_secs(3);

/// What to do after the preflight.
pub(super) enum Action {
    /// Copy to the target id.
    Copy(Box<Preflight>),
    /// Nothing: the target has a copy of the same training, under this id.
    Nothing(ModelId),
    /// Replace what is there, or finish an earlier replacement.
    Replace(Box<Replacement>),
}

impl Job<'_> {
    /// Decides what to do, by reads only.
    pub(super) async fn decide(&self, preflight: Preflight) -> Result<Action, Error> {
        let if_exists = self.plan.options.if_exists;
        if preflight.source.version.wire().service_names_the_copy() {
            return self.decide_for_copy_named_by_service(preflight).await;
        }
        let existing = match &preflight.target {
            TargetId::Taken(_) if if_exists == IfExists::Fail => return Err(self.exists(&preflight.source)),
            TargetId::Taken(existing) => Some((existing.clone(), preflight.source.differences(existing)?)),
            TargetId::NotListed(_) | TargetId::Free(_) | TargetId::Unseen(_) | TargetId::ByService => None,
        };
        match (if_exists, existing) {
            (IfExists::Skip, Some((_, found))) if !found.is_empty() => {
                Err(preflight.source.differs(self.target.label(), self.plan.new_model_id(), &found, if_exists))
            }
            (IfExists::Replace, None) => self.replacement(preflight, Place::Empty).await,
            (IfExists::Replace, Some((_, found))) if found.is_empty() => self.replacement(preflight, Place::Same).await,
            (IfExists::Replace, Some((old, _))) => {
                self.warn_of_newer(&preflight.source, &old);
                self.replacement(preflight, Place::Other(old)).await
            }
            (_, Some(_)) => Ok(Action::Nothing(self.plan.new_model_id().clone())),
            (_, None) => Ok(Action::Copy(Box::new(preflight))),
        }
    }

    /// Reports a model that is newer than the one that replaces it: the direction of the copy may be wrong.
    fn warn_of_newer(&self, source: &SourceModel, old: &Model) {
        let ours = source.model.as_ref().and_then(trained_at);
        if let Some((theirs, ours)) = trained_at(old).zip(ours).filter(|(theirs, ours)| theirs > ours) {
            self.cx.emit(Event::ReplacesNewer { target_model_id: &old.id, theirs, ours });
        }
    }

    async fn replacement(&self, preflight: Preflight, place: Place) -> Result<Action, Error> {
        let is_same = matches!(place, Place::Same);
        let replacement = Replacement::find(self, preflight.source.clone(), place).await?;
        Ok(match replacement {
            Some(replacement) => Action::Replace(Box::new(replacement)),
            None if is_same => Action::Nothing(self.plan.new_model_id().clone()),
            None => Action::Copy(Box::new(preflight)),
        })
    }

    /// The error of a target that has the id already.
    pub(super) fn exists(&self, source: &SourceModel) -> Error {
        let (kind, id) = (source.kind, self.plan.new_model_id());
        Error::new(ErrorKind::Exists, format!("{} already has a {kind} {id}", self.target.label())).with_remedy(
            "choose another id with --target-model-id, keep a model of the same training with --if-exists skip, or \
             replace it with --if-exists replace",
        )
    }

    /// The service chooses the id of the copy, so no id is ever taken; but a copy that is there need not be made again.
    async fn decide_for_copy_named_by_service(&self, preflight: Preflight) -> Result<Action, Error> {
        if self.plan.options.if_exists == IfExists::Fail {
            self.refuse_copy_of_copy(&preflight.source).await?;
            return Ok(Action::Copy(Box::new(preflight)));
        }
        let Some(source) = &preflight.source.model else {
            return Ok(Action::Copy(Box::new(preflight)));
        };
        let copies = self.shared.named_by_service.get_or_try_init(|| self.models_named_by_service(&preflight.source));
        let first = copies.await?;
        let mut copies = &first.inventory;
        // Only a copy that would be made waits for blank models.
        if !matches!(self.copy_among(&preflight.source, source, copies), Ok(Some(_))) {
            let waited = || self.wait_for_blanks(&preflight.source, first);
            let waited = self.shared.after_blank_models.get_or_try_init(waited).await?;
            copies = waited.as_ref().map_or(copies, |waited| &waited.inventory);
        }
        for target_model_id in self.missing_copies(&preflight.source, copies) {
            self.cx.emit(Event::CopyMissing { target_model_id });
        }
        Ok(match self.copy_among(&preflight.source, source, copies)? {
            Some(id) => Action::Nothing(id),
            None => Action::Copy(Box::new(preflight)),
        })
    }

    /// The copy of a v2.1 model that another process with the same journal has made since the target's list was read: a copy
    /// may wait for its turn for minutes. Without a journal, one could be begun right after this, too.
    ///
    /// # Errors
    /// When the target does not show its list, or an entry of it cannot be read.
    pub(super) async fn copied_meanwhile(&self, source: &SourceModel) -> Result<Option<ModelId>, Error> {
        let is_named_by_service = source.version.wire().service_names_the_copy();
        let Some(model) = source.model.as_ref().filter(|_| is_named_by_service) else { return Ok(None) };
        if self.plan.options.if_exists == IfExists::Fail || !self.cx.journal.keeps_entries() {
            return Ok(None);
        }
        let copies = Inventory::read(&self.target.for_decisive_reads(), named_by_service(source)).await?;
        self.copy_among(source, model, &copies)
    }

    /// The ids of the known copies of a model, the preferred one first.
    fn known_copies(&self, source: &SourceModel) -> &[ModelId] {
        self.plan.options.known_copies.of(&Identity::new(source.version, source.kind, &source.id))
    }

    /// The model of the target that the source model is a copy of.
    fn original(&self, source: &SourceModel) -> Option<&ModelId> {
        self.plan.options.known_copies.original_of(&Identity::new(source.version, source.kind, &source.id))
    }

    /// Refuses to copy a model to the resource that it was copied from, beside its original.
    async fn refuse_copy_of_copy(&self, source: &SourceModel) -> Result<(), Error> {
        let Some(original) = self.original(source) else { return Ok(()) };
        let (id, target) = (&source.id, self.target.label());
        match self.look_up(self.target, source.version, source.kind, original).await? {
            Lookup::Found(_) => Err(Error::new(
                ErrorKind::Exists,
                format!("{target} already has {original}, of which the manifest records {id} as a copy"),
            )
            .with_remedy("leave it out with --if-exists skip, or copy it without --manifest")),
            Lookup::Absent(_) => Ok(()),
            Lookup::Inconclusive => {
                let what = format!("{target} does not show whether it has {original}, of which {id} is a copy");
                Err(Error::new(ErrorKind::Unavailable, what).with_remedy("run the same command again later"))
            }
        }
    }

    /// The known copies that the target does not have. A list with unreadable entries shows none.
    fn missing_copies<'s>(&'s self, source: &SourceModel, copies: &Inventory) -> impl Iterator<Item = &'s ModelId> {
        let is_listed = |id: &ModelId| copies.listed.iter().any(|listed| listed.model.id.is_same_as(id));
        let known = self.known_copies(source).iter().filter(|_| copies.unreadable == 0);
        known.filter(move |id| !is_listed(id))
    }

    /// The copy of a v2.1 model: a known one, or one that comes from the same training.
    ///
    /// # Errors
    /// When there is none among the entries that can be read, and another one cannot be read.
    fn copy_among(&self, source: &SourceModel, model: &Model, copies: &Inventory) -> Result<Option<ModelId>, Error> {
        let is_copy = |copy: &&Model| has_same_name_and_dates(model, copy) && !self.is_source(copy);
        let all: Vec<_> = copies.ready_and_named_by_service().filter(is_copy).collect();
        let is_there = |id: &ModelId| all.iter().copied().find(|copy| copy.id.is_same_as(id));
        let mut known = self.known_copies(source).iter().chain(self.original(source));
        match known.find_map(is_there).or(all.first().copied()) {
            None if copies.unreadable > 0 => Err(unreadable(self.target.label(), copies.unreadable)),
            copy => Ok(copy.map(|copy| copy.id.clone())),
        }
    }

    /// Where source and target are the same resource, a model is not a copy of itself.
    fn is_source(&self, copy: &Model) -> bool {
        self.plan.options.source.endpoint == self.plan.options.target.endpoint && copy.id == self.plan.model_id
    }

    /// Reads the v2.1 models of the target. The local clock may be wrong: ages are those by the target's own clock.
    async fn models_named_by_service(&self, source: &SourceModel) -> Result<NamedByService, Error> {
        let inventory = Inventory::read(&self.target.for_decisive_reads(), named_by_service(source)).await?;
        let now = self.target.service_time();
        let recent_blanks = inventory.listed.iter().filter(|listed| may_be_copy(&listed.model, now)).count();
        Ok(NamedByService { inventory, recent_blanks })
    }

    /// Reads the v2.1 models of the target again until none of them is blank and recent: such a model may become a copy that
    /// an earlier command started, and the model would be copied twice. None where none was.
    async fn wait_for_blanks(
        &self,
        source: &SourceModel,
        first: &NamedByService,
    ) -> Result<Option<NamedByService>, Error> {
        let until = Instant::now() + BLANK_MAY_BE_COPY.unsigned_abs();
        let mut last = None;
        loop {
            let count = last.as_ref().unwrap_or(first).recent_blanks;
            if count == 0 || Instant::now() >= until {
                return Ok(last);
            }
            if last.is_none() {
                self.cx.emit(Event::WaitingForBlanks { count });
            }
            let left = self.target.deadline().saturating_duration_since(Instant::now());
            self.target.pause(BLANK_INTERVAL.min(left)).await?;
            self.target.check_may_mutate()?;
            last = Some(self.models_named_by_service(source).await?);
        }
    }
}

/// The models of the version of a source model, whose ids the service chooses.
fn named_by_service(source: &SourceModel) -> Scope {
    Scope { api_version: Some(source.version), kind: Some(Kind::Model) }
}

fn unreadable(target: &Label, count: usize) -> Error {
    let what = format!("{target} lists {count} v2.1 models in an unknown format; one of them may be the copy");
    Error::new(ErrorKind::Unforeseen, what)
        .with_remedy("update frcopy, or copy the model without --if-exists, which makes another copy of it")
}

/// Whether a blank model is so recent that a running copy may have it as its target. Where its age is not known, it may.
fn may_be_copy(blank: &Model, now: Option<Timestamp>) -> bool {
    let age = now.zip(blank.created).map(|(now, created)| created.duration_until(now));
    blank.readiness == Readiness::Creating && age.is_none_or(|age| age < BLANK_MAY_BE_COPY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(created: &str) -> Model {
        let created = created.parse().ok();
        Model { readiness: Readiness::Creating, created, ..Model::example("33f4d42c-cd2f-4e74-b990-a1aeafab5a5d") }
    }

    #[test]
    fn a_blank_model_is_recent_for_ninety_seconds_by_the_clock_of_the_target() {
        let now = "2031-05-01T12:00:00Z".parse().ok();
        for (created, is_recent) in [
            ("2031-05-01T11:58:30Z", false),
            ("2031-05-01T11:58:31Z", true),
            ("2031-05-01T12:00:00Z", true),
            ("2021-05-01T12:00:00Z", false),
        ] {
            assert_eq!(may_be_copy(&blank(created), now), is_recent, "{created}");
        }
        assert!(!may_be_copy(&Model { readiness: Readiness::Ready, ..blank("2031-05-01T12:00:00Z") }, now));
    }

    #[test]
    fn a_blank_model_of_unknown_age_may_be_the_target_of_a_copy() {
        assert!(may_be_copy(&blank("2031-05-01T12:00:00Z"), None));
        assert!(may_be_copy(&blank("no date"), "2031-05-01T12:00:00Z".parse().ok()));
    }
}
