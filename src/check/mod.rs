//! What a failover would miss: the models of the source beside those of the target.

mod absence;
mod comparison;
mod pairing;
mod sampling;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::{OnceCell, SetOnce};

use crate::api::version::ApiVersion;
use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::inventory::{IncompleteLists, Inventory, Listed, PARALLEL_READS, complete};
use crate::model::{Kind, Model, ModelId};
use crate::model_diff::{Training, check_comparable, differences};
use crate::resource::Side;
use crate::samples::SampledSource;
use tokio_util::sync::CancellationToken;

pub(crate) use absence::{Shown, missing};
pub(crate) use comparison::{CheckEvent, Checked, Checks, Comparison, TargetCheck, TargetInventory, Verdict};
pub(crate) use pairing::CheckPlan;
use pairing::{Pair, Paired, is_named_by_service, pair};
use sampling::Sampling;

/// Receives each event, with the position of the target that it belongs to; none for events of the source.
pub(crate) type CheckObserver<'a> = &'a dyn Fn(Option<usize>, CheckEvent<'_>);

/// Compares what the source has with what each target has. It only reads, and the source only once; samples, if there
/// are any, are analyzed. The plans differ in their targets only; the results are in their order. An error of one target
/// does not stop the others.
///
/// # Errors
/// When the source cannot be asked what it has, for another reason than that it is unavailable.
pub(crate) async fn check(
    plans: &[CheckPlan],
    observer: CheckObserver<'_>,
    cancel: &CancellationToken,
) -> Result<Checks, Error> {
    let Some(first) = plans.first() else { return Ok(Checks::default()) };
    let on_retry = |target| move |error: &Error, wait| observer(target, CheckEvent::Waiting { error, wait });
    let context = CallContext::new(first.timeout, cancel, on_retry(None));
    let source = Connection::http(&first.source)?;
    let targets = plans.iter().enumerate().map(|(position, plan)| {
        let target = Connection::http(&plan.target)?.sharing_limits_with(&source);
        Ok(target.client(context.with_on_retry(on_retry(Some(position)))))
    });
    let targets: Vec<_> = targets.collect::<Result<_, Error>>()?;
    let source = source.client(context);
    let on_source = SetOnce::new();
    let read_source = async {
        match Inventory::read(&source, first.scope).await {
            // Where the source is unavailable, what the targets have can still be compared with a manifest.
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
            read => on_source
                .set(read.map(|inventory| Source::new(&source, inventory, plans.len(), observer)))
                .unwrap_or_default(),
        }
        Ok(())
    };
    // Each target is compared as soon as its list and that of the source are known: no target uses up the time of another.
    let checks = plans.iter().zip(&targets).enumerate().map(async |(position, (plan, target))| {
        let on_target = Inventory::read(target, plan.scope).await?;
        let observer = &|event: CheckEvent<'_>| observer(Some(position), event);
        match on_source.wait().await {
            Ok(source) => plan.compare(source, target, on_target, observer).await.map(TargetCheck::Compared),
            Err(_) => Ok(TargetCheck::Listed(TargetInventory { inventory: on_target, time: target.service_time() })),
        }
    });
    // Where no target can be compared, the source need not be waited for.
    let targets = tokio::select! {
        biased;
        Err(error) = read_source => return Err(error),
        targets = join_all(checks) => targets,
    };
    Ok(Checks { source_down: on_source.into_inner().and_then(Result::err), targets })
}

/// A model that is read when the first comparison needs it.
type ReadOnce = Rc<OnceCell<Listed>>;

/// What the source has, for the comparisons with all targets.
struct Source<'a> {
    client: &'a Client<'a>,
    ready: Vec<Listed>,
    not_ready: Vec<NotReady>,
    incomplete: IncompleteLists,
    /// The models that were read one by one, each once.
    complete: RefCell<BTreeMap<(Kind, ModelId), ReadOnce>>,
    sampled: SampledSource<'a>,
}

impl<'a> Source<'a> {
    fn new(client: &'a Client<'a>, inventory: Inventory, targets: usize, observer: CheckObserver<'_>) -> Self {
        let incomplete = inventory.incomplete.clone();
        let (ready, not_ready) = ready(inventory, Side::Source, &|event: CheckEvent<'_>| observer(None, event));
        let sampled = SampledSource::new(client, targets);
        Self { client, ready, not_ready, incomplete, complete: RefCell::default(), sampled }
    }

    /// Reads what the list has left out of a model.
    async fn complete(&self, listed: &Listed) -> Result<Listed, Error> {
        let key = (listed.model.kind, listed.model.id.clone());
        let read = Rc::clone(self.complete.borrow_mut().entry(key).or_default());
        read.get_or_try_init(async || complete(self.client, listed.clone()).await).await.cloned()
    }
}

/// One target.
struct Target<'a> {
    client: &'a Client<'a>,
    incomplete: IncompleteLists,
}

