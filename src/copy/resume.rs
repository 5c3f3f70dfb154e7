//! Polls copies that are already running: from their operation URLs, or from the journal of the run that started them.

use std::cell::RefCell;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::{Context, Job};
use super::event::{Event, Observer};
use super::journal::NoJournal;
use super::plan::{Plan, StepOptions};
use super::poll::{Polling, Verdict, failure, poll};
use super::release::{Copied, Owner, Reservation};
use super::report::{Done, Outcome, Recorder, Report};
use super::run::{Connect, call_context, with_job};
use super::settle::settle;
use super::unfinished::Rest;
use crate::api::version::ApiVersion;
use crate::client::Connection;
use crate::error::{Error, ErrorKind};
use crate::model::Kind;
use crate::operation::{Operation, OperationUrl};
use crate::resource::{Resource, Side};

/// A running copy, and the resources that can be read for it.
#[derive(Debug, Clone)]
pub(crate) struct WaitPlan {
    /// The source resource.
    pub source: Resource,
    /// The target resource; without it nothing is verified.
    pub target: Option<Resource>,
    /// The operation on the source.
    pub operation: OperationUrl,
    /// Reads the target before the copy is reported as ready.
    pub verify: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// Delay between status polls.
    pub poll_interval: Duration,
}

/// Polls a copy until there is a verdict or the command is cancelled.
pub(crate) async fn wait(plan: &WaitPlan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    wait_over(plan, observer, cancel, &Connection::http).await
}

