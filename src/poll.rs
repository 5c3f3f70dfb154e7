//! Asks how far an operation is until it has ended, under a deadline. It takes a closure, not a client.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::backoff::{backoff, jitter};
use crate::client::retry::out_of_patience;
use crate::error::{Delivery, Error, ErrorKind};
use crate::operation::Operation;

/// When to ask, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// From one question to the next. The service's advice is one second.
    pub interval: Duration,
    /// When to stop asking. The last question is asked then.
    pub deadline: Instant,
}

/// Asks at once, then once per interval, until the operation has a terminal status.
///
/// A question that fails says nothing of the copy, and asking goes on, more slowly: only an error that is final for the
/// caller, a used-up volume, the deadline and a `Retry-After` past it end the polling without a verdict. `seen` is told of every answer
/// that is not the last one.
///
/// # Errors
/// The final one as it came, or [`ErrorKind::UnderWay`]; the copy goes on in either case.
pub async fn until_done(
    schedule: Schedule,
    mut ask: impl AsyncFnMut() -> Result<Operation, Error>,
    mut is_final: impl FnMut(&Error) -> bool,
    mut seen: impl FnMut(&Result<Operation, Error>),
) -> Result<Operation, Error> {
    let mut failures = 0;
    loop {
        let asked = Instant::now();
        let answer = ask().await;
        let pause = match &answer {
            Ok(operation) if operation.status.is_terminal() => return answer,
            Ok(_) => {
                failures = 0;
                schedule.interval.min(LONGEST_PAUSE)
            }
            Err(error) if is_final(error) => return answer,
            Err(error) => {
                failures += 1;
                pause_after(error, failures, schedule.interval)
            }
        };
        let now = Instant::now();
        let next = match &answer {
            // Told how long to wait: from now on. Otherwise the interval counts from question to question.
            Err(_) => now + pause,
            Ok(_) => (asked + pause).max(now),
        };
        let told_too_much = next > schedule.deadline && told_to_wait(&answer);
        if now >= schedule.deadline || told_too_much || is_out_of_quota(&answer) {
            return Err(still_under_way(answer, told_too_much));
        }
        seen(&answer);
        sleep_until(next.min(schedule.deadline)).await;
    }
}

/// No pause is longer, so that no sum of a time and a pause overflows.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn pause_after(error: &Error, failures: u32, interval: Duration) -> Duration {
    let told = match error.delivery() {
        Delivery::Throttled { retry_after } => retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    interval.max(backoff(failures, jitter())).max(told).min(LONGEST_PAUSE)
}

fn told_to_wait(answer: &Result<Operation, Error>) -> bool {
    let delivery = answer.as_ref().err().map(Error::delivery);
    matches!(delivery, Some(Delivery::Throttled { retry_after: Some(_) }))
}

fn is_out_of_quota(answer: &Result<Operation, Error>) -> bool {
    matches!(answer.as_ref().err().map(Error::delivery), Some(Delivery::OutOfQuota { .. }))
}