impl CheckPlan {
    /// Compares what the source has with what one target has.
    async fn compare(
        &self,
        source: &Source<'_>,
        target: &Client<'_>,
        on_target: Inventory,
        observer: &dyn Fn(CheckEvent<'_>),
    ) -> Result<Checked, Error> {
        let on_source = source.ready.iter().chain(source.not_ready.iter().map(|one| &one.listed));
        let incomplete = on_target.incomplete.clone();
        let shown = Shown {
            models: on_source.chain(&on_target.listed).map(|listed| &listed.model).collect(),
            copies: self.known_copies.ids().collect(),
            incomplete: vec![(Side::Source, &source.incomplete), (Side::Target, &incomplete)],
        };
        let not_shown = shown.check(&self.selection, "either resource")?;
        let (on_target, not_ready_on_target) = ready(on_target, Side::Target, observer);
        let left_out = source.not_ready.iter().cloned().chain(not_ready_on_target);
        let (on_source, on_target) = self.without_others(source.ready.clone(), on_target);
        let Paired { pairs, spare } = pair(on_source, &on_target, self);
        if spare > 0 {
            observer(CheckEvent::Spare { count: spare });
        }
        let is_meant = |Pair { source, target, copy_id }: &Pair| {
            let models = [source, target].map(|listed| listed.as_ref().map(|listed| &listed.model));
            self.selection.picks_pair(models, copy_id.as_ref())
        };
        let target = &Target { client: target, incomplete };
        let compared = pairs.into_iter().filter(is_meant).map(|pair| compare(source, target, pair));
        let mut comparisons: Vec<_> = futures_util::stream::iter(compared).buffered(PARALLEL_READS).collect().await;
        if let Some(samples) = &self.samples {
            let plan = Sampling { plan: samples, source: &source.sampled, target: target.client };
            plan.run(&mut comparisons, observer).await?;
        }
        comparisons.extend(left_out.filter(|one| self.selection.names(&one.listed.model)).map(left_out_one));
        comparisons.extend(not_shown);
        Ok(Checked { comparisons, target_time: target.client.service_time() })
    }
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
fn left_out_one(NotReady { side, listed }: NotReady) -> Comparison {
    let verdict = Verdict::Unread(not_comparable(side, &listed.model));
    match side {
        Side::Source | Side::Alone => Comparison::new(listed.version, listed.model, None, verdict),
        Side::Target => Comparison { verdict, ..Comparison::only_on_target(listed) },
    }
}

/// The error of a model that is not ready.
pub(crate) fn not_comparable(side: Side, model: &Model) -> Error {
    let what = format!("the {} of the {side} is not ready, and cannot be compared", model.kind);
    Error::new(ErrorKind::Refused, what).with_remedy("wait until its training or copy has ended")
}
/// What cannot be used yet, or never.
#[derive(Clone)]
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

async fn compare(source: &Source<'_>, target: &Target<'_>, pair: Pair) -> Comparison {
    let one = pair.source.as_ref().or(pair.target.as_ref());
    let kind = one.map_or(Kind::Model, |one| one.model.kind);
    let mut training = None;
    let key = |listed: &Listed| (listed.model.kind, listed.version);
    let not_on_target = |listed, verdict| missing(Side::Target, &target.incomplete, key(listed), verdict);
    let verdict = match (&pair.source, &pair.target, pair.missing()) {
        (Some(on_source), Some(on_target), Some(id)) => {
            let other = &on_target.model.id;
            let what = format!("the manifest says {id}, which the target has not: its copy is {other}");
            not_on_target(on_source, Verdict::Differs(vec![what]))
        }
        (Some(on_source), Some(on_target), None) => {
            let (verdict, same) = tell_apart(source, target.client, on_source, on_target).await;
            training = same;
            verdict
        }
        (Some(on_source), None, _) => not_on_target(on_source, Verdict::OnlyOnSource),
        (None, Some(on_target), _) => missing(Side::Source, &source.incomplete, key(on_target), Verdict::OnlyOnTarget),
        (None, None, _) => Verdict::OnlyOnTarget,
    };
    // The older one, which the resource with the newer one offers as well.
    let version = [&pair.source, &pair.target].into_iter().flatten().map(|listed| listed.version).min();
    let model = |listed: Option<Listed>| listed.map(|listed| listed.model);
    let (source, target, copy_id) = (model(pair.source), model(pair.target), pair.copy_id);
    Comparison { source, target, copy_id, training, version, ..Comparison::empty(kind, verdict) }
}

/// Reads what the lists have left out of the two, and compares them.
async fn tell_apart(
    source: &Source<'_>,
    target: &Client<'_>,
    on_source: &Listed,
    on_target: &Listed,
) -> (Verdict, Option<(ApiVersion, Training)>) {
    if is_named_by_service(on_source) {
        return verdict(on_source, on_target);
    }
    let complete = async {
        let (on_source, on_target) = tokio::try_join!(source.complete(on_source), complete(target, on_target.clone()))?;
        check_comparable(&on_source.model, source.client.label())?;
        check_comparable(&on_target.model, target.label())?;
        Ok((on_source, on_target))
    };
    match complete.await {
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