/// Polls several copies of one source at the same time, over the same connections. `on_event` gets the index of the copy.
pub(crate) async fn wait_for_each(
    plans: &[WaitPlan],
    on_event: &dyn Fn(usize, Event<'_>),
    on_end: &dyn Fn(usize, &Report),
    cancel: &CancellationToken,
) -> Vec<Report> {
    let run = async |plan: &WaitPlan, observer: Observer<'_>, connect: Connect<'_>| {
        wait_over(plan, observer, cancel, connect).await
    };
    report_each(plans, on_event, on_end, run).await
}

/// Finishes what earlier runs left open of several copies between the same two resources, and begins no other copy.
/// `on_event` and `on_end` get the index of the plan.
pub(crate) async fn finish_each(
    plans: &[Plan],
    on_event: &dyn Fn(usize, Event<'_>),
    on_end: &dyn Fn(usize, &Report),
    cancel: &CancellationToken,
) -> Vec<Report> {
    let work = async |job: Job<'_>| match job.finish_open(None).await? {
        Rest::Nothing(done) => Ok(done.at(job.cx.source.service_time(), job.target.service_time())),
        Rest::Copy { .. } => Err(Error::new(ErrorKind::NotFound, "there is no copy of the model as it is now")
            .with_remedy("run the copy command again")),
    };
    let run = async |plan: &Plan, observer: Observer<'_>, connect: Connect<'_>| {
        with_job(plan, observer, cancel, connect, work).await
    };
    report_each(plans, on_event, on_end, run).await
}

/// Runs all plans at the same time, over the same connections.
async fn report_each<P>(
    plans: &[P],
    on_event: &dyn Fn(usize, Event<'_>),
    on_end: &dyn Fn(usize, &Report),
    run: impl AsyncFn(&P, Observer<'_>, Connect<'_>) -> Report,
) -> Vec<Report> {
    let connections = SharedConnections::default();
    let connect: Connect<'_> = &|resource: &Resource| connections.get(resource);
    let reports = plans.iter().enumerate().map(async |(index, plan)| {
        let report = run(plan, &|event| on_event(index, event), connect).await;
        on_end(index, &report);
        report
    });
    futures_util::future::join_all(reports).await
}

/// One connection to each side.
#[derive(Default)]
struct SharedConnections {
    connections: RefCell<Vec<(Side, Connection)>>,
}

impl SharedConnections {
    /// The connection to a resource, which is made once.
    fn get(&self, resource: &Resource) -> Result<Connection, Error> {
        let mut connections = self.connections.borrow_mut();
        if let Some((_, connection)) = connections.iter().find(|(side, _)| *side == resource.side) {
            return Ok(connection.clone());
        }
        let connection = Connection::http(resource)?;
        connections.push((resource.side, connection.clone()));
        Ok(connection)
    }
}

/// [`wait`] over another transport.
pub(super) async fn wait_over(
    plan: &WaitPlan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
) -> Report {
    let version = ApiVersion::of_operation(&plan.operation);
    // The URL of a version that copies classifiers as well does not say what is copied.
    let is_model = version.is_some_and(|version| !version.wire().copies(Kind::Classifier));
    let recorder = Recorder::new(is_model.then_some(Kind::Model), &plan.source);
    let recorder = plan.target.iter().fold(recorder, Recorder::to).with(|report| {
        report.operation = Some(plan.operation.clone());
        report.source_model_id = plan.operation.source_model_id();
        report.api_version = version;
    });
    let record = |event: Event<'_>| {
        recorder.record(&event);
        observer(event);
    };
    let result = match version {
        Some(version) => resume(plan, version, &record, cancel, connect).await,
        None => Err(not_an_operation()),
    };
    let result = result.map(|copied| match copied {
        Some(copied) => Done::with_copy(Outcome::Copied, copied),
        None => Done::unverified(Outcome::Copied, None),
    });
    recorder.finish(result)
}

/// Polls and settles. None where the operation succeeded and does not name the copy.
async fn resume(
    plan: &WaitPlan,
    version: ApiVersion,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
) -> Result<Option<Copied>, Error> {
    let context = call_context(plan.timeout, observer, cancel);
    let source = connect(&plan.source)?;
    let target = plan.target.as_ref().map(|target| Ok(connect(target)?.sharing_limits_with(&source))).transpose()?;
    let target = target.map(|target| target.client(context.clone()));
    let source = &source.client(context);
    let options = StepOptions { allow_degrade: false, verify: plan.verify, poll_interval: plan.poll_interval };
    let cx = &Context { source, target: target.as_ref(), options, observer, journal: &NoJournal };
    let verdict = poll(cx, &Polling::from_url(version, &plan.operation)).await;
    match reservation(cx, version, &verdict) {
        Some(reservation) => {
            let id = reservation.id().clone();
            let settled = settle(cx, reservation, verdict).await.result();
            if version.wire().service_names_the_copy() && settled.as_ref().is_err_and(Error::is_verdict) {
                cx.emit(Event::BlankLeft { target_model_id: &id });
            }
            settled.map(Some)
        }
        None => without_id(cx, verdict).map(|()| None),
    }
}

/// The id that the operation names.
fn reservation(cx: &Context<'_>, version: ApiVersion, verdict: &Verdict) -> Option<Reservation> {
    let Verdict::Terminal { operation: Operation { kind, target_model_id: Some(id), .. }, .. } = verdict else {
        return None;
    };
    let kind = kind.unwrap_or(Kind::Model);
    cx.emit(Event::Resumed { kind, target_model_id: id });
    // Only the source says that this id belongs to the copy, which is not enough to delete it.
    Some(Reservation::new(version, kind, id.clone(), Owner::OtherRun))
}

/// The result of an operation that does not name the copy, or has no verdict.
fn without_id(cx: &Context<'_>, verdict: Verdict) -> Result<(), Error> {
    match verdict {
        Verdict::Terminal { operation, request_id } => {
            if let Some(error) = failure(cx, operation) {
                return Err(error.with_request_id(request_id));
            }
            if cx.target.is_some() && cx.options.verify {
                let error = Error::new(ErrorKind::Unforeseen, "the operation does not name the copy");
                cx.emit(Event::NotVerified { error: &error });
            }
            Ok(())
        }
        Verdict::Ready => Ok(()),
        Verdict::Open(error) => Err(error),
    }
}

/// The error of a URL that is not that of a copy operation.
pub(crate) fn not_an_operation() -> Error {
    Error::settings(
        "the URL is not that of a copy operation",
        "give the URL that frcopy printed, with /copyresults/ or /operations/ in it",
    )
}
