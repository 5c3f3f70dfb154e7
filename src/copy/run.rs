//! One copy from the preflight to its end: preflight, decide, then transfer or replace.

use super::adopt::check_not_running;
use super::context::{Context, Job, LostAuthorizations, Shared};
use super::copy_to::copy_to;
use super::event::{Event, Observer};
use super::if_exists::Action;
use super::plan::{IfExists, Plan};
use super::preflight::{Preflight, SourceModel, TargetId};
use super::report::{Done, Outcome, Recorder, Report};
use super::unfinished::Rest;
use crate::client::{CallContext, Connection};
use crate::error::Error;
use crate::inventory;
use crate::model::{Kind, Readiness};
use crate::resource::Resource;
use tokio_util::sync::CancellationToken;

/// Makes the connection to a resource.
pub(super) type Connect<'a> = &'a dyn Fn(&Resource) -> Result<Connection, Error>;

/// Copies one model, until there is a verdict or the command is cancelled.
///
/// After cancellation it releases what it has reserved and not used; a started copy continues on the service.
pub async fn copy(plan: &Plan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    copy_over(plan, observer, cancel, &Connection::http).await
}

/// Says what [`copy`] would do, and what would prevent it. It only reads.
pub async fn dry_run(plan: &Plan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    let work = async |job: Job<'_>| {
        let (done, source) = job.plan_only(None).await?;
        job.check_capacity(done.outcome, &source).await.map(|()| done)
    };
    with_job(plan, observer, cancel, &Connection::http, work).await
}

/// [`copy`] over another transport.
pub(super) async fn copy_over(
    plan: &Plan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
) -> Report {
    with_job(plan, observer, cancel, connect, async |job: Job<'_>| job.run(None).await).await
}

/// Connects to both resources, runs the work, and completes its report.
pub(super) async fn with_job(
    plan: &Plan,
    observer: Observer<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
    work: impl AsyncFnOnce(Job<'_>) -> Result<Done, Error>,
) -> Report {
    let recorder = recorder(plan);
    let record = |event: Event<'_>| {
        recorder.record(&event);
        observer(event);
    };
    let result = async {
        let options = &plan.options;
        let context = call_context(options.timeout, &record, cancel);
        let source = connect(&options.source)?;
        let target = connect(&options.target)?.sharing_limits_with(&source);
        let (source, target) = (&source.client(context.clone()), &target.client(context));
        let cx = Context {
            source,
            target: Some(target),
            options: options.step_options(),
            observer: &record,
            journal: &*options.journal,
        };
        work(Job { plan, target, shared: &Shared::default(), lost: LostAuthorizations::default(), cx }).await
    };
    let result = result.await;
    recorder.finish(result)
}

/// The recorder of a copy that begins now.
pub(super) fn recorder(plan: &Plan) -> Recorder {
    let options = &plan.options;
    Recorder::new(plan.kind, &options.source).to(&options.target).with(|report| {
        report.source_model_id = Some(plan.model_id.clone());
        report.api_version = options.api_version;
    })
}

/// The call context of a command that begins now and reports its retries as events.
pub(super) fn call_context<'a>(
    timeout: std::time::Duration,
    observer: Observer<'a>,
    cancel: &'a CancellationToken,
) -> CallContext<'a> {
    CallContext::new(timeout, cancel, |error, wait| observer(Event::Retrying { error, wait }))
}

