//! What a failover would miss: the models of the source beside those of the target.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;

use crate::api::version::ApiVersion;
use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::id_template::IdTemplate;
use crate::inventory::{Inventory, Listed, PARALLEL_READS, Scope, complete};
use crate::model::{Kind, Model, ModelId};
use crate::model_diff::{Training, differences, has_same_name_and_dates};
use crate::resource::{Endpoint, Resource, Side};
use crate::samples::{Extent, Pair as SampledPair, SamplesOutcome, SamplesPlan};
use crate::selection::Selection;
use tokio_util::sync::CancellationToken;

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
    /// Copies of v2.1 models that are known of, the source's id first.
    pub known_copies: BTreeMap<ModelId, ModelId>,
    /// Makes the ids of the copies (v3.0 and later); `None`: copies have the ids of their sources.
    pub template: Option<IdTemplate>,
    /// Documents that are analyzed on both sides.
    pub samples: Option<SamplesPlan>,
    /// For the whole command.
    pub timeout: Duration,
}

/// A model of the source, one of the target, or both, and what tells them apart.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// A model or a classifier.
    pub kind: Kind,
    /// The source resource, where a manifest names it.
    pub source_endpoint: Option<Endpoint>,
    /// On the source, or as a manifest has recorded it.
    pub source: Option<Model>,
    /// On the target.
    pub target: Option<Model>,
    /// What came of it.
    pub verdict: Verdict,
    /// The training of the source model and the version that shows it, where both sides are the same.
    pub training: Option<(ApiVersion, Training)>,
    /// When a manifest says that the copy was last verified, by the target's clock.
    pub verified_at: Option<Timestamp>,
    /// The version in which both can be used.
    pub version: Option<ApiVersion>,
    /// What came of its samples, if there is a plan for them and it is on both sides.
    pub samples: Option<SamplesOutcome>,
}

/// What a check has shown.
#[derive(Debug)]
pub(crate) struct Checked {
    /// One comparison per model.
    pub comparisons: Vec<Comparison>,
    /// The time by the target's own clock.
    pub target_time: Option<Timestamp>,
}

/// Why a check has compared nothing.
#[derive(Debug)]
pub(crate) struct CheckFailure {
    /// Why.
    pub error: Error,
    /// What the target has, if only the source could not be asked.
    pub on_target: Option<Inventory>,
}

impl From<Error> for CheckFailure {
    fn from(error: Error) -> Self {
        Self { error, on_target: None }
    }
}

impl Comparison {
    /// A comparison of a source model with what the target has.
    pub(crate) fn new(source: Model, target: Option<Model>, verdict: Verdict) -> Self {
        let kind = source.kind;
        Self { source: Some(source), target, ..Self::empty(kind, verdict) }
    }

    /// A model that only the target has.
    pub(crate) fn only_on_target(model: Model) -> Self {
        let kind = model.kind;
        Self { target: Some(model), ..Self::empty(kind, Verdict::OnlyOnTarget) }
    }

    fn empty(kind: Kind, verdict: Verdict) -> Self {
        let (source, target, source_endpoint) = (None, None, None);
        let (training, verified_at, version, samples) = (None, None, None, None);
        Self { kind, source_endpoint, source, target, verdict, training, verified_at, version, samples }
    }
}

/// What came of a comparison.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Both come from the same training.
    Same,
    /// The target has no copy.
    OnlyOnSource,
    /// The source has no such model.
    OnlyOnTarget,
    /// They come from different trainings, or read samples otherwise, in these points.
    Differs(Vec<String>),
    /// One of the two could not be read, or did not read its samples.
    Unread(Error),
}

impl Verdict {
    /// The points in which the two differ, if they come from different trainings.
    #[must_use]
    pub(crate) fn differences(&self) -> &[String] {
        if let Self::Differs(found) = self { found } else { &[] }
    }
}

