//! The models of a target beside what a manifest has recorded of them. The source is not asked: it may be down.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;

use crate::api::version::ApiVersion;
use crate::check::{CheckEvent, Checked, Comparison, Shown, TargetInventory, Verdict, missing, not_comparable};
use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::inventory::{IncompleteLists, Inventory, Listed, PARALLEL_READS, Scope, complete};
use crate::model::{Model, ModelId};
use crate::model_diff::{Training, check_comparable};
use crate::resource::{Endpoint, Resource, Side};
use crate::selection::Selection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A copy as a manifest has recorded it.
#[derive(Debug, Clone)]
pub(crate) struct RecordedCopy {
    /// The source resource.
    pub source_endpoint: Endpoint,
    /// The source model, as far as it is recorded.
    pub source: Model,
    /// The id of the copy.
    pub target_id: ModelId,
    /// The version of the copy.
    pub version: ApiVersion,
    /// The training of the source model and the version that showed it.
    pub training: Option<(ApiVersion, Training)>,
    /// When the copy was last verified, by the target's clock.
    pub verified_at: Option<Timestamp>,
    /// When the copy was made, by the source's clock.
    pub ended_at: Option<Timestamp>,
}

/// Which recorded copies are compared with which target.
#[derive(Debug, Clone)]
pub(crate) struct RecordedPlan {
    /// The resource that should have the copies.
    pub target: Resource,
    /// Which models.
    pub selection: Selection,
    /// Of which versions and kinds.
    pub scope: Scope,
    /// The copies that are expected.
    pub copies: Vec<RecordedCopy>,
    /// All copies on the target that the manifest records, of other sources as well.
    pub known: Vec<RecordedCopy>,
    /// For the whole command.
    pub timeout: Duration,
}

/// Compares what the target has with what is recorded. It only reads. What the target has may be known already. The time
/// limit of the command counts from `began`.
///
/// # Errors
/// When the target cannot be asked what it has, or nothing was selected.
pub(crate) async fn check_recorded(
    plan: &RecordedPlan,
    on_target: Option<TargetInventory>,
    began: Instant,
    observer: &dyn Fn(CheckEvent<'_>),
    cancel: &CancellationToken,
) -> Result<Checked, Error> {
    let left = plan.timeout.saturating_sub(began.elapsed());
    let context = CallContext::new(left, cancel, |error, wait| observer(CheckEvent::Waiting { error, wait }));
    let target = &Connection::http(&plan.target)?.client(context);
    let (inventory, time) = match on_target {
        Some(TargetInventory { inventory, time }) => (inventory, time),
        None => (Inventory::read(target, plan.scope).await?, None),
    };
    if inventory.unreadable > 0 {
        observer(CheckEvent::Unread { side: Side::Target, count: inventory.unreadable });
    }
    let expected: Vec<_> = plan.copies.iter().filter(|copy| copy.is_in(plan.scope)).collect();
    observer(CheckEvent::Recorded { sources: &sources(&expected) });
    let all = expected.iter().map(|copy| &copy.source).chain(inventory.models()).collect::<Vec<_>>();
    let ids: Vec<_> = expected.iter().map(|copy| &copy.target_id).collect();
    let shown = Shown { models: all, copies: ids, incomplete: vec![(Side::Target, &inventory.incomplete)] };
    let not_shown = shown.check(&plan.selection, "the target, and no recorded copy,")?;
    let compared = expected.into_iter().filter_map(|copy| {
        let listed = inventory.listed.iter().find(|listed| copy.is_shown_as(listed));
        let models = [Some(&copy.source), listed.map(|listed| &listed.model)];
        let is_meant = plan.selection.picks_pair(models, Some(&copy.target_id));
        is_meant.then(|| compare(target, &inventory.incomplete, copy, listed.cloned()))
    });
    let mut comparisons: Vec<_> = futures_util::stream::iter(compared).buffered(PARALLEL_READS).collect().await;
    let others = inventory.listed.iter().filter(|listed| plan.selection.picks(&listed.model) && !plan.knows(listed));
    let (not_ready, others): (Vec<_>, Vec<_>) = others.partition(|listed| listed.model.readiness.is_unusable());
    if !not_ready.is_empty() {
        observer(CheckEvent::NotReady { side: Side::Target, count: not_ready.len() });
    }
    comparisons.extend(others.into_iter().map(|listed| Comparison::only_on_target(listed.clone())));
    comparisons.extend(not_shown);
    Ok(Checked { comparisons, target_time: target.service_time().or(time) })
}

/// The sources of copies, each once.
fn sources<'c>(copies: &[&'c RecordedCopy]) -> Vec<&'c Endpoint> {
    let mut sources = Vec::new();
    for copy in copies {
        if !sources.contains(&&copy.source_endpoint) {
            sources.push(&copy.source_endpoint);
        }
    }
    sources
}

impl RecordedPlan {
    fn knows(&self, listed: &Listed) -> bool {
        self.known.iter().any(|copy| copy.is_shown_as(listed))
    }
}

impl RecordedCopy {
    fn is_in(&self, scope: Scope) -> bool {
        scope.kind.is_none_or(|kind| kind == self.source.kind)
            && scope
                .api_version
                .is_none_or(|version| version == self.version || version.shares_models_with(self.version))
    }

    fn comparison(&self, target: Option<Model>, verdict: Verdict) -> Comparison {
        Comparison {
            source_endpoint: Some(self.source_endpoint.clone()),
            copy_id: Some(self.target_id.clone()),
            verified_at: self.verified_at,
            ..Comparison::new(self.version, self.source.clone(), target, verdict)
        }
    }

    fn is_shown_as(&self, listed: &Listed) -> bool {
        // Models of versions that share nothing may have the same id.
        let is_named = |version: ApiVersion| version.wire().service_names_the_copy();
        self.source.kind == listed.model.kind
            && is_named(self.version) == is_named(listed.version)
            && listed.model.id.is_same_as(&self.target_id)
    }
}

async fn compare(
    target: &Client<'_>,
    incomplete: &IncompleteLists,
    copy: &RecordedCopy,
    listed: Option<Listed>,
) -> Comparison {
    let Some(listed) = listed else {
        let key = (copy.source.kind, copy.version);
        return copy.comparison(None, missing(Side::Target, incomplete, key, Verdict::OnlyOnSource));
    };
    let shown = listed.model.clone();
    let verdict = if listed.model.readiness.is_unusable() {
        Verdict::Unread(not_comparable(Side::Target, &listed.model))
    } else {
        verdict(target, copy, listed).await.unwrap_or_else(Verdict::Unread)
    };
    copy.comparison(Some(shown), verdict)
}

async fn verdict(target: &Client<'_>, copy: &RecordedCopy, listed: Listed) -> Result<Verdict, Error> {
    let Some((version, training)) = &copy.training else {
        let what = "the manifest does not have the training of the model";
        return Err(
            Error::new(ErrorKind::Unavailable, what).with_remedy("run frcopy check when the source can be reached")
        );
    };
    // Both must have been read with the same version.
    let model = if listed.version == *version {
        complete(target, listed).await?.model
    } else {
        target.read(&version.wire().model(listed.model.kind, &listed.model.id)).await?
    };
    check_comparable(&model, target.label())?;
    let found = training.differences(&Training::of(&model, &copy.source.id));
    Ok(if found.is_empty() { Verdict::Same } else { Verdict::Differs(found) })
}
