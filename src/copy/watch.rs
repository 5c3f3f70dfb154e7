//! Watches the target for a copy whose operation is not known: its start request got no answer.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::event::{Event, Observer};
use super::poll::{NOT_FOUND_BELIEVED_AFTER, PollSchedule, poll_until_terminal, unanswered};
use super::report::{Done, Outcome, Recorder, Report};
use super::run::call_context;
use super::verify::invalid;
use super::watch_command::command;
use crate::api::Response;
use crate::api::version::ApiVersion;
use crate::client::{Client, Connection, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::operation::{Operation, OperationStatus};
use crate::resource::Resource;

/// A model on the target that a copy may be making.
#[derive(Debug, Clone)]
pub(crate) struct WatchPlan {
    /// The target resource.
    pub target: Resource,
    /// The version that the copy was started with.
    pub api_version: ApiVersion,
    /// A model or a classifier.
    pub kind: Kind,
    /// The id of the copy.
    pub target_model_id: ModelId,
    /// For the whole command.
    pub timeout: Duration,
    /// Delay between two reads of the target.
    pub poll_interval: Duration,
}

/// Reads the target until it shows the model ready or invalid, the deadline passes, or the command is cancelled. The
/// source is not asked.
pub(crate) async fn watch(plan: &WatchPlan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    let recorder = Recorder::new(plan.kind, None).to(&plan.target).with(|report| {
        report.api_version = Some(plan.api_version);
        report.target_model_id = Some(plan.target_model_id.clone());
    });
    let record = |event: Event<'_>| {
        recorder.record(&event);
        observer(event);
    };
    let result = async {
        let context = call_context(plan.timeout, &record, cancel);
        let target = Connection::http(&plan.target)?.client(context);
        plan.wait_until_ready(&target, &record).await
    };
    let result = result.await.map(|()| Done::shown(Outcome::Copied, plan.target_model_id.clone()));
    recorder.finish(result)
}

impl WatchPlan {
    async fn wait_until_ready(&self, target: &Client<'_>, observer: Observer<'_>) -> Result<(), Error> {
        let on_answer = |answer: &Result<Response<Operation>, Error>| match answer {
            Ok(Response { value, request_id, .. }) => {
                observer(Event::Polled { status: &value.status, request_id: request_id.as_ref() });
            }
            Err(error) => observer(Event::PollFailed(error)),
        };
        let mut not_found = 0;
        let is_final = |error: &Error| {
            not_found = if error.is_no_such_model() { not_found + 1 } else { 0 };
            error.kind() == ErrorKind::Credentials || not_found >= NOT_FOUND_BELIEVED_AFTER
        };
        let schedule = PollSchedule { interval: self.poll_interval, deadline: target.deadline() };
        let polls = poll_until_terminal(schedule, async || self.read(target).await, is_final, on_answer);
        let Response { value, request_id, .. } = target
            .interruptible(polls)
            .await
            .and_then(|result| result)
            .map_err(|error| self.no_verdict(target, error))?;
        if value.status == OperationStatus::Succeeded {
            return Ok(());
        }
        Err(invalid(target, &self.target_model_id).with_request_id(request_id))
    }

    /// Reads the model once, as the status of its copy.
    async fn read(&self, target: &Client<'_>) -> Result<Response<Operation>, Error> {
        let wire = self.api_version.wire();
        match target.send_once(&wire.model(self.kind, &self.target_model_id), RetryPolicy::ONCE).await {
            Ok(answer) => Ok(answer.map(|model| self.operation(status_of(model)))),
            // The id is not shown before the copy is ready. Where the service chooses the ids, a blank model is shown from
            // the authorization on: without one, no copy can be running.
            Err(error) if error.is_no_such_model() && !wire.service_names_the_copy() => {
                Ok(Response::without_headers(self.operation(OperationStatus::NotStarted)))
            }
            Err(error) => Err(error),
        }
    }

    fn operation(&self, status: OperationStatus) -> Operation {
        let target_model_id = Some(self.target_model_id.clone());
        Operation { status, error: None, target_model_id, target_location: None, kind: Some(self.kind) }
    }

    fn no_verdict(&self, client: &Client<'_>, error: Error) -> Error {
        let (kind, id, target) = (self.kind, &self.target_model_id, &self.target.label);
        match error.kind() {
            ErrorKind::UnderWay if !client.has_answered() => {
                unanswered(error, format!("no read got an answer from {target}; the copy may be running"))
            }
            // Like a start whose answer was lost.
            ErrorKind::Interrupted => error
                .with_message("interrupted; the copy may be running")
                .with_delivery(Delivery::Unanswered)
                .with_remedy(format!("wait for it: {}", command(self.api_version, kind, id, Some(target)))),
            ErrorKind::UnderWay => error
                .with_message(format!("{target} did not show the {kind} {id} ready before the deadline"))
                .with_remedy(
                    "run the same command again; a copy that the target does not show when its authorization has expired \
                     (one hour, in v2.1 a day) was not started",
                ),
            ErrorKind::NotFound => error
                .with_message(format!("{target} has no {kind} {id} of API {}", self.api_version))
                .with_remedy("the copy is not running: run the copy command again"),
            _ => error,
        }
    }
}

fn status_of(model: Model) -> OperationStatus {
    match model.readiness {
        Readiness::Ready => OperationStatus::Succeeded,
        Readiness::Invalid => OperationStatus::Failed,
        Readiness::Creating => OperationStatus::Running,
        Readiness::Unknown(status) => OperationStatus::Unknown(status),
    }
}
