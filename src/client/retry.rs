//! When a failed request is sent again: a pure function of the failure and the policy, and the failures of one request.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::retry_policy::{Repeats, RetryPolicy};
use crate::backoff::{backoff, jitter};
use crate::error::{Delivery, Error};

/// How long a resource is tried to which no connection can be made, while nothing is reserved.
const UNREACHABLE_TIME: Duration = Duration::from_secs(30);
/// When the last attempt is made, so that it can end in time.
const LAST_ATTEMPT: Duration = Duration::from_secs(28);
/// How long before the deadline a last attempt is made where the backoff would go beyond it.
const TIME_FOR_LAST: Duration = Duration::from_millis(500);

/// One failed attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// How it failed.
    pub delivery: Delivery,
    /// 1-based number of the failed attempt.
    pub number: u32,
    /// 1-based number of the failed attempt without a usable answer.
    pub unanswered: u32,
    /// For how long there were only such attempts, or rate limits.
    pub unanswered_for: Duration,
    /// For how long no connection could be made.
    pub unreachable: Duration,
    /// Time until the deadline.
    pub remaining: Duration,
}

/// How long to wait before the next attempt; `None` when there must be none.
///
/// `jitter` is a random number from 0 to 1, which spreads the retries of parallel clients.
#[must_use]
pub(crate) fn wait(attempt: Attempt, policy: RetryPolicy, jitter: f64) -> Option<Duration> {
    let backoff = backoff(attempt.number, jitter);
    let wait = match attempt.delivery {
        Delivery::NotSent | Delivery::WrongHost if policy.is_reserved => backoff,
        Delivery::NotSent => {
            let latest = LAST_ATTEMPT.saturating_sub(attempt.unreachable);
            Some(backoff.min(latest)).filter(|wait| !wait.is_zero())?
        }
        Delivery::Throttled { retry_after } => backoff.max(retry_after.unwrap_or_default()),
        // A 503 may be the answer to a request that had an effect.
        Delivery::Busy { retry_after } if policy.repeats >= Repeats::AfterBusy => {
            backoff.max(retry_after.unwrap_or_default())
        }
        Delivery::Unanswered if repeats_unanswered(attempt, policy) => backoff,
        Delivery::WrongHost
        | Delivery::Unanswered
        | Delivery::NotProcessed
        | Delivery::Busy { .. }
        | Delivery::OutOfQuota { .. }
        | Delivery::Final(_) => return None,
    };
    before_deadline(wait, attempt.delivery.retry_after().unwrap_or_default(), attempt.remaining)
}

/// Whether to send a request again that got no usable answer.
fn repeats_unanswered(attempt: Attempt, policy: RetryPolicy) -> bool {
    let is_half_done = policy.is_reserved && !policy.unanswered_time.is_zero();
    attempt.unanswered < policy.max_attempts || attempt.unanswered_for < policy.unanswered_time || is_half_done
}

/// The wait, shortened if it would end after the deadline, so that one more attempt can still be made. None when the
/// service asks to wait longer, or when that last attempt was made.
fn before_deadline(wait: Duration, told: Duration, remaining: Duration) -> Option<Duration> {
    if wait < remaining {
        return Some(wait);
    }
    let latest = remaining.saturating_sub(TIME_FOR_LAST);
    (latest >= told && latest >= TIME_FOR_LAST).then_some(latest)
}

/// The attempts of one request.
pub(super) struct Retries {
    policy: RetryPolicy,
    deadline: Instant,
    /// How many attempts failed, and how many of them without a usable answer.
    failed: u32,
    unanswered: u32,
    /// When the attempt began, and since when no connection could be made.
    started: Instant,
    unreachable_since: Option<Instant>,
    /// When the first attempt without a usable answer began.
    unanswered_since: Option<Instant>,
    /// The failure of the attempt before.
    previous: Option<Error>,
}

impl Retries {
    pub(super) fn new(policy: RetryPolicy, deadline: Instant) -> Self {
        let started = Instant::now();
        Self {
            policy,
            deadline,
            failed: 0,
            unanswered: 0,
            started,
            unreachable_since: None,
            unanswered_since: None,
            previous: None,
        }
    }

    /// Begins an attempt. Returns its policy, with the time at which a new connection must be there.
    pub(super) fn next_attempt(&mut self) -> RetryPolicy {
        self.started = Instant::now();
        let since = self.unreachable_since.filter(|_| !self.policy.is_reserved);
        RetryPolicy { connect_by: since.map(|since| since + UNREACHABLE_TIME), ..self.policy }
    }

