//! Following a copy that is already under way, from nothing but its operation's URL.

use std::time::Duration;

use super::poll::{Pursuit, has_ended};
use super::release::release;
use super::{Connect, Event, Observer, Outcome, Report, context};
use crate::api;
use crate::client::{Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::model::Kind;
use crate::operation::OperationUrl;
use crate::resource::Resource;
use tokio_util::sync::CancellationToken;

/// A copy that is under way, and who may be asked about it.
#[derive(Debug, Clone)]
pub struct WaitPlan {
    /// The resource that copies.
    pub source: Resource,
    /// The resource that receives the copy; without it nothing is verified and nothing given back.
    pub target: Option<Resource>,
    /// Where the copy is followed, on the source.
    pub operation: OperationUrl,
    /// Looks at the target before the copy is said to be there.
    pub verify: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// From one question for the status to the next.
    pub poll_interval: Duration,
}

/// Follows a copy to its verdict, until the end or until told to stop.
pub async fn wait(plan: &WaitPlan, observer: Observer<'_>, cancel: &CancellationToken) -> Report {
    wait_over(plan, observer, cancel, &Connection::http).await
}

pub(super) async fn wait_over<'a>(
    plan: &'a WaitPlan,
    observer: Observer<'a>,
    cancel: &'a CancellationToken,
    connect: Connect<'a>,
) -> Report {
    let target = plan.target.as_ref().map(|target| &target.endpoint);
    let mut report = Report::new(Kind::Model, &plan.source.endpoint, target);
    report.operation = Some(plan.operation.clone());
    report.source_model_id = plan.operation.source_model_id();
    let result = resume(plan, observer, cancel, connect, &mut report).await;
    report.outcome(result.map(|()| Outcome::Copied))
}

async fn resume<'a>(
    plan: &'a WaitPlan,
    observer: Observer<'a>,
    cancel: &'a CancellationToken,
    connect: Connect<'a>,
    report: &mut Report,
) -> Result<(), Error> {
    let version = api::version_of_operation(&plan.operation).ok_or_else(|| {
        Error::settings(
            "the URL names no copy operation",
            "give the URL that frcopy printed, with /copyresults/ or /operations/ in it",
        )
    })?;
    report.api_version = Some(version);
    let context = context(plan.timeout, observer, cancel);
    let source = connect(&plan.source)?;
    let target = plan.target.as_ref().map(|target| Ok(connect(target)?.beside(&source))).transpose()?;
    let target = target.map(|target| target.client(context.clone()));
    let source = source.client(context);
    let deadline = source.deadline();
    let (source, poll_interval) = (&source, plan.poll_interval);
    let pursuit = Pursuit { version, source, observer, poll_interval, deadline, accepted: false };
    let followed = pursuit.follow(&plan.operation, report).await;
    let Some(target) = target else { return followed.map(drop) };
    finish(plan, &pursuit, followed.map(drop), &target, report).await
}

/// With the target at hand: a success is verified, and the blank model of a failure is given back.
async fn finish(
    plan: &WaitPlan,
    pursuit: &Pursuit<'_, '_>,
    followed: Result<(), Error>,
    target: &Client<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let Pursuit { version, observer, .. } = *pursuit;
    let Some(id) = report.target_model_id.clone() else {
        if followed.is_ok() && plan.verify {
            let error = Error::new(ErrorKind::Unforeseen, "the operation does not name the copy");
            observer(Event::NotVerified { error: &error });
        }
        return followed;
    };
    let ending = async {
        followed?;
        if plan.verify {
            report.verified = pursuit.verify(target, report.kind, &id).await?;
        }
        Ok(())
    };
    let ending = ending.await;
    // v2.1 gave the copy an id of its own; later, the id may have been reserved anew by somebody else.
    if ending.as_ref().is_err_and(has_ended) && !version.has_document_models() {
        release(target, observer, version, report.kind, &id).await;
    }
    ending
}
