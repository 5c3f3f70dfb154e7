//! Polls an operation until its status is terminal.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::context::Context;
use super::event::Event;
use crate::api::version::ApiVersion;
use crate::api::{Response, service_error};
use crate::backoff::{backoff, jitter};
use crate::client::retry::with_requested_wait;
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::label::Label;
use crate::operation::{Operation, OperationStatus, OperationUrl};
use crate::text::UntrustedText;

/// How often a source must say that there is no such operation, or that it is no copy, before that is believed.
pub(super) const NOT_FOUND_BELIEVED_AFTER: u32 = 3;
/// No pause is longer, so that sums of times do not overflow.
const MAX_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
pub(super) const ASK_SUPPORT: &str =
    "run the command again, and give the request id to Azure support if the copy fails again";

/// The result of a copy operation.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The operation has a terminal status.
    Terminal {
        operation: Operation,
        /// The service's id of the poll that showed it.
        request_id: Option<UntrustedText>,
    },
    /// The operation is not known, but the target shows the copy, ready.
    Ready,
    /// There is no verdict. The copy goes on.
    Open(Error),
}

/// What is polled.
pub(super) struct Polling<'a> {
    version: ApiVersion,
    operation: &'a OperationUrl,
    /// Whether this run has seen the source accept the copy. Then neither is believed.
    accepted: bool,
}

impl<'a> Polling<'a> {
    /// An operation that this run has seen: its start was accepted, or it stood in the source's list.
    pub(super) fn accepted(version: ApiVersion, operation: &'a OperationUrl) -> Self {
        Self { version, operation, accepted: true }
    }

    /// An operation that is only known from its URL.
    pub(super) fn from_url(version: ApiVersion, operation: &'a OperationUrl) -> Self {
        Self { version, operation, accepted: false }
    }
}

/// Polls an operation on the source until its status is terminal, the deadline passes, or the command is cancelled.
pub(super) async fn poll(cx: &Context<'_>, polling: &Polling<'_>) -> Verdict {
    let call = polling.version.wire().operation(polling.operation);
    let on_answer = |answer: &Result<Response<Operation>, Error>| match answer {
        Ok(Response { value, request_id, .. }) => {
            cx.emit(Event::Polled { status: &value.status, request_id: request_id.as_ref() });
        }
        Err(error) => cx.emit(Event::PollFailed(error)),
    };
    let mut not_found = 0;
    let is_final = |error: &Error| {
        not_found = if error.is_no_such_operation() || error.is_not_a_copy() { not_found + 1 } else { 0 };
        error.kind() == ErrorKind::Credentials || (!polling.accepted && not_found >= NOT_FOUND_BELIEVED_AFTER)
    };
    let schedule = PollSchedule { interval: cx.options.poll_interval, deadline: cx.source.deadline() };
    let polls = poll_until_terminal(
        schedule,
        async || cx.source.send_once(&call, RetryPolicy::ONCE).await,
        is_final,
        on_answer,
    );
    match cx.source.interruptible(polls).await.and_then(|result| result) {
        Ok(Response { value, request_id, .. }) => Verdict::Terminal { operation: value, request_id },
        Err(error) if error.kind() == ErrorKind::UnderWay && !cx.source.has_answered() => {
            let what = format!("no poll got an answer from {}; the copy may be running", cx.source.label());
            Verdict::Open(unanswered(error, what))
        }
        Err(error) => Verdict::Open(continues(error, cx.source.label())),
    }
}

/// When to poll.
#[derive(Debug, Clone, Copy)]
pub(super) struct PollSchedule {
    /// Delay between status polls. The service recommends one second.
    pub(super) interval: Duration,
    /// When to stop. The last poll is sent then.
    pub(super) deadline: Instant,
}

