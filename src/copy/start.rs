//! The second call: the source starts the copy. Where its answer is lost, the effect is looked for.

use std::time::Duration;

use super::authorize::Authorized;
use super::context::Context;
use super::event::Event;
use super::operations::find_operation;
use crate::api::ListedCopy;
use crate::client::RetryPolicy;
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{ModelId, Readiness};
use crate::operation::OperationUrl;

/// Dates in a list have whole seconds.
const DATE_ROUNDING: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// The result of a start.
pub(super) enum Start {
    /// The source has accepted it.
    Accepted(OperationUrl),
    /// The target already shows the copy, ready.
    Ready,
    /// The service did not accept it.
    Refused(Error),
    /// It is not known whether the service accepted it.
    Unknown(Error),
}

/// Sends the start request.
pub(super) async fn start(cx: &Context<'_>, source_id: &ModelId, authorized: Authorized<'_>) -> Start {
    if let Err(error) = cx.source.check_may_mutate() {
        return Start::Refused(error);
    }
    let Authorized { version, copy, authorization, .. } = &authorized;
    let mut call = version.wire().start(source_id, copy, authorization, cx.source.endpoint());
    if cx.options.allow_degrade {
        let request = call.request.clone().allowing_degrade();
        call = call.with_request(request);
    }
    let error = match cx.source.send(&call, RetryPolicy::START).await {
        Ok(response) => {
            cx.emit(Event::Started { operation: &response.value, request_id: response.request_id.as_ref() });
            return Start::Accepted(response.value);
        }
        Err(error) => error,
    };
    // A conflict may be about the copy itself, whose first request was repeated by a proxy.
    if !error.is_ambiguous() && !error.is_conflict() {
        return Start::Refused(error);
    }
    match recover(cx, &authorized, &error).await {
        Recovery::Found(operation) => {
            cx.emit(Event::Started { operation: &operation, request_id: None });
            Start::Accepted(operation)
        }
        Recovery::Ready => Start::Ready,
        Recovery::NotStarted if error.is_conflict() => Start::Refused(error),
        Recovery::NotStarted => Start::Refused(not_started(error)),
        Recovery::Unknown => Start::Unknown(unknown_start(cx, error, &authorized)),
    }
}

/// What became of a start request without an answer.
enum Recovery {
    /// It was accepted; this is its operation.
    Found(OperationUrl),
    /// It was accepted, and the target shows the copy, ready.
    Ready,
    /// It was not accepted, as far as the service shows.
    NotStarted,
    /// The service could not be read.
    Unknown,
}

/// Looks several times, with growing pauses, for the effect of a start request without an answer.
async fn recover(cx: &Context<'_>, authorized: &Authorized<'_>, error: &Error) -> Recovery {
    cx.emit(Event::RecoveringStart { error });
    // A source that lists its operations shows an accepted one soon. Otherwise the copy shows only when it is ready.
    let pauses: &[u32] = if authorized.version.wire().lists_operations() { &[1, 2, 4] } else { &[1, 2, 4, 8, 15, 30] };
    let unit = cx.options.poll_interval.min(Duration::from_secs(1));
    let mut pauses = pauses.iter().map(|pause| unit * *pause);
    loop {
        let found = look_for_copy(cx, authorized).await;
        if matches!(found, Ok(Recovery::Found(_) | Recovery::Ready | Recovery::Unknown)) {
            return found.unwrap_or(Recovery::Unknown);
        }
        // Cancelled while looking: nothing is proved.
        let is_over = cx.source.is_cancelled() || cx.source.is_past_deadline();
        match (pauses.next(), found) {
            _ if is_over => return Recovery::Unknown,
            (Some(pause), _) => drop(cx.source.pause(pause).await),
            (None, Ok(not_started)) => return not_started,
            (None, Err(error)) => {
                cx.emit_inconclusive(&error);
                return Recovery::Unknown;
            }
        }
    }
}

/// Looks once: at the source's operations, then at the target.
async fn look_for_copy(cx: &Context<'_>, authorized: &Authorized<'_>) -> Result<Recovery, Error> {
    let Authorized { version, copy, authorization, .. } = authorized;
    let since = authorization.issued - DATE_ROUNDING;
    // Another command may copy a model of the same id to another target at the same time.
    let has_location = |listed: &ListedCopy| {
        let location = authorization.target_location.as_ref();
        location.is_none_or(|location| *location == listed.target_location)
    };
    // A copy with another location is verified on the target in the end, where the target can be read.
    let is_ours = |listed: &ListedCopy| {
        let has_id = listed.target_model_id == authorization.target_model_id && listed.created >= since;
        has_id && (cx.target.is_some() || has_location(listed))
    };
    let listed = match find_operation(cx.source, *version, copy.kind, is_ours, has_location).await {
        Ok(Some(operation)) => return Ok(Recovery::Found(operation)),
        Ok(None) => Ok(Recovery::NotStarted),
        Err(error) => Err(error),
    };
    let Some(target) = cx.target else {
        return match listed {
            // Only the target could tell.
            Ok(_) if !version.wire().lists_operations() => Ok(Recovery::Unknown),
            listed => listed,
        };
    };
    match target.read(&version.wire().model(copy.kind, &authorization.target_model_id)).await {
        Ok(model) if model.readiness == Readiness::Ready => Ok(Recovery::Ready),
        Ok(_) => listed,
        Err(error) if error.is_no_such_model() => listed,
        Err(error) => Err(error),
    }
}

fn not_started(error: Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the source has not started the copy")
        .with_delivery(Delivery::NotProcessed)
        .with_source(error)
        .with_remedy("run the command again in a few minutes")
}

fn unknown_start(cx: &Context<'_>, error: Error, authorized: &Authorized<'_>) -> Error {
    let id = &authorized.authorization.target_model_id;
    let kind = if cx.source.is_cancelled() { ErrorKind::Interrupted } else { ErrorKind::Unforeseen };
    Error::new(kind, "the start request got no answer; the copy may be running")
        .with_delivery(Delivery::Unanswered)
        .with_source(error)
        .with_remedy(format!("look for {id} in the target resource before you run the command again"))
}