    /// Reports a failed attempt, and returns how long to wait before the next one.
    ///
    /// # Errors
    /// The failure, where there must be no other attempt.
    pub(super) fn wait_after(&mut self, error: Error, on_retry: &dyn Fn(&Error, Duration)) -> Result<Duration, Error> {
        let is_foreign = self.policy.repeats >= Repeats::AfterForeign404 && error.is_foreign_404();
        let delivery = if is_foreign { Delivery::Unanswered } else { error.delivery() };
        let is_not_sent = delivery == Delivery::NotSent;
        // On a busy machine the wait may end after the deadline. That nothing was sent then hides why it was repeated.
        if let Some(previous) = self.previous.take_if(|_| self.started >= self.deadline && is_not_sent) {
            return Err(previous);
        }
        self.failed += 1;
        if delivery == Delivery::Unanswered {
            self.unanswered += 1;
            self.unanswered_since.get_or_insert(self.started);
        }
        // Any answer shows that the resource is reachable again.
        self.unreachable_since = is_not_sent.then(|| self.unreachable_since.unwrap_or(self.started));
        let attempt = Attempt {
            delivery,
            number: self.failed,
            unanswered: self.unanswered,
            unanswered_for: self.unanswered_since.map_or(Duration::ZERO, |since| since.elapsed()),
            unreachable: self.unreachable_since.map_or(Duration::ZERO, |since| since.elapsed()),
            remaining: self.deadline.saturating_duration_since(Instant::now()),
        };
        // A 429 that is not the service's own is like a 503: the caller looks first.
        let may_repeat = self.policy.repeats >= Repeats::AfterBusy || !error.is_refusal_of_proxy();
        let Some(wait) = wait(attempt, self.policy, jitter()).filter(|_| may_repeat) else {
            // Only the service's own wait is quoted, never the backoff.
            let is_out_of_quota = matches!(delivery, Delivery::OutOfQuota { .. });
            let is_told = is_out_of_quota || error.retry_after().is_some_and(|wait| wait >= attempt.remaining);
            return Err(if is_told { with_requested_wait(error) } else { error });
        };
        debug!("retry in {wait:.1?}: {error}");
        on_retry(&error, wait);
        self.previous = Some(error);
        Ok(wait)
    }
}

/// As [`wait_after`], if one more attempt can be made before the deadline. Returns the failure again.
///
/// # Errors
/// The failure, where the service asks to wait longer or too little time is left.
pub(crate) fn wait_within(error: Error, attempt: u32, deadline: Instant) -> Result<(Error, Duration), Error> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    let told = error.retry_after().unwrap_or_default();
    match before_deadline(wait_after(&error, attempt), told, remaining) {
        Some(wait) => Ok((error, wait)),
        None if told >= remaining => Err(with_requested_wait(error)),
        None => Err(error),
    }
}

/// How long a caller that repeats by its own rules waits after the given 1-based number of failed attempts: the backoff, or
/// the `Retry-After` if that is longer.
#[must_use]
pub(crate) fn wait_after(error: &Error, attempt: u32) -> Duration {
    backoff(attempt, jitter()).max(error.retry_after().unwrap_or_default())
}