/// Polls immediately, then once per interval, until the status is terminal.
///
/// A failed poll is not a verdict; polling continues with backoff. It ends early only on a final error (`is_final`), an
/// exhausted call volume, or a `Retry-After` beyond the deadline.
///
/// # Errors
/// The final error, or [`ErrorKind::UnderWay`]. The copy continues on the service.
pub(super) async fn poll_until_terminal(
    schedule: PollSchedule,
    mut send: impl AsyncFnMut() -> Result<Response<Operation>, Error>,
    mut is_final: impl FnMut(&Error) -> bool,
    mut on_answer: impl FnMut(&Result<Response<Operation>, Error>),
) -> Result<Response<Operation>, Error> {
    let mut failures = 0;
    loop {
        let request_time = Instant::now();
        let answer = send().await;
        let next = match &answer {
            Ok(operation) => {
                failures = 0;
                // The interval counts from request to request.
                let next = (request_time + schedule.interval.min(MAX_PAUSE)).max(Instant::now());
                if operation.value.status.is_terminal() {
                    on_answer(&answer);
                    return answer;
                }
                next
            }
            Err(error) if is_final(error) => return answer,
            Err(error) => {
                failures += 1;
                // A Retry-After counts from the answer.
                Instant::now() + pause_after(error, failures, schedule.interval)
            }
        };
        let error = answer.as_ref().err();
        let told = error.and_then(Error::retry_after);
        let waits_too_long = told.is_some_and(|told| Instant::now() + told > schedule.deadline);
        let is_out_of_quota = error.is_some_and(|error| matches!(error.delivery(), Delivery::OutOfQuota { .. }));
        let is_over = Instant::now() >= schedule.deadline;
        if is_over || waits_too_long || is_out_of_quota {
            return Err(no_verdict(answer, (waits_too_long && !is_over) || is_out_of_quota));
        }
        on_answer(&answer);
        sleep_until(next.min(schedule.deadline)).await;
    }
}

fn pause_after(error: &Error, failures: u32, interval: Duration) -> Duration {
    // A service that says how long to wait is asked again then, not after a growing backoff.
    let pause = error.retry_after().unwrap_or_else(|| backoff(failures, jitter()));
    interval.max(pause).min(MAX_PAUSE)
}

fn no_verdict(last: Result<Response<Operation>, Error>, is_blocked: bool) -> Error {
    let error = match last {
        Ok(Response { value, .. }) => {
            let what = format!("the copy was still running when the deadline passed (status {})", value.status);
            Error::new(ErrorKind::UnderWay, what)
        }
        Err(error) if is_blocked => {
            Error::new(ErrorKind::UnderWay, "the copy is running, and its operation cannot be polled any longer")
                .with_source(with_requested_wait(error))
        }
        Err(error) => {
            Error::new(ErrorKind::UnderWay, "the copy was still running when the deadline passed").with_source(error)
        }
    };
    error.with_remedy("poll the operation with frcopy wait before you copy again")
}

/// Says that no poll got an answer, and what helps: the resource may be another one.
pub(super) fn unanswered(error: Error, what: String) -> Error {
    let causes = error.causes().filter_map(|cause| cause.downcast_ref::<Error>());
    let remedy = causes.filter_map(Error::remedy).map(str::to_owned).next();
    let error = error.with_message(what);
    match remedy {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

/// Says that an accepted copy goes on without this command.
pub(super) fn continues(error: Error, source: &Label) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => error.with_message("interrupted; the copy continues on the service"),
        ErrorKind::NotFound => error
            .with_message(format!("{source} has no such operation"))
            .with_remedy("look for the model in the target resource: operations are kept for 24 hours"),
        _ => error,
    }
}

