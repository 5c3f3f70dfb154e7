//! One batch for each of several targets. The source is listed once, and each of its models is read once.

use futures_util::future::join_all;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use super::active_targets::ActiveTargets;
use super::batch::{Batch, BatchPlan, Summary};
use super::batch_event::BatchEvent;
use super::batch_queue::Candidate;
use super::context::Job;
use super::preflight::SourceModel;
use super::report::Done;
use super::run::Connect;
use crate::client::{CallContext, Connection};
use crate::error::Error;

/// Receives each event, with the position of the target that it belongs to; none for events of the source.
pub(crate) type TargetsObserver<'a> = &'a dyn Fn(Option<usize>, BatchEvent<'_>);

/// Copies many models to each target, until all have a verdict or the command is cancelled. A failed copy stops no other
/// one. The plans differ in their targets only; the summaries are in their order.
///
/// # Errors
/// When the source cannot be listed, or has nothing of what is selected: then nothing was begun.
pub(crate) async fn copy_batches(
    plans: &[BatchPlan],
    observer: TargetsObserver<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<Summary>, Error> {
    copy_batches_over(plans, observer, cancel, &Connection::http).await
}

/// [`copy_batches`] over another transport.
pub(super) async fn copy_batches_over(
    plans: &[BatchPlan],
    observer: TargetsObserver<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
) -> Result<Vec<Summary>, Error> {
    let run = async |batch: &Batch<'_>, candidates: Vec<Candidate>| {
        batch.check_room(&candidates).await;
        let run = async |job: Job<'_>, found: SourceModel| job.run(Some(found)).await;
        Summary { reports: batch.run_all(candidates, run).await, capacities: Vec::new() }
    };
    for_each_target(plans, observer, cancel, connect, run).await
}

/// Says what [`copy_batches`] would do, what would prevent it, and whether each target has room. It only reads.
///
/// # Errors
/// As those of [`copy_batches`].
pub(crate) async fn dry_run_batches(
    plans: &[BatchPlan],
    observer: TargetsObserver<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<Summary>, Error> {
    let run = async |batch: &Batch<'_>, candidates: Vec<Candidate>| {
        let dry_run = async |job: Job<'_>, found: SourceModel| -> Result<Done, Error> {
            job.plan_only(Some(found)).await.map(|(done, _)| done)
        };
        let reports = batch.run_all(candidates, dry_run).await;
        let capacities = batch.capacities(&reports).await;
        Summary { reports, capacities }
    };
    for_each_target(plans, observer, cancel, &Connection::http, run).await
}

/// Reads the source, and runs the batches of all targets concurrently.
async fn for_each_target(
    plans: &[BatchPlan],
    observer: TargetsObserver<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
    run: impl AsyncFn(&Batch<'_>, Vec<Candidate>) -> Summary,
) -> Result<Vec<Summary>, Error> {
    let Some(first) = plans.first() else { return Ok(Vec::new()) };
    // The time counts from here: each connection reads the trusted certificates.
    let context = &CallContext::new(first.options.timeout, cancel, |_, _| {});
    let source = connect(&first.options.source)?;
    let active = ActiveTargets::new(plans.len());
    let of_source = |event: BatchEvent<'_>| observer(None, event);
    let of_target = |position: usize| move |event: BatchEvent<'_>| observer(Some(position), event);
    let of_targets: Vec<_> = (0..plans.len()).map(of_target).collect();
    let connections = plans.iter().map(|plan| Ok(connect(&plan.options.target)?.sharing_limits_with(&source)));
    let connections: Vec<_> = connections.collect::<Result<_, Error>>()?;
    let Some(first_target) = connections.first().cloned() else { return Ok(Vec::new()) };
    let reader = Batch::new(first, &of_source, context, (source.clone(), first_target), active.clone());
    let batches = plans.iter().zip(&of_targets).zip(connections).map(|((plan, observer), target)| {
        Batch::new(plan, observer, context, (source.clone(), target), active.clone())
    });
    let batches: Vec<_> = batches.collect();
    let found = SetOnce::new();
    let find = async {
        let candidates = reader.find_candidates().await?;
        plans.iter().try_for_each(|plan| plan.check_target_ids(&candidates))?;
        // It is set once.
        let _ = found.set(candidates);
        Ok::<(), Error>(())
    };
    // Each target begins as soon as its lists and the source are read: no target uses up the time of another.
    let each = batches.iter().map(async |batch| {
        batch.read_target_list().await;
        let candidates: &Vec<Candidate> = found.wait().await;
        let summary = run(batch, candidates.iter().map(Candidate::duplicate).collect()).await;
        active.one_has_ended();
        summary
    });
    tokio::select! {
        biased;
        Err(error) = find => Err(error),
        summaries = join_all(each) => Ok(summaries),
    }
}
