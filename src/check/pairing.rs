//! Which models of two resources belong together.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id_template::IdTemplate;
use crate::inventory::{Listed, Scope};
use crate::known_copies::KnownCopies;
use crate::model::{Model, ModelId};
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
    /// With a template: leaves out the copies of an earlier run on the source, and on the target what the template cannot
    /// have made: models under other ids, and in the same resource also those whose ids the service chose.
    pub(super) fn without_others(
        &self,
        mut on_source: Vec<Listed>,
        mut on_target: Vec<Listed>,
    ) -> (Vec<Listed>, Vec<Listed>) {
        if let Some(template) = &self.template {
            let is_result = |listed: &Listed| !is_named_by_service(listed) && template.is_result(&listed.model.id);
            on_source.retain(|listed| !is_result(listed));
            let is_one_resource = self.source.endpoint == self.target.endpoint;
            on_target.retain(|listed| is_result(listed) || (!is_one_resource && is_named_by_service(listed)));
        }
        (on_source, on_target)
    }

    /// The id of the copy, where the caller chooses it. None if the template makes no id of it.
    fn copy_id(&self, source: &ModelId) -> Option<ModelId> {
        self.template.as_ref().map_or_else(|| Some(source.clone()), |template| template.apply(source).ok())
    }
}

/// What belongs together, by id or, in v2.1, by training.
pub(super) struct Pair {
    pub(super) source: Option<Listed>,
    pub(super) target: Option<Listed>,
    /// v2.1: the id under which the copy is known, and not there.
    pub(super) missing: Option<ModelId>,
}

/// All pairs, and how many v2.1 models of the target are further copies of what has one.
pub(super) struct Paired {
    pub(super) pairs: Vec<Pair>,
    pub(super) spare: usize,
}

/// Finds for each model of the source the one of the target, and what is left over.
pub(super) fn pair(on_source: Vec<Listed>, on_target: &[Listed], plan: &CheckPlan) -> Paired {
    let known = &plan.known_copies;
    let mut paired = BTreeSet::new();
    let mut pairs: Vec<_> = on_source
        .into_iter()
        .map(|source| {
            let at = partner_of(&source, on_target, plan);
            paired.extend(at);
            let target = at.and_then(|at| on_target.get(at)).cloned();
            Pair { missing: missing_copy(&source, target.as_ref(), known), source: Some(source), target }
        })
        .collect();
    // Two v2.1 models of one training are one model under two ids: neither of them is left over.
    let is_another_copy = |listed: &Listed| {
        let mut paired = paired.iter().filter_map(|at| on_target.get(*at));
        is_named_by_service(listed)
            && paired.any(|other| is_named_by_service(other) && has_same_name_and_dates(&other.model, &listed.model))
    };
    let left_over = on_target.iter().enumerate().filter(|(at, _)| !paired.contains(at)).map(|(_, listed)| listed);
    let (spare, left_over): (Vec<_>, Vec<_>) = left_over.partition(|listed| is_another_copy(listed));
    let alone = |target: &Listed| Pair { source: None, target: Some(target.clone()), missing: None };
    pairs.extend(left_over.into_iter().map(alone));
    Paired { pairs, spare: spare.len() }
}

/// The copy that applications were told of, where the target has another one in its place.
fn missing_copy(source: &Listed, target: Option<&Listed>, known: &KnownCopies) -> Option<ModelId> {
    let copy = known_copy(source, known)?;
    target.filter(|target| target.model.id != *copy).map(|_| copy.clone())
}

/// The known copy of a model that the service has named.
fn known_copy<'k>(source: &Listed, known: &'k KnownCopies) -> Option<&'k ModelId> {
    let known = known.of(source.version, source.model.kind, &source.model.id);
    known.first().filter(|_| is_named_by_service(source))
}

fn partner_of(source: &Listed, on_target: &[Listed], plan: &CheckPlan) -> Option<usize> {
    let find = |is: &dyn Fn(&Listed) -> bool| on_target.iter().position(is);
    if is_named_by_service(source) {
        let copy = known_copy(source, &plan.known_copies);
        return find(&|target| is_named_by_service(target) && Some(&target.model.id) == copy).or_else(|| {
            find(&|target| is_named_by_service(target) && has_same_name_and_dates(&source.model, &target.model))
        });
    }
    let Model { id, kind, .. } = &source.model;
    let copy = plan.copy_id(id)?;
    find(&|target| !is_named_by_service(target) && (&target.model.id, target.model.kind) == (&copy, *kind))
}

pub(super) fn is_named_by_service(listed: &Listed) -> bool {
    listed.version.wire().service_names_the_copy()
}