fn still_under_way(last: Result<Operation, Error>, told_too_much: bool) -> Error {
    let error = match last {
        Ok(operation) => {
            let what = format!("the copy was still under way when the time was up (status {})", operation.status);
            Error::new(ErrorKind::UnderWay, what)
        }
        Err(error) if told_too_much || matches!(error.delivery(), Delivery::OutOfQuota { .. }) => {
            Error::new(ErrorKind::UnderWay, "the copy is under way and cannot be followed any longer")
                .with_source(out_of_patience(error))
        }
        Err(error) => {
            Error::new(ErrorKind::UnderWay, "the copy was still under way when the time was up").with_source(error)
        }
    };
    error.with_remedy("follow the operation with frcopy wait before you copy again")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;
    use crate::operation::OperationStatus;

    #[expect(clippy::unnecessary_wraps, reason = "stands in scripts beside answers that are errors")]
    fn operation(status: &str) -> Result<Operation, Error> {
        Ok(Operation { status: status.into(), error: None, target_model_id: None, kind: None })
    }

    fn trouble(delivery: Delivery) -> Result<Operation, Error> {
        Err(Error::new(ErrorKind::Unavailable, "trouble").with_delivery(delivery))
    }

    fn throttled(seconds: u64) -> Result<Operation, Error> {
        trouble(Delivery::Throttled { retry_after: Some(Duration::from_secs(seconds)) })
    }

    /// Polls with the answers of a script, the last of which repeats, and returns the ending and when it was asked.
    async fn poll(
        deadline: u64,
        script: impl IntoIterator<Item = Result<Operation, Error>>,
    ) -> (Result<Operation, Error>, Vec<f64>) {
        let began = Instant::now();
        let schedule = Schedule { interval: Duration::from_secs(1), deadline: began + Duration::from_secs(deadline) };
        let script = RefCell::new(script.into_iter().collect::<VecDeque<_>>());
        let asked = RefCell::new(Vec::new());
        let ask = async || {
            asked.borrow_mut().push(began.elapsed().as_secs_f64());
            script.borrow_mut().pop_front().unwrap_or_else(|| operation("running"))
        };
        let ending = until_done(schedule, ask, |error| error.kind() == ErrorKind::Credentials, |_| {}).await;
        (ending, asked.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_question_is_asked_at_once_and_then_one_each_second() {
        let script = ["notStarted", "running", "running", "succeeded"].map(operation);
        let (ending, asked) = poll(1800, script).await;
        assert_eq!(ending.unwrap().status, OperationStatus::Succeeded);
        assert_eq!(asked, [0.0, 1.0, 2.0, 3.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_interval_counts_from_question_to_question() {
        let began = Instant::now();
        let schedule = Schedule { interval: Duration::from_secs(1), deadline: began + Duration::from_secs(60) };
        let asked = RefCell::new(Vec::new());
        let slow = async || {
            asked.borrow_mut().push(began.elapsed().as_millis());
            tokio::time::sleep(Duration::from_millis(400)).await;
            operation(if asked.borrow().len() == 3 { "failed" } else { "running" })
        };
        until_done(schedule, slow, |_| false, |_| {}).await.unwrap();
        assert_eq!(asked.into_inner(), [0, 1000, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_fails_is_no_verdict() {
        let script = [
            trouble(Delivery::Unanswered),
            trouble(Delivery::NotSent),
            trouble(Delivery::Final),
            throttled(5),
            operation("completed"),
            operation("canceled"),
        ];
        let (ending, asked) = poll(1800, script).await;
        assert_eq!(ending.unwrap().status, OperationStatus::Canceled);
        // A millisecond less than said: differences of such numbers are not exact.
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] > 0.999), "{asked:?}");
        assert!(asked[4] - asked[3] > 4.999, "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_it_asks_a_last_time_and_then_hands_over() {
        let (ending, asked) = poll(1800, []).await;
        let error = ending.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnderWay);
        assert!(error.to_string().contains("running"));
        assert_eq!(asked.len(), 1801);
        assert_eq!(asked.last(), Some(&1800.0));
    }

    #[tokio::test(start_paused = true)]
    async fn half_an_hour_of_trouble_is_polled_through_with_patience() {
        let (ending, asked) = poll(1800, (0..500).map(|_| trouble(Delivery::Unanswered))).await;
        assert_eq!(ending.unwrap_err().kind(), ErrorKind::UnderWay);
        assert!((60..200).contains(&asked.len()), "{}", asked.len());
    }

    #[tokio::test(start_paused = true)]
    async fn told_to_wait_past_the_deadline_it_does_not_wait() {
        let began = Instant::now();
        let (ending, _) = poll(60, [throttled(61)]).await;
        let error = ending.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnderWay);
        assert!(error.causes().next().unwrap().to_string().contains("asks to wait 61 s"));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_and_a_used_up_volume_end_it_at_once() {
        let refused = Err(Error::new(ErrorKind::Credentials, "401"));
        assert_eq!(poll(60, [refused]).await.0.unwrap_err().kind(), ErrorKind::Credentials);
        let (ending, asked) = poll(60, [trouble(Delivery::OutOfQuota { retry_after: None })]).await;
        assert_eq!((ending.unwrap_err().kind(), asked.len()), (ErrorKind::UnderWay, 1));
    }
}
