//! What a failover would miss: the models of the source beside those of the target.

mod comparison;
mod pairing;
mod sampling;

use futures_util::StreamExt;

use crate::api::version::ApiVersion;
use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::inventory::{Inventory, Listed, PARALLEL_READS, complete};
use crate::model::{Kind, Model};
use crate::model_diff::{Training, differences};
use crate::resource::Side;
use tokio_util::sync::CancellationToken;

pub(crate) use comparison::{CheckEvent, CheckFailure, Checked, Comparison, Verdict};
pub(crate) use pairing::CheckPlan;
use pairing::{Pair, Paired, is_named_by_service, pair};
use sampling::try_samples;

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
