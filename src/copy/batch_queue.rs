//! The order of a batch.

use std::collections::VecDeque;

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
    /// Whether the source was asked for it, or gave an answer at all.
    pub(super) is_begun: bool,
}

impl Candidate {
    pub(super) fn new(model_id: ModelId, found: Result<SourceModel, Error>) -> Self {
        Self { model_id, found, target_model_id: None, is_begun: true }
    }

    /// A model that was not asked for, because the source cannot be reached.
    pub(super) fn unreachable(model_id: ModelId, error: Error) -> Self {
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
}

/// What the queue needs to know of a candidate that is not done.
struct Undone {
    part: Component,
    has_limit_per_minute: bool,
}

impl Queue {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        let undone = |candidate: &Candidate| {
            let kind = candidate.found.as_ref().map_or(Kind::Model, |found| found.kind);
            let part = Component { kind, id: candidate.model_id.clone() };
            Some(Undone { part, has_limit_per_minute: candidate.has_limit_per_minute() })
        };
        let undone = candidates.iter().map(undone).collect();
        Self { waiting: candidates.into_iter().enumerate().collect(), undone }
    }

    /// The next candidate whose components are done, and its position.
    pub(super) fn next(&mut self, room_for_starts_per_minute: usize) -> Option<(usize, Candidate)> {
        let is_full = self.running_with_limit_per_minute() >= room_for_starts_per_minute;
        let is_free = |(position, candidate): &(usize, Candidate)| {
            let parts =
                candidate.found.iter().filter_map(|found| found.model.as_ref()).flat_map(|model| &model.components);
            let others = || self.undone.iter().enumerate().filter(|(other, _)| other != position);
            let is_undone =
                |part: &Component| others().any(|(_, other)| other.as_ref().is_some_and(|one| one.part == *part));
            let waits = parts.into_iter().any(is_undone);
            let is_one_too_many = is_full && candidate.has_limit_per_minute();
            !waits && !is_one_too_many
        };
        let all_wait = self.waiting.len() == self.undone.iter().flatten().count();
        match self.waiting.iter().position(is_free) {
            Some(at) => self.waiting.remove(at),
            // None is running, and all wait for one another.
            None if all_wait => self.waiting.pop_front(),
            None => None,
        }
    }

    fn running_with_limit_per_minute(&self) -> usize {
        let undone = self.undone.iter().flatten().filter(|one| one.has_limit_per_minute).count();
        undone - self.waiting.iter().filter(|(_, candidate)| candidate.has_limit_per_minute()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn done(&mut self, position: usize) {
        if let Some(done) = self.undone.get_mut(position) {
            *done = None;
        }
    }
}