/// Adds the service's own `Retry-After`, which is not waited for, to the message.
pub(crate) fn with_requested_wait(error: Error) -> Error {
    let message = match error.delivery() {
        Delivery::Throttled { retry_after: Some(wait) } | Delivery::Busy { retry_after: Some(wait) } => {
            format!("{error}; the service asks to wait {} s, which is past the deadline", wait.as_secs())
        }
        Delivery::OutOfQuota { retry_after: Some(wait) } => {
            format!("{error}; the service asks to wait {} s, which is too long", wait.as_secs())
        }
        _ => return error,
    };
    error.with_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Finding};

    const HOUR: Duration = Duration::from_secs(3600);

    fn attempt(delivery: Delivery, number: u32) -> Attempt {
        let (unanswered_for, unreachable) = (Duration::ZERO, Duration::ZERO);
        Attempt { delivery, number, unanswered: number, unanswered_for, unreachable, remaining: HOUR }
    }

    fn throttled(seconds: u64) -> Delivery {
        Delivery::Throttled { retry_after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn a_post_without_an_answer_is_never_repeated() {
        for policy in [RetryPolicy::AUTHORIZE, RetryPolicy::START] {
            assert_eq!(wait(attempt(Delivery::Unanswered, 1), policy, 0.0), None);
        }
    }

    #[test]
    fn a_read_without_an_answer_is_repeated_twice() {
        let waits: Vec<_> =
            (1..=3).map(|n| wait(attempt(Delivery::Unanswered, n), RetryPolicy::READ, 0.0).is_some()).collect();
        assert_eq!(waits, [true, true, false]);
    }

    #[test]
    fn a_read_that_verifies_a_copy_is_repeated_until_its_end() {
        for delivery in [Delivery::Unanswered, Delivery::NotSent, Delivery::WrongHost] {
            assert!(wait(attempt(delivery, 20), RetryPolicy::VERIFY, 0.0).is_some());
        }
    }

    #[test]
    fn a_throttled_or_unsent_request_is_sent_again_with_every_policy() {
        for policy in [RetryPolicy::READ, RetryPolicy::AUTHORIZE, RetryPolicy::START] {
            for delivery in [Delivery::NotSent, Delivery::Throttled { retry_after: None }] {
                assert!(wait(attempt(delivery, 20), policy, 0.0).is_some());
            }
        }
    }

    #[test]
    fn retry_after_is_honoured_and_never_undercuts_the_backoff() {
        let seconds = |delivery, number| wait(attempt(delivery, number), RetryPolicy::START, 0.0).unwrap().as_secs();
        assert_eq!(seconds(throttled(43), 1), 43);
        assert_eq!(seconds(throttled(0), 4), 4);
    }

    #[test]
    fn a_wait_past_the_deadline_is_not_begun() {
        assert_eq!(wait(attempt(throttled(3600), 1), RetryPolicy::START, 0.0), None);
        assert!(wait(attempt(throttled(3599), 1), RetryPolicy::START, 0.0).is_some());
    }

    #[test]
    fn a_backoff_that_goes_beyond_the_deadline_is_shortened_for_one_last_attempt() {
        let before = |delivery, remaining: u64| {
            let remaining = Duration::from_millis(remaining);
            wait(Attempt { remaining, ..attempt(delivery, 6) }, RetryPolicy::START, 0.0).map(|wait| wait.as_millis())
        };
        for delivery in [throttled(1), Delivery::NotSent] {
            assert_eq!(before(delivery, 16_000), Some(15_500));
            assert_eq!(before(delivery, 1500), Some(1000));
            assert_eq!(before(delivery, 900), None);
        }
        assert_eq!(before(throttled(3), 3400), None);
    }

    #[test]
    fn a_resource_that_is_not_there_is_given_up_soon_before_an_id_is_reserved_and_never_after() {
        let unreachable = |policy| {
            let unreachable = Duration::from_secs(30);
            wait(Attempt { unreachable, ..attempt(Delivery::NotSent, 5) }, policy, 0.0).is_some()
        };
        assert!(!unreachable(RetryPolicy::READ) && !unreachable(RetryPolicy::AUTHORIZE));
        assert!(unreachable(RetryPolicy::START));
    }

    #[test]
    fn an_unknown_host_is_final_while_nothing_is_reserved_and_tried_again_afterwards() {
        let is_tried_again = |policy| wait(attempt(Delivery::WrongHost, 1), policy, 0.0).is_some();
        assert!(![RetryPolicy::READ, RetryPolicy::AUTHORIZE].into_iter().any(is_tried_again));
        assert!([RetryPolicy::START, RetryPolicy::cleanup(Instant::now())].into_iter().all(is_tried_again));
    }

    #[test]
    fn an_answer_and_a_used_up_volume_are_final() {
        for delivery in [Delivery::Final(Finding::Definitive), Delivery::OutOfQuota { retry_after: None }] {
            assert_eq!(wait(attempt(delivery, 1), RetryPolicy::READ, 0.0), None);
        }
    }

    /// Sends until an answer comes or the policy ends. `send` gets the time at which a new connection must be there.
    async fn retry<T>(
        policy: RetryPolicy,
        deadline: Instant,
        pause: impl AsyncFn(Duration),
        mut send: impl AsyncFnMut(Option<Instant>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut retries = Retries::new(policy, deadline);
        loop {
            match send(retries.next_attempt().connect_by()).await {
                Ok(value) => return Ok(value),
                Err(error) => pause(retries.wait_after(error, &|_, _| {})?).await,
            }
        }
    }

    /// Sends with the deliveries of a script, after which it succeeds; returns the ending and when it was sent.
    async fn sendings(policy: RetryPolicy, script: &[Delivery]) -> (Result<(), Error>, Vec<Duration>) {
        let began = Instant::now();
        let mut times = Vec::new();
        let send = async |_: Option<Instant>| {
            times.push(began.elapsed());
            match script.get(times.len() - 1) {
                Some(delivery) => Err(Error::new(ErrorKind::Unavailable, "trouble").with_delivery(*delivery)),
                None => Ok(()),
            }
        };
        let deadline = policy.deadline(began + HOUR / 2);
        let ending = retry(policy, deadline, tokio::time::sleep, send).await;
        (ending, times)
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_start_is_sent_again_after_retry_after() {
        let (ending, sent) = sendings(RetryPolicy::START, &[throttled(55), throttled(43)]).await;
        assert!(ending.is_ok());
        // The clock of the runtime ticks in milliseconds.
        assert_eq!(sent.iter().map(Duration::as_secs).collect::<Vec<_>>(), [0, 55, 98]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_that_is_not_there_is_tried_for_half_a_minute_before_an_id_is_reserved() {
        let (ending, sent) = sendings(RetryPolicy::READ, &vec![Delivery::NotSent; 1000]).await;
        assert!(ending.is_err());
        let last = sent.last().unwrap().as_secs();
        assert!((25..30).contains(&last), "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_and_no_wait_goes_beyond_half_a_minute_before_an_id_is_reserved() {
        for connect_time in [Duration::ZERO, Duration::from_secs(3), Duration::from_secs(10)] {
            let began = Instant::now();
            let send = async |connect_by: Option<Instant>| {
                let limit = connect_by.unwrap_or(began + HOUR).saturating_duration_since(Instant::now());
                tokio::time::sleep(connect_time.min(limit)).await;
                Err::<(), _>(Error::new(ErrorKind::Unavailable, "not there").with_delivery(Delivery::NotSent))
            };
            assert!(retry(RetryPolicy::AUTHORIZE, began + HOUR, tokio::time::sleep, send).await.is_err());
            let took = began.elapsed();
            // The clock of the runtime ticks in milliseconds.
            assert!((27..30).contains(&took.as_secs()) || took.as_millis() <= 30_005, "{connect_time:?} {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_decisive_read_without_an_answer_is_repeated_for_half_a_minute_and_in_half_done_work_until_the_deadline()
    {
        let last = async |policy| sendings(policy, &vec![Delivery::Unanswered; 1000]).await.1.last().unwrap().as_secs();
        assert!((20..60).contains(&last(RetryPolicy::DECISIVE).await));
        assert!((1800 - 31..1800).contains(&last(RetryPolicy::DECISIVE.while_reserved()).await));
    }

    #[tokio::test(start_paused = true)]
    async fn with_an_id_reserved_it_is_tried_until_the_deadline_and_not_beyond() {
        let (ending, sent) = sendings(RetryPolicy::START, &vec![Delivery::NotSent; 1000]).await;
        assert!(ending.is_err());
        let last = sent.last().unwrap();
        assert!((1800 - 31..1800).contains(&last.as_secs()), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_does_not_count_as_a_lost_answer_or_as_unreachable() {
        let throttles = [throttled(40); 5];
        let unanswered = [throttles.as_slice(), &[Delivery::Unanswered; 2]].concat();
        assert!(sendings(RetryPolicy::READ, &unanswered).await.0.is_ok());
        let not_sent = [throttles.as_slice(), &[Delivery::NotSent]].concat();
        assert!(sendings(RetryPolicy::AUTHORIZE, &not_sent).await.0.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_may_end_before_the_deadline() {
        let policy = RetryPolicy::READ.until(Instant::now() + Duration::from_secs(10));
        let (ending, sent) = sendings(policy, &[throttled(8), throttled(8)]).await;
        assert!(ending.is_err());
        assert_eq!(sent.iter().map(Duration::as_secs).collect::<Vec<_>>(), [0, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_after_the_deadline_does_not_hide_the_cause() {
        let mut causes = ["cannot be reached", "the deadline passed"].into_iter();
        let send = async |_: Option<Instant>| {
            let cause = causes.next().unwrap();
            Err::<(), _>(Error::new(ErrorKind::Unavailable, cause).with_delivery(Delivery::NotSent))
        };
        // A pause that takes much longer than asked for.
        let pause = async |_| tokio::time::sleep(HOUR).await;
        let deadline = Instant::now() + Duration::from_secs(10);
        let ending = retry(RetryPolicy::READ, deadline, pause, send).await;
        assert_eq!(ending.unwrap_err().to_string(), "cannot be reached");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_not_begun_is_named() {
        let (ending, sent) = sendings(RetryPolicy::START, &[throttled(3600)]).await;
        assert!(ending.unwrap_err().to_string().ends_with("asks to wait 3600 s, which is past the deadline"));
        assert_eq!(sent, [Duration::ZERO]);
    }
}
