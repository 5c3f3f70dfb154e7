//! For how long a resource has given no answer at all.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Connection;
use crate::error::{Delivery, Error, ErrorKind};
use crate::resource::Resource;

/// How long a resource must be silent to be unreachable. It is shorter than the time for which one request is tried while
/// nothing is reserved: the silence may begin after the first attempt.
const SILENCE_TIME: Duration = Duration::from_secs(25);
/// How many exchanges without an answer make a resource unreachable: a read without an answer is repeated twice.
const MIN_FAILURES: u32 = 3;

/// What the exchanges over a connection and all its clients say of it. Any answer, such as a 429, ends a silence.
#[derive(Debug, Clone, Default)]
pub(super) struct Silence(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// When the last answer came.
    answered: Option<Instant>,
    /// The exchanges without an answer since then.
    failures: Option<Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    /// When the first one began.
    since: Instant,
    /// When the last one ended, and how.
    until: Instant,
    last: Error,
}

impl Silence {
    /// Notes the end of an exchange that began at a time.
    pub(super) fn note<T>(&self, began: Instant, result: &Result<T, Error>) {
        let state = &mut *self.0.borrow_mut();
        match result {
            Ok(_) => *state = State { answered: Some(Instant::now()), failures: None },
            // Cancellation says nothing of the resource.
            Err(error) if error.is_interrupted() => {}
            Err(error) => {
                let (count, since) = match &state.failures {
                    Some(failures) => (failures.count, failures.since),
                    None => (0, state.answered.map_or(began, |answered| answered.max(began))),
                };
                let (until, last) = (Instant::now(), error.duplicate());
                state.failures = Some(Failures { count: count + 1, since, until, last });
            }
        }
    }

    /// Since when the resource cannot be reached, and the last error: it was silent for that long, or it never answered and
    /// has an unknown host name or a certificate that is not trusted, for which nothing is tried again.
    fn unreachable(&self) -> Option<(Instant, Error)> {
        let state = self.0.borrow();
        let Failures { count, since, until, last } = state.failures.as_ref()?;
        let is_long = until.saturating_duration_since(*since) >= SILENCE_TIME && *count >= MIN_FAILURES;
        let is_final = last.delivery() == Delivery::WrongHost && state.answered.is_none();
        (is_long || is_final).then(|| (*since, last.duplicate()))
    }
}

impl Connection {
    /// Checks that the resource was not silent for about the time for which one request is tried while nothing is reserved.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`], for a copy that is not worth a try.
    pub(crate) fn check_reachable(&self) -> Result<(), Error> {
        let Some((since, last)) = self.silence.unreachable() else { return Ok(()) };
        let date = Timestamp::now() - SignedDuration::try_from(since.elapsed()).unwrap_or_default();
        let Resource { side, name, .. } = &*self.resource;
        let resource = name.as_ref().map_or_else(|| format!("the {side}"), ToString::to_string);
        Err(Error::new(ErrorKind::Unavailable, format!("not tried: {resource} was not reachable since {date:.0}"))
            .with_source(last)
            .with_remedy("run the command again with --if-exists skip when it can be reached"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// Notes an exchange of this duration that ends now.
    async fn exchange(silence: &Silence, seconds: u64, delivery: Option<Delivery>) {
        let began = Instant::now();
        advance(Duration::from_secs(seconds)).await;
        let failed = |delivery| Error::new(ErrorKind::Unavailable, "no answer").with_delivery(delivery);
        silence.note(began, &delivery.map_or(Ok(()), |delivery| Err(failed(delivery))));
    }

    /// For how many seconds it has been unreachable.
    fn seconds(silence: &Silence) -> Option<u64> {
        silence.unreachable().map(|(since, _)| since.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_is_unreachable_once_exchanges_have_failed_for_about_half_a_minute() {
        let silence = Silence::default();
        exchange(&silence, 10, Some(Delivery::NotSent)).await;
        exchange(&silence, 10, Some(Delivery::Unanswered)).await;
        advance(Duration::from_secs(60)).await;
        assert_eq!(seconds(&silence), None, "only what was tried counts");
        exchange(&silence, 1, Some(Delivery::Unanswered)).await;
        assert_eq!(seconds(&silence), Some(81));
        exchange(&silence, 1, None).await;
        assert_eq!(seconds(&silence), None);
        for expected in [None, None, Some(30)] {
            exchange(&silence, 10, Some(Delivery::NotSent)).await;
            assert_eq!(seconds(&silence), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_without_an_answer_does_not_make_a_resource_unreachable() {
        let silence = Silence::default();
        exchange(&silence, 60, Some(Delivery::Unanswered)).await;
        assert_eq!(seconds(&silence), None);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_were_sent_before_an_answer_count_from_the_answer_on() {
        let silence = Silence::default();
        let began = Instant::now();
        exchange(&silence, 20, None).await;
        advance(Duration::from_secs(10)).await;
        for _ in 0..3 {
            let lost = Error::new(ErrorKind::Unavailable, "lost").with_delivery(Delivery::Unanswered);
            silence.note::<()>(began, &Err(lost));
        }
        assert_eq!(seconds(&silence), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_never_answered_and_whose_name_is_unknown_is_unreachable_at_once() {
        let silence = Silence::default();
        exchange(&silence, 1, Some(Delivery::WrongHost)).await;
        assert_eq!(seconds(&silence), Some(1));
        exchange(&silence, 1, None).await;
        exchange(&silence, 1, Some(Delivery::WrongHost)).await;
        assert_eq!(seconds(&silence), None);
    }
}