/// The error of an operation that did not succeed.
pub(super) fn failure(cx: &Context<'_>, operation: Operation) -> Option<Error> {
    let (kind, what) = match operation.status {
        OperationStatus::Succeeded => return None,
        OperationStatus::Canceled => (ErrorKind::Canceled, "the service canceled the copy"),
        OperationStatus::Skipped => (ErrorKind::Skipped, "the service skipped the copy"),
        _ => (ErrorKind::Failed, "the copy failed"),
    };
    let remedy = operation
        .error
        .as_ref()
        .and_then(|said| service_error::remedy(said, cx.source.label(), cx.target.map(Client::label)));
    let error = Error::new(kind, what).with_remedy(remedy.unwrap_or_else(|| ASK_SUPPORT.to_owned()));
    Some(match operation.error {
        Some(said) => error.with_source(said),
        None => error.with_source("the service gives no reason"),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;
    use crate::error::Finding;

    #[expect(clippy::unnecessary_wraps, reason = "stands in scripts beside answers that are errors")]
    fn operation(status: &str) -> Result<Response<Operation>, Error> {
        let status = OperationStatus::new(&status.into());
        let value = Operation { status, error: None, target_model_id: None, target_location: None, kind: None };
        Ok(Response { value, request_id: None, date: None, region: None })
    }

    fn failed(delivery: Delivery) -> Result<Response<Operation>, Error> {
        Err(Error::new(ErrorKind::Unavailable, "failed").with_delivery(delivery))
    }

    fn throttled(seconds: u64) -> Result<Response<Operation>, Error> {
        failed(Delivery::Throttled { retry_after: Some(Duration::from_secs(seconds)) })
    }

    /// Polls with the answers of a script, the last of which repeats, and returns the result and when it was sent.
    async fn poll(
        deadline: u64,
        script: impl IntoIterator<Item = Result<Response<Operation>, Error>>,
    ) -> (Result<Response<Operation>, Error>, Vec<f64>) {
        let began = Instant::now();
        let schedule =
            PollSchedule { interval: Duration::from_secs(1), deadline: began + Duration::from_secs(deadline) };
        let script = RefCell::new(script.into_iter().collect::<VecDeque<_>>());
        let sent = RefCell::new(Vec::new());
        let request = async || {
            sent.borrow_mut().push(began.elapsed().as_secs_f64());
            script.borrow_mut().pop_front().unwrap_or_else(|| operation("running"))
        };
        let result =
            poll_until_terminal(schedule, request, |error| error.kind() == ErrorKind::Credentials, |_| {}).await;
        (result, sent.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_poll_is_immediate_and_then_one_each_second() {
        let script = ["notStarted", "running", "running", "succeeded"].map(operation);
        let (result, sent) = poll(1800, script).await;
        assert_eq!(result.unwrap().value.status, OperationStatus::Succeeded);
        assert_eq!(sent, [0.0, 1.0, 2.0, 3.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_interval_counts_from_request_to_request() {
        let began = Instant::now();
        let schedule = PollSchedule { interval: Duration::from_secs(1), deadline: began + Duration::from_secs(60) };
        let sent = RefCell::new(Vec::new());
        let slow = async || {
            sent.borrow_mut().push(began.elapsed().as_millis());
            tokio::time::sleep(Duration::from_millis(400)).await;
            operation(if sent.borrow().len() == 3 { "failed" } else { "running" })
        };
        poll_until_terminal(schedule, slow, |_| false, |_| {}).await.unwrap();
        assert_eq!(sent.into_inner(), [0, 1000, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_poll_is_not_a_verdict() {
        let script = [
            failed(Delivery::Unanswered),
            failed(Delivery::NotSent),
            failed(Delivery::Final(Finding::Inconclusive)),
            throttled(5),
            operation("completed"),
            operation("canceled"),
        ];
        let (result, sent) = poll(1800, script).await;
        assert_eq!(result.unwrap().value.status, OperationStatus::Canceled);
        // A millisecond less than said: differences of such numbers are not exact.
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] > 0.999), "{sent:?}");
        assert!(sent[4] - sent[3] > 4.999, "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_poll_is_sent_at_the_deadline() {
        let (result, sent) = poll(1800, []).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnderWay);
        assert!(error.to_string().contains("running"));
        assert_eq!(sent.len(), 1801);
        assert_eq!(sent.last(), Some(&1800.0));
    }

    #[tokio::test(start_paused = true)]
    async fn half_an_hour_of_failures_is_polled_through_with_backoff() {
        let (result, sent) = poll(1800, (0..500).map(|_| failed(Delivery::Unanswered))).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::UnderWay);
        assert!((60..200).contains(&sent.len()), "{}", sent.len());
        assert_eq!(sent.last(), Some(&1800.0), "the backoff does not end it before the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_beyond_the_deadline_ends_polling_at_once() {
        let began = Instant::now();
        let (result, _) = poll(60, [throttled(61)]).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnderWay);
        assert!(error.causes().next().unwrap().to_string().contains("asks to wait 61 s"));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_asks_to_wait_a_second_is_polled_each_second_until_the_deadline() {
        let (result, sent) = poll(60, (0..100).map(|_| throttled(1))).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), sent.len()), (ErrorKind::UnderWay, 61));
        let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
        assert!(!format!("{error} {causes:?}").contains("asks to wait"), "{error} {causes:?}");
        let busy = || failed(Delivery::Busy { retry_after: Some(Duration::from_secs(1)) });
        let (result, _) = poll(60, (0..59).map(|_| busy()).chain([operation("succeeded")])).await;
        assert_eq!(result.unwrap().value.status, OperationStatus::Succeeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_name_that_cannot_be_resolved_for_a_while_ends_no_poll() {
        let failures = (0..5).map(|_| failed(Delivery::WrongHost));
        let (result, _) = poll(1800, failures.chain([operation("succeeded")])).await;
        assert_eq!(result.unwrap().value.status, OperationStatus::Succeeded);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_and_an_exhausted_volume_end_polling_at_once() {
        let refused = Err(Error::new(ErrorKind::Credentials, "401"));
        assert_eq!(poll(60, [refused]).await.0.unwrap_err().kind(), ErrorKind::Credentials);
        let (result, sent) = poll(60, [failed(Delivery::OutOfQuota { retry_after: None })]).await;
        assert_eq!((result.unwrap_err().kind(), sent.len()), (ErrorKind::UnderWay, 1));
    }
}