impl Job<'_> {
    /// Finishes what other runs have left open, and makes the copy where that did not. The source model may be known
    /// already.
    pub(super) async fn run(&self, found: Option<SourceModel>) -> Result<Done, Error> {
        let mut found = found;
        let done = loop {
            let (of_source, lost) = match self.finish_open(found).await? {
                Rest::Nothing(done) => break done,
                Rest::Copy { found, lost } => (found.map(|found| *found), lost),
            };
            found = of_source.clone();
            if let Some(done) = (Self { lost, ..*self }).begin(of_source).await? {
                break done;
            }
        };
        // The verification was the last read of the target.
        Ok(done.at(self.cx.source.service_time(), self.target.service_time()))
    }

    /// Preflight, decide, then transfer or replace. None where another process has left the same copy open meanwhile.
    async fn begin(&self, found: Option<SourceModel>) -> Result<Option<Done>, Error> {
        Ok(match self.until_given_up(Box::pin(self.prepare(found))).await?.0 {
            Action::Copy(preflight) => self.copy(*preflight).await?,
            Action::Replace(replacement) => self.replace(&replacement).await?,
            Action::Nothing(id) => Some(Done::already_there(id)),
        })
    }

    /// Copies to an id that seemed free. With `replace`, another model that the target has there after all is replaced.
    async fn copy(&self, Preflight { source, target }: Preflight) -> Result<Option<Done>, Error> {
        let conflict = match copy_to(self, &source, &target).await {
            Ok(Some(copied)) => {
                Box::pin(self.check_training(&source, &copied)).await;
                return Ok(Some(Done::with_copy(Outcome::Copied, copied)));
            }
            Ok(None) => return Ok(None),
            Err(error) if error.is_conflict() && self.plan.options.if_exists == IfExists::Replace => error,
            Err(error) => return Err(error),
        };
        let Some(id) = target.id() else { return Err(conflict) };
        let target = match self.look_up_target_for(&source, id).await? {
            TargetId::Taken(model) if model.readiness == Readiness::Ready => TargetId::Taken(model),
            _ => return Err(conflict),
        };
        match self.decide(Preflight { source, target }).await? {
            Action::Replace(replacement) => self.replace(&replacement).await,
            Action::Nothing(id) => Ok(Some(Done::already_there(id))),
            Action::Copy(_) => Err(conflict),
        }
    }

    /// Preflight and decide, by reads only.
    pub(super) async fn plan_only(&self, found: Option<SourceModel>) -> Result<(Done, SourceModel), Error> {
        let (action, source) = self.until_given_up(Box::pin(self.prepare(found))).await?;
        let new_id = Some(self.plan.new_model_id().clone());
        let is_offered = matches!(&action, Action::Copy(preflight) if preflight.target_offers_version());
        let (outcome, target_model_id) = match action {
            Action::Nothing(id) => (Outcome::AlreadyThere, Some(id)),
            Action::Copy(preflight) => (Outcome::WouldCopy, preflight.target.id().cloned()),
            Action::Replace(replacement) if replacement.only_cleans_up() => (Outcome::AlreadyThere, new_id),
            Action::Replace(_) => (Outcome::WouldReplace, new_id),
        };
        if matches!(outcome, Outcome::WouldCopy | Outcome::WouldReplace) && !is_offered {
            self.check_target_offers(&source).await?;
        }
        if let (Outcome::WouldCopy, Some(id)) = (outcome, &target_model_id) {
            check_not_running(self, &source, id).await?;
        }
        Ok((Done::unverified(outcome, target_model_id), source))
    }

    async fn prepare(&self, found: Option<SourceModel>) -> Result<(Action, SourceModel), Error> {
        self.cx.emit(Event::Preflight);
        let preflight = match found {
            Some(found) => self.preflight_of(found).await?,
            None => self.preflight().await?,
        };
        let preflight = self.with_source_model(preflight).await?;
        let Preflight { source, .. } = &preflight;
        let SourceModel { version, kind, shown_by, ref model, .. } = *source;
        self.cx.emit(Event::Found { version, kind, shown_by, model: model.as_ref() });
        // The version may be known only now, and what it cannot do is refused before anything is reserved.
        self.plan.check_with(version, kind, model.as_ref())?;
        let source = source.clone();
        Ok((self.decide(preflight).await?, source))
    }

    /// Checks that the target has room for one more model: the copy, or in a replacement the staging copy.
    async fn check_capacity(&self, outcome: Outcome, source: &SourceModel) -> Result<(), Error> {
        let is_new = matches!(outcome, Outcome::WouldCopy | Outcome::WouldReplace);
        if !is_new || source.kind != Kind::Model {
            return Ok(());
        }
        match inventory::capacity(self.target, source.version).await {
            Ok(capacity) => {
                self.cx.emit(Event::Capacity(capacity));
                inventory::shortage(capacity, 1).map_or(Ok(()), Err)
            }
            Err(error) if error.is_inconclusive() => {
                self.cx.emit_inconclusive(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
