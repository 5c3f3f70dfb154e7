//! Which models of two resources belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id_template::IdTemplate;
use crate::inventory::{Listed, Scope};
use crate::known_copies::{Identity, KnownCopies};
use crate::model::ModelId;
use crate::model_diff::has_same_name_and_dates;
use crate::resource::Resource;
use crate::samples::SamplesPlan;
use crate::selection::Selection;

/// Which models of which resources are compared.
#[derive(Debug, Clone)]
pub(crate) struct CheckPlan {
    /// The resource that has the models.
    pub source: Resource,
    /// The resource that should have copies of them.
    pub target: Resource,
    /// Which models.
    pub selection: Selection,
    /// Of which versions and kinds.
    pub scope: Scope,
    /// The copies that the target is known to have.
    pub known_copies: KnownCopies,
    /// Makes the ids of the copies (v3.0 and later); `None`: copies have the ids of their sources.
    pub template: Option<IdTemplate>,
    /// Documents that are analyzed on both sides.
    pub samples: Option<SamplesPlan>,
    /// For the whole command.
    pub timeout: Duration,
}

impl CheckPlan {
    /// With a template: leaves out the copies of an earlier run on the source, and on the target what is no copy: what the
    /// template cannot have made, unless the service chose the id, and in the same resource all models but the copies of the
    /// others.
    pub(super) fn without_others(
        &self,
        mut on_source: Vec<Listed>,
        mut on_target: Vec<Listed>,
    ) -> (Vec<Listed>, Vec<Listed>) {
        if let Some(template) = &self.template {
            let is_result = |listed: &Listed| !is_named_by_service(listed) && template.is_result(&listed.model.id);
            on_source.retain(|listed| !is_result(listed));
            let is_one_resource = self.source.endpoint == self.target.endpoint;
            let copies: BTreeSet<_> = on_source.iter().flat_map(|source| self.known_copies_of(source)).collect();
            on_target.retain(|listed| {
                is_result(listed)
                    || copies.contains(&identity(listed))
                    || (!is_one_resource && is_named_by_service(listed))
            });
        }
        (on_source, on_target)
    }

    fn known_copies_of(&self, source: &Listed) -> impl Iterator<Item = Identity> {
        let source = identity(source);
        self.known_copies.of(&source).iter().map(move |copy| source.with_id(copy))
    }

    /// The id of the copy, where the caller chooses it: by the template; else that of the model of the target that the
    /// source model is a copy of; else its own. None if the template makes no id of it.
    fn copy_id(&self, source: &Identity, id: &ModelId) -> Option<ModelId> {
        match &self.template {
            Some(template) => template.apply(id).ok(),
            None => Some(self.known_copies.original_of(source).unwrap_or(id).clone()),
        }
    }

    /// The copies that a model of the source should have: those that are known, and the one with the id that a copy has if
    /// no other one is chosen.
    fn copies_of(&self, source: &Listed, on_target: &Places<'_>) -> Vec<ExpectedCopy> {
        let identity = identity(source);
        let known = self.known_copies.of(&identity);
        let copy = |id: &ModelId| ExpectedCopy { at: on_target.find(&identity, id), id: Some(id.clone()) };
        let mut copies: Vec<_> = known.iter().map(copy).collect();
        if is_named_by_service(source) {
            let original = self.known_copies.original_of(&identity);
            let original = original.and_then(|original| on_target.find(&identity, original));
            return or_another(copies, || original.or_else(|| on_target.of_same_training(source)));
        }
        let Some(default) = self.copy_id(&identity, &source.model.id) else {
            return if copies.is_empty() { vec![ExpectedCopy { at: None, id: None }] } else { copies };
        };
        let default = copy(&default);
        // Without a template, a model whose copies have other ids need not have one with its own.
        let is_copy_of_other =
            || default.id.as_ref().is_some_and(|id| self.known_copies.has_copy(&identity.with_id(id)));
        let is_there = default.at.is_some() && !is_copy_of_other();
        if copies.iter().all(|copy| copy.id != default.id) && (copies.is_empty() || self.template.is_some() || is_there)
        {
            copies.push(default);
        }
        copies
    }
}

