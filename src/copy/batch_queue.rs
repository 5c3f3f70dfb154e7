//! The order of a batch.

use std::collections::{BTreeMap, VecDeque};

use super::preflight::SourceModel;
use crate::error::Error;
use crate::model::{Component, Kind, ModelId};

/// One model of a batch.
pub(super) struct Candidate {
    pub(super) model_id: ModelId,
    /// What the source shows of it.
    pub(super) found: Result<SourceModel, Error>,
    /// The id of the copy, if a template makes it.
    pub(super) target_model_id: Option<ModelId>,
    /// Whether the source was asked for it, or let the command in at all.
    pub(super) is_begun: bool,
}

impl Candidate {
    pub(super) fn new(model_id: ModelId, found: Result<SourceModel, Error>) -> Self {
        Self { model_id, found, target_model_id: None, is_begun: true }
    }

    /// A model that was not asked for, because the source cannot be reached or refuses the credentials.
    pub(super) fn not_tried(model_id: ModelId, error: Error) -> Self {
        Self { model_id, found: Err(error), target_model_id: None, is_begun: false }
    }

    /// The same model once more, for another target.
    pub(super) fn duplicate(&self) -> Self {
        let found = self.found.as_ref().map(SourceModel::clone).map_err(Error::duplicate);
        let (model_id, target_model_id) = (self.model_id.clone(), self.target_model_id.clone());
        Self { model_id, found, target_model_id, is_begun: self.is_begun }
    }

    fn has_limit_per_minute(&self) -> bool {
        self.found.as_ref().is_ok_and(|found| found.version.wire().limits_starts_per_minute())
    }
}

/// Candidates in order; a composed model comes after its components.
pub(super) struct Queue {
    waiting: VecDeque<(usize, Candidate)>,
    /// The candidates that are not done, whether waiting or running, by position.
    undone: Vec<Option<Undone>>,
    /// How many candidates that are not done have an id.
    undone_ids: BTreeMap<Component, usize>,
    running: usize,
    running_with_limit_per_minute: usize,
}

/// What the queue needs to know of a candidate that is not done.
struct Undone {
    part: Component,
    has_limit_per_minute: bool,
}

impl Undone {
    fn of(candidate: &Candidate) -> Self {
        let kind = candidate.found.as_ref().map_or(Kind::Model, |found| found.kind);
        let part = Component { kind, id: candidate.model_id.clone() };
        Self { part, has_limit_per_minute: candidate.has_limit_per_minute() }
    }
}

impl Queue {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        let undone: Vec<_> = candidates.iter().map(|candidate| Some(Undone::of(candidate))).collect();
        let mut undone_ids = BTreeMap::new();
        for one in undone.iter().flatten() {
            *undone_ids.entry(one.part.clone()).or_default() += 1;
        }
        let waiting = candidates.into_iter().enumerate().collect();
        Self { waiting, undone, undone_ids, running: 0, running_with_limit_per_minute: 0 }
    }

    /// The next candidate whose components are done, and its position.
    pub(super) fn next(&mut self, room_for_starts_per_minute: usize) -> Option<(usize, Candidate)> {
        let is_full = self.running_with_limit_per_minute >= room_for_starts_per_minute;
        let is_free = |(_, candidate): &(usize, Candidate)| {
            let is_one_too_many = is_full && candidate.has_limit_per_minute();
            !is_one_too_many && !self.waits_for_components(candidate)
        };
        let next = match self.waiting.iter().position(is_free) {
            Some(at) => self.waiting.remove(at),
            // None is running, and all wait for one another.
            None if self.running == 0 => self.waiting.pop_front(),
            None => None,
        };
        if let Some((_, candidate)) = &next {
            self.running += 1;
            self.running_with_limit_per_minute += usize::from(candidate.has_limit_per_minute());
        }
        next
    }

    /// Whether a component of the model is not done. A model is not its own component.
    fn waits_for_components(&self, candidate: &Candidate) -> bool {
        let model = candidate.found.as_ref().ok().and_then(|found| found.model.as_ref());
        let own = Undone::of(candidate).part;
        let others =
            |part: &Component| self.undone_ids.get(part).copied().unwrap_or_default() > usize::from(*part == own);
        model.is_some_and(|model| model.components.iter().any(others))
    }

    pub(super) fn done(&mut self, position: usize) {
        let Some(done) = self.take_undone(position) else { return };
        self.running -= 1;
        self.running_with_limit_per_minute -= usize::from(done.has_limit_per_minute);
    }

    /// Takes candidates out that have not begun.
    pub(super) fn remove(&mut self, is_meant: impl Fn(&Candidate) -> bool) -> Vec<Candidate> {
        let (removed, left): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|(_, one)| is_meant(one));
        self.waiting = left.into();
        let of = |(position, candidate)| {
            self.take_undone(position);
            candidate
        };
        removed.into_iter().map(of).collect()
    }

    fn take_undone(&mut self, position: usize) -> Option<Undone> {
        let undone = self.undone.get_mut(position)?.take()?;
        if let Some(count) = self.undone_ids.get_mut(&undone.part) {
            *count -= 1;
        }
        Some(undone)
    }
}
