//! When a request that went wrong is sent again: a pure function of what went wrong and of how long it has, and the
//! loop that obeys it.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::backoff::{backoff, jitter};
use crate::error::{Delivery, Error};

/// How long a request is kept up.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How often it is sent at most while no usable answer comes. One for what must not be repeated blindly.
    sendings: u32,
    /// How long to try while no connection can be made.
    unreachable_for: Duration,
    /// Nothing is waited for beyond this, when it comes before the deadline.
    until: Option<Instant>,
}

impl RetryPolicy {
    /// For a look: it changes nothing and may be repeated, but the pipeline can do without it.
    pub const READ: Self = Self { sendings: 3, unreachable_for: Duration::from_secs(30), until: None };
    /// For an authorize: sent once. Nothing is reserved yet, so a resource that is not there ends it soon.
    pub const AUTHORIZE: Self = Self { sendings: 1, unreachable_for: Duration::from_secs(30), until: None };
    /// For a start: sent once. An id is reserved, so no connection is too long in coming.
    pub const START: Self = Self { sendings: 1, unreachable_for: Duration::MAX, until: None };

    /// The same, but not beyond a time.
    #[must_use]
    pub fn until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }
}

/// One sending that went wrong.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// How it went wrong.
    pub delivery: Delivery,
    /// The how manieth that went wrong, from 1.
    pub number: u32,
    /// The how manieth without a usable answer.
    pub unanswered: u32,
    /// For how long no connection could be made.
    pub unreachable: Duration,
    /// Until the deadline.
    pub remaining: Duration,
}

/// How long to wait before the next sending; `None` when there should be none.
///
/// `jitter` is a random number from 0 to 1, which keeps many waiting clients apart.
#[must_use]
pub fn wait(attempt: Attempt, policy: RetryPolicy, jitter: f64) -> Option<Duration> {
    let backoff = backoff(attempt.number, jitter);
    let wait = match attempt.delivery {
        Delivery::NotSent if attempt.unreachable < policy.unreachable_for => backoff,
        Delivery::Throttled { retry_after } => backoff.max(retry_after.unwrap_or_default()),
        Delivery::Unanswered if attempt.unanswered < policy.sendings => backoff,
        Delivery::NotSent | Delivery::Unanswered | Delivery::OutOfQuota { .. } | Delivery::Final => return None,
    };
    (wait < attempt.remaining).then_some(wait)
}

/// Sends until there is an answer to go on with or none to hope for, and tells of each wait in between.
pub(super) async fn persist<T>(
    policy: RetryPolicy,
    deadline: Instant,
    pause: impl AsyncFn(Duration) -> Result<(), Error>,
    on_wait: impl Fn(&Error, Duration),
    mut send: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let deadline = policy.until.map_or(deadline, |until| until.min(deadline));
    let (mut number, mut unanswered) = (0, 0);
    let mut unreachable_since = None;
    loop {
        let began = Instant::now();
        let error = match send().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        number += 1;
        unanswered += u32::from(error.delivery() == Delivery::Unanswered);
        // An answer of any kind shows that somebody is there again.
        unreachable_since = (error.delivery() == Delivery::NotSent).then(|| unreachable_since.unwrap_or(began));
        let attempt = Attempt {
            delivery: error.delivery(),
            number,
            unanswered,
            unreachable: unreachable_since.map_or(Duration::ZERO, |since| since.elapsed()),
            remaining: deadline.saturating_duration_since(Instant::now()),
        };
        let Some(wait) = wait(attempt, policy, jitter()) else { return Err(out_of_patience(error)) };
        debug!("sending again in {wait:.1?}: {error}");
        on_wait(&error, wait);
        pause(wait).await?;
    }
}

/// Names the wait that the service asked for and that is not waited for.
pub(crate) fn out_of_patience(error: Error) -> Error {
    let what = match error.delivery() {
        Delivery::Throttled { retry_after: Some(wait) } => {
            format!("{error} and asks to wait {} s, which is past the deadline", wait.as_secs())
        }
        Delivery::OutOfQuota { retry_after: Some(wait) } => {
            format!("{error} and asks to wait {} s, which is not waited for", wait.as_secs())
        }
        _ => return error,
    };
    error.with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const HOUR: Duration = Duration::from_secs(3600);

    fn attempt(delivery: Delivery, number: u32) -> Attempt {
        Attempt { delivery, number, unanswered: number, unreachable: Duration::ZERO, remaining: HOUR }
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
    fn what_was_turned_away_or_never_sent_is_sent_again_whatever_it_is() {
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
    fn a_resource_that_is_not_there_is_given_up_soon_before_an_id_is_reserved_and_never_after() {
        let unreachable = |policy| {
            let unreachable = Duration::from_secs(30);
            wait(Attempt { unreachable, ..attempt(Delivery::NotSent, 5) }, policy, 0.0).is_some()
        };
        assert!(!unreachable(RetryPolicy::READ) && !unreachable(RetryPolicy::AUTHORIZE));
        assert!(unreachable(RetryPolicy::START));
    }

    #[test]
    fn an_answer_and_a_used_up_volume_are_final() {
        for delivery in [Delivery::Final, Delivery::OutOfQuota { retry_after: None }] {
            assert_eq!(wait(attempt(delivery, 1), RetryPolicy::READ, 0.0), None);
        }
    }

    /// Sends with the deliveries of a script, after which it succeeds; returns the ending and when it was sent.
    async fn sendings(policy: RetryPolicy, script: &[Delivery]) -> (Result<(), Error>, Vec<Duration>) {
        let began = Instant::now();
        let mut times = Vec::new();
        let send = async || {
            times.push(began.elapsed());
            match script.get(times.len() - 1) {
                Some(delivery) => Err(Error::new(ErrorKind::Unavailable, "trouble").with_delivery(*delivery)),
                None => Ok(()),
            }
        };
        let pause = async |wait| {
            tokio::time::sleep(wait).await;
            Ok(())
        };
        let ending = persist(policy, began + HOUR / 2, pause, |_, _| {}, send).await;
        (ending, times)
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_is_turned_away_is_sent_again_when_the_service_said() {
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
        assert!((30..60).contains(&last), "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn with_an_id_reserved_it_is_tried_until_the_deadline_and_not_beyond() {
        let (ending, sent) = sendings(RetryPolicy::START, &vec![Delivery::NotSent; 1000]).await;
        assert!(ending.is_err());
        let last = sent.last().unwrap();
        assert!((1800 - 31..1800).contains(&last.as_secs()), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn being_turned_away_uses_up_no_patience_with_other_troubles() {
        let throttles = [throttled(40); 5];
        let unanswered = [throttles.as_slice(), &[Delivery::Unanswered; 2]].concat();
        assert!(sendings(RetryPolicy::READ, &unanswered).await.0.is_ok());
        let not_sent = [throttles.as_slice(), &[Delivery::NotSent]].concat();
        assert!(sendings(RetryPolicy::AUTHORIZE, &not_sent).await.0.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn patience_may_end_before_the_deadline() {
        let policy = RetryPolicy::READ.until(Instant::now() + Duration::from_secs(10));
        let (ending, sent) = sendings(policy, &[throttled(8), throttled(8)]).await;
        assert!(ending.is_err());
        assert_eq!(sent.iter().map(Duration::as_secs).collect::<Vec<_>>(), [0, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_not_begun_is_named() {
        let (ending, sent) = sendings(RetryPolicy::START, &[throttled(3600)]).await;
        assert!(ending.unwrap_err().to_string().ends_with("asks to wait 3600 s, which is past the deadline"));
        assert_eq!(sent, [Duration::ZERO]);
    }
}