/// A copy that a model should have.
struct ExpectedCopy {
    /// Where it is in the list of the target.
    at: Option<usize>,
    /// Its id, if that is known.
    id: Option<ModelId>,
}

/// The copies of a v2.1 model. Where the target has none of those that are known, another model may be in the place of the
/// preferred one.
fn or_another(known: Vec<ExpectedCopy>, another: impl FnOnce() -> Option<usize>) -> Vec<ExpectedCopy> {
    if known.iter().any(|copy| copy.at.is_some()) {
        return known;
    }
    let at = another();
    if at.is_none() && !known.is_empty() {
        return known;
    }
    vec![ExpectedCopy { at, id: known.into_iter().next().and_then(|copy| copy.id) }]
}

/// The models of the target, by what identifies them.
struct Places<'l> {
    listed: &'l [Listed],
    by_identity: BTreeMap<Identity, usize>,
}

impl<'l> Places<'l> {
    fn new(listed: &'l [Listed]) -> Self {
        let by_identity = listed.iter().enumerate().map(|(at, listed)| (identity(listed), at)).collect();
        Self { listed, by_identity }
    }

    fn find(&self, source: &Identity, id: &ModelId) -> Option<usize> {
        self.by_identity.get(&source.with_id(id)).copied()
    }

    fn of_same_training(&self, source: &Listed) -> Option<usize> {
        let is_same =
            |target: &Listed| is_named_by_service(target) && has_same_name_and_dates(&source.model, &target.model);
        self.listed.iter().position(is_same)
    }
}

/// What belongs together, by id or, in v2.1, by training.
pub(super) struct Pair {
    pub(super) source: Option<Listed>,
    pub(super) target: Option<Listed>,
    /// The id that the copy should have, if that is known.
    pub(super) copy_id: Option<ModelId>,
}

impl Pair {
    /// The id under which the copy is known, where another one is in its place (v2.1).
    pub(super) fn missing(&self) -> Option<&ModelId> {
        let target = self.target.as_ref()?;
        self.copy_id.as_ref().filter(|id| self.source.is_some() && !id.is_same_as(&target.model.id))
    }
}

/// All pairs, and how many v2.1 models of the target are further copies of what has one.
pub(super) struct Paired {
    pub(super) pairs: Vec<Pair>,
    pub(super) spare: usize,
}

/// Finds for each model of the source those of the target, and what is left over.
pub(super) fn pair(on_source: Vec<Listed>, on_target: &[Listed], plan: &CheckPlan) -> Paired {
    let places = Places::new(on_target);
    let mut paired = BTreeSet::new();
    let mut pairs = Vec::new();
    for source in on_source {
        for ExpectedCopy { at, id } in plan.copies_of(&source, &places) {
            paired.extend(at);
            let target = at.and_then(|at| on_target.get(at)).cloned();
            pairs.push(Pair { source: Some(source.clone()), target, copy_id: id });
        }
    }
    // Two v2.1 models of one training are one model under two ids: neither of them is left over.
    let is_another_copy = |listed: &Listed| {
        let mut paired = paired.iter().filter_map(|at| on_target.get(*at));
        is_named_by_service(listed)
            && paired.any(|other| is_named_by_service(other) && has_same_name_and_dates(&other.model, &listed.model))
    };
    let left_over = on_target.iter().enumerate().filter(|(at, _)| !paired.contains(at)).map(|(_, listed)| listed);
    let (spare, left_over): (Vec<_>, Vec<_>) = left_over.partition(|listed| is_another_copy(listed));
    let alone = |target: &Listed| Pair { source: None, target: Some(target.clone()), copy_id: None };
    pairs.extend(left_over.into_iter().map(alone));
    Paired { pairs, spare: spare.len() }
}

fn identity(listed: &Listed) -> Identity {
    Identity::new(listed.version, listed.model.kind, &listed.model.id)
}

pub(super) fn is_named_by_service(listed: &Listed) -> bool {
    listed.version.wire().service_names_the_copy()
}