/// What is said while it is being compared.
#[derive(Debug)]
pub(crate) enum CheckEvent<'a> {
    /// A request will be sent again.
    Waiting {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// A list has entries that cannot be read, which are not compared.
    Unread {
        /// Whose list.
        side: Side,
        /// How many.
        count: usize,
    },
    /// Further copies on the target of v2.1 models that have one.
    Spare {
        /// How many.
        count: usize,
    },
    /// Samples are sent to both resources.
    Sampling(&'a Extent),
    /// Samples are done.
    Sampled {
        /// How many.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Models that are not ready are not compared: failed trainings, and blank targets of v2.1 copies.
    NotReady {
        /// Whose models.
        side: Side,
        /// How many.
        count: usize,
    },
}

/// Compares what the source has with what the target has. It only reads; samples, if there are any, are analyzed.
///
/// # Errors
/// When one of the two cannot be asked what it has, or neither has something that was selected, or there are samples and
/// none of them is of a model of the source.
pub(crate) async fn check(
    plan: &CheckPlan,
    observer: &dyn Fn(CheckEvent<'_>),
    cancel: &CancellationToken,
) -> Result<Checked, CheckFailure> {
    let context = CallContext::new(plan.timeout, cancel, |error, wait| observer(CheckEvent::Waiting { error, wait }));
    let source = Connection::http(&plan.source)?;
    let target = Connection::http(&plan.target)?.sharing_limits_with(&source);
    let (source, target) = (source.client(context.clone()), target.client(context));
    // Where the source cannot be asked, the target's answer can still be compared with a manifest.
    let on_source = async { Ok(Inventory::read(&source, plan.scope).await) };
    let (on_source, on_target) = tokio::try_join!(on_source, Inventory::read(&target, plan.scope))?;
    let on_source = match on_source {
        Ok(on_source) => on_source,
        Err(error) => return Err(CheckFailure { error, on_target: Some(on_target) }),
    };
    let all: Vec<_> = on_source.listed.iter().chain(&on_target.listed).map(|listed| &listed.model).collect();
    plan.selection.check(&all, "either resource")?;
    let (on_source, mut left_out) = ready(on_source, Side::Source, observer);
    let (on_target, not_ready_on_target) = ready(on_target, Side::Target, observer);
    left_out.extend(not_ready_on_target);
    let (on_source, on_target) = plan.without_others(on_source, on_target);
    let Paired { pairs, spare } = pair(on_source, &on_target, plan);
    if spare > 0 {
        observer(CheckEvent::Spare { count: spare });
    }
    let is_meant = |pair: &Pair| {
        let both = [&pair.source, &pair.target].into_iter().flatten();
        both.into_iter().any(|listed| plan.selection.picks(&listed.model))
    };
    let compared = pairs.into_iter().filter(is_meant).map(|pair| compare(&source, &target, pair));
    let mut comparisons: Vec<_> = futures_util::stream::iter(compared).buffered(PARALLEL_READS).collect().await;
    if let Some(samples) = &plan.samples {
        try_samples([&source, &target], samples, &mut comparisons, observer).await?;
    }
    comparisons.extend(left_out.into_iter().filter(|one| plan.selection.names(&one.listed.model)).map(left_out_one));
    Ok(Checked { comparisons, target_time: target.service_time() })
}

/// The error of a check that has compared nothing. Two empty resources must not look like a backup that is complete.
#[must_use]
pub(crate) fn nothing_to_compare() -> Error {
    Error::new(ErrorKind::NotFound, "nothing is selected")
        .with_source("there are no custom models and classifiers that can be compared")
        .with_remedy(
            "check that both endpoints are the resources that have the models, and the options that select them",
        )
}

/// A model that was asked for by its id and is not ready: it has no copy yet, and it is not missing.
fn left_out_one(NotReady { side, listed: Listed { model, .. } }: NotReady) -> Comparison {
    let verdict = Verdict::Unread(not_comparable(side, &model));
    match side {
        Side::Source | Side::Alone => Comparison::new(model, None, verdict),
        Side::Target => Comparison { verdict, ..Comparison::only_on_target(model) },
    }
}

/// The error of a model that is not ready.
pub(crate) fn not_comparable(side: Side, model: &Model) -> Error {
    let what = format!("the {} of the {side} is not ready, and cannot be compared", model.kind);
    Error::new(ErrorKind::Refused, what).with_remedy("wait until its training or copy has ended")
}

impl CheckPlan {
    /// With a template: leaves out the copies of an earlier run on the source, and on the target, if it is the same
    /// resource, the models that are no copies.
    fn without_others(&self, mut on_source: Vec<Listed>, mut on_target: Vec<Listed>) -> (Vec<Listed>, Vec<Listed>) {
        if let Some(template) = &self.template {
            let is_result = |listed: &Listed| !is_named_by_service(listed) && template.is_result(&listed.model.id);
            on_source.retain(|listed| !is_result(listed));
            if self.source.endpoint == self.target.endpoint {
                on_target.retain(is_result);
            }
        }
        (on_source, on_target)
    }

    /// The id of the copy, where the caller chooses it. None if the template makes no id of it.
    fn copy_id(&self, source: &ModelId) -> Option<ModelId> {
        self.template.as_ref().map_or_else(|| Some(source.clone()), |template| template.apply(source).ok())
    }
}

/// What belongs together, by id or, in v2.1, by training.
struct Pair {
    source: Option<Listed>,
    target: Option<Listed>,
    /// v2.1: the id under which the copy is known, and not there.
    missing: Option<ModelId>,
}

/// What cannot be used yet, or never.
struct NotReady {
    side: Side,
    listed: Listed,
}

/// What can be used, and so can be missed, and what cannot.
fn ready(inventory: Inventory, side: Side, observer: &dyn Fn(CheckEvent<'_>)) -> (Vec<Listed>, Vec<NotReady>) {
    let (not_ready, ready): (Vec<_>, Vec<_>) =
        inventory.listed.into_iter().partition(|listed| listed.model.readiness.is_unusable());
    if inventory.unreadable > 0 {
        observer(CheckEvent::Unread { side, count: inventory.unreadable });
    }
    if !not_ready.is_empty() {
        observer(CheckEvent::NotReady { side, count: not_ready.len() });
    }
    (ready, not_ready.into_iter().map(|listed| NotReady { side, listed }).collect())
}

/// All pairs, and how many v2.1 models of the target are further copies of what has one.
struct Paired {
    pairs: Vec<Pair>,
    spare: usize,
}

/// Finds for each model of the source the one of the target, and what is left over.
fn pair(on_source: Vec<Listed>, on_target: &[Listed], plan: &CheckPlan) -> Paired {
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
fn missing_copy(source: &Listed, target: Option<&Listed>, known: &BTreeMap<ModelId, ModelId>) -> Option<ModelId> {
    let copy = known.get(&source.model.id).filter(|_| is_named_by_service(source))?;
    target.filter(|target| target.model.id != *copy).map(|_| copy.clone())
}

fn partner_of(source: &Listed, on_target: &[Listed], plan: &CheckPlan) -> Option<usize> {
    let find = |is: &dyn Fn(&Listed) -> bool| on_target.iter().position(is);
    if is_named_by_service(source) {
        let copy = plan.known_copies.get(&source.model.id);
        return find(&|target| is_named_by_service(target) && Some(&target.model.id) == copy).or_else(|| {
            find(&|target| is_named_by_service(target) && has_same_name_and_dates(&source.model, &target.model))
        });
    }
    let Model { id, kind, .. } = &source.model;
    let copy = plan.copy_id(id)?;
    find(&|target| !is_named_by_service(target) && (&target.model.id, target.model.kind) == (&copy, *kind))
}

fn is_named_by_service(listed: &Listed) -> bool {
    listed.version.wire().service_names_the_copy()
}

async fn compare(source: &Client<'_>, target: &Client<'_>, pair: Pair) -> Comparison {
    let one = pair.source.as_ref().or(pair.target.as_ref());
    let kind = one.map_or(Kind::Model, |one| one.model.kind);
    let mut training = None;
    let verdict = match (&pair.source, &pair.target, &pair.missing) {
        (Some(_), Some(on_target), Some(missing)) => {
            let other = &on_target.model.id;
            Verdict::Differs(vec![format!(
                "the manifest says {missing}, which the target has not: its copy is {other}"
            )])
        }
        (Some(on_source), Some(on_target), None) => {
            let (verdict, same) = tell_apart(source, target, on_source, on_target).await;
            training = same;
            verdict
        }
        (Some(_), None, _) => Verdict::OnlyOnSource,
        (None, _, _) => Verdict::OnlyOnTarget,
    };
    // The older one, which the resource with the newer one offers as well.
    let version = pair.source.as_ref().zip(pair.target.as_ref()).map(|(a, b)| a.version.min(b.version));
    let model = |listed: Option<Listed>| listed.map(|listed| listed.model);
    let (source, target) = (model(pair.source), model(pair.target));
    Comparison { source, target, training, version, ..Comparison::empty(kind, verdict) }
}

/// Analyzes the samples of the models that both have, and adds what came of it.
async fn try_samples(
    clients: [&Client<'_>; 2],
    plan: &SamplesPlan,
    comparisons: &mut [Comparison],
    observer: &dyn Fn(CheckEvent<'_>),
) -> Result<(), Error> {
    let on_source: Vec<_> = comparisons.iter().filter_map(|one| Some(one.source.as_ref()?.id.clone())).collect();
    let (pairs, sampled): (Vec<_>, Vec<_>) =
        comparisons.iter_mut().filter_map(|one| Some((one.sampled_pair()?, one))).unzip();
    let extent = plan.extent(&pairs, &on_source)?;
    observer(CheckEvent::Sampling(&extent));
    let on_done = |done| observer(CheckEvent::Sampled { done, of: extent.documents });
    let outcomes = plan.run(clients, &pairs, on_done).await;
    for (one, outcome) in sampled.into_iter().zip(outcomes) {
        one.add(outcome);
    }
    Ok(())
}

impl Comparison {
    /// The two models to analyze samples with, if both are there and could be read.
    fn sampled_pair(&self) -> Option<SampledPair> {
        let Self { kind, source: Some(source), target: Some(target), version: Some(version), .. } = self else {
            return None;
        };
        let (source, target) = (source.id.clone(), target.id.clone());
        let is_read = !matches!(self.verdict, Verdict::Unread(_));
        is_read.then_some(SampledPair { kind: *kind, version: *version, source, target })
    }

    /// Whether it has samples, and both read all of them alike.
    pub(crate) fn has_agreeing_samples(&self) -> bool {
        self.samples.as_ref().is_some_and(SamplesOutcome::all_agree)
    }

    /// Adds what came of the samples to the verdict.
    fn add(&mut self, outcome: SamplesOutcome) {
        let mut found = self.verdict.differences().to_vec();
        found.extend(outcome.difference());
        if !found.is_empty() {
            found.extend(outcome.omission());
            self.verdict = Verdict::Differs(found);
        } else if let Some(error) = outcome.error() {
            self.verdict = Verdict::Unread(error);
        }
        if !matches!(self.verdict, Verdict::Same) {
            // A manifest records what is the same.
            self.training = None;
        }
        self.samples = Some(outcome);
    }
}

/// Reads what the lists have left out of the two, and compares them.
async fn tell_apart(
    source: &Client<'_>,
    target: &Client<'_>,
    on_source: &Listed,
    on_target: &Listed,
) -> (Verdict, Option<(ApiVersion, Training)>) {
    if is_named_by_service(on_source) {
        return verdict(on_source, on_target);
    }
    match tokio::try_join!(complete(source, on_source.clone()), complete(target, on_target.clone())) {
        Ok((on_source, on_target)) => verdict(&on_source, &on_target),
        Err(error) => (Verdict::Unread(error), None),
    }
}

/// The verdict, and the training of two models that are the same.
fn verdict(source: &Listed, target: &Listed) -> (Verdict, Option<(ApiVersion, Training)>) {
    match differences(&source.model, &target.model) {
        found if found.is_empty() => {
            (Verdict::Same, Some((source.version, Training::of(&source.model, &target.model.id))))
        }
        found => (Verdict::Differs(found), None),
    }
}
