//! Client-side rate limiter for one resource.
//!
//! A standard resource (S0) accepts 50 GET, 10 list and 5 management requests per second, which support may raise, a free
//! one (F0) a single request, and no call of the service returns the tier. The limits are therefore measured:
//!
//! - **Per kind of request**: slow start from two per second, and each good answer raises the limit by one. The first 429
//!   ends it: what was accepted in the second before is the limit. Later the limit is raised slowly, and reduced to what
//!   was accepted, at most by half, when it no longer holds. A `Retry-After` pauses its kind. If the first 429 has shown
//!   less than a standard resource accepts, another process used the resource, and the limit is raised to that soon.
//! - **In total**: two per second, until two requests were accepted within a second. A resource that accepts one request
//!   per second of all kinds together keeps to it from its first 429 on.
//!
//! v2.1 may also limit copies to one per minute. A 429 with a long `Retry-After` on a copy enables a window of a minute.
//!
//! Where Azure was asked for the account, its limits are known before the first request, and only corrected.

#[cfg(test)]
mod simulation;
mod total;
mod window;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Queue, Notify};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::api::{Quota, service_error};
use crate::error::{Delivery, Error};
use crate::rate_limits::RateLimits;
use total::Total;
use window::{Slot, Window};

/// Concurrent copies per start in a second: a copy waits most of the time, about half a minute.
const COPIES_PER_START: usize = 30;
/// The same for a resource that also counts the polls against the limit of the starts.
const COPIES_PER_REQUEST: usize = 10;

/// The rate limiter of one resource. Clones share its state.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimiter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// One first-in, first-out queue per quota.
    queues: PerQuota<Queue<()>>,
    state: Mutex<State>,
    /// Wakes the queues when the limits have changed.
    changed: Notify,
}

/// One value per quota.
#[derive(Debug, Default)]
struct PerQuota<T> {
    get: T,
    list: T,
    management: T,
    custom_model_copy: T,
    analyze: T,
    analyze_result: T,
}

/// The requests that were sent, and the limits that were learned from their answers.
#[derive(Debug)]
struct State {
    windows: PerQuota<Window>,
    total: Total,
}

impl Default for State {
    fn default() -> Self {
        let windows = PerQuota {
            get: Window::new(50),
            list: Window::new(10),
            management: Window::new(5),
            custom_model_copy: Window::new(5),
            analyze: Window::new(15),
            analyze_result: Window::new(50),
        };
        Self { windows, total: Total::default() }
    }
}

/// A permit to send one request now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permit {
    quota: Quota,
    sent_at: Instant,
    /// In the window per second.
    slot: Slot,
    /// In the window per minute, of v2.1 copies.
    in_minute: Option<Slot>,
}

impl RateLimiter {
    /// A rate limiter that begins with the limits that are known. A 429 corrects them like those that were measured.
    pub(crate) fn new(known: &RateLimits) -> Self {
        let limiter = Self::default();
        limiter.state(|state| state.begin_with(known, Instant::now()));
        limiter
    }

    /// Waits until a request may be sent.
    ///
    /// # Errors
    /// Immediately, if that would be after `until`: the earliest time at which the request may be sent.
    pub(super) async fn acquire(&self, quota: Quota, until: Instant) -> Result<Permit, Instant> {
        let _guard = timeout_at(until, self.0.queues.of(quota).lock()).await.map_err(|_| until)?;
        loop {
            let changed = self.0.changed.notified();
            let permit = self.state(|state| state.acquire(quota, Instant::now()));
            let Err(at) = permit else { return permit };
            if at > until {
                return Err(at);
            }
            tokio::select! {
                () = sleep_until(at) => {}
                () = changed => {}
            }
        }
    }

    /// Waits until a request could be sent, without a permit. The limits may be raised meanwhile.
    pub(super) async fn wait_until_free(&self, quota: Quota) {
        loop {
            let changed = self.0.changed.notified();
            let at = self.earliest(quota);
            if at <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(at) => {}
                () = changed => {}
            }
        }
    }

    /// Adapts the limits to the result of a request. Returns what was learned from a 429.
    pub(super) fn record<T>(&self, permit: Permit, result: &Result<T, Error>) -> Option<String> {
        let now = Instant::now();
        let learned = match result.as_ref().map_err(|error| (error, error.delivery())) {
            Err((error, Delivery::Throttled { .. } | Delivery::Busy { .. })) => {
                self.state(|state| state.record_throttled(permit, error, now))
            }
            // An answer that cannot be used is one: the request was not rejected.
            Err((error, Delivery::Unanswered)) if error.http_status().is_some() => {
                self.state(|state| state.record_answer(permit, now));
                None
            }
            Err((
                _,
                Delivery::NotSent
                | Delivery::WrongHost
                | Delivery::Unanswered
                | Delivery::NotProcessed
                | Delivery::OutOfQuota { .. },
            )) => return None,
            Ok(_) | Err((_, Delivery::Final(_))) => {
                self.state(|state| state.record_answer(permit, now));
                None
            }
        };
        self.0.changed.notify_waiters();
        learned
    }

    /// Whether the resource accepts one request per second of all kinds together.
    pub(crate) fn is_slow(&self) -> bool {
        self.state(|state| state.total.is_one(Instant::now()))
    }

    /// Whether a 429 has shown that v2.1 copies are limited per minute.
    pub(super) fn copies_by_the_minute(&self) -> bool {
        self.state(|state| state.windows.custom_model_copy.per_minute().is_some())
    }

    /// The earliest time at which a request may be sent under the known limits.
    pub(crate) fn earliest(&self, quota: Quota) -> Instant {
        self.state(|state| state.free_at(quota, Instant::now()))
    }

    /// The number of copies to run concurrently.
    pub(super) fn max_concurrent_copies(&self) -> usize {
        self.state(|state| {
            if state.total.is_one(Instant::now()) {
                return COPIES_PER_REQUEST;
            }
            state.windows.management.per_second().saturating_mul(COPIES_PER_START)
        })
    }

    /// How many management calls the resource accepts in a second, as far as is known.
    pub(crate) fn management_per_second(&self) -> usize {
        self.state(|state| state.windows.management.per_second())
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Takes over limits that are known before the first request.
    fn begin_with(&mut self, known: &RateLimits, now: Instant) {
        let RateLimits { is_free, reads, lists, management, custom_model_copies, analyses, results } = *known;
        let PerQuota { get, list, management: managing, custom_model_copy, analyze, analyze_result } =
            &mut self.windows;
        let windows = [
            (get, reads),
            (list, lists),
            (managing, management),
            (custom_model_copy, custom_model_copies),
            (analyze, analyses),
            (analyze_result, results),
        ];
        for (window, rate) in windows.into_iter().filter_map(|(window, rate)| Some((window, rate?))) {
            window.begin_with(rate, now);
        }
        if is_free {
            self.total.set_one();
        } else if management.is_some() {
            self.total.set_unlimited();
        }
    }

    /// The earliest time at which a request may be sent.
    fn free_at(&self, quota: Quota, now: Instant) -> Instant {
        let of_kind = self.windows.of(counted_per_second(quota)).free_at(now);
        let in_minute = match quota {
            Quota::CustomModelCopy => self.windows.custom_model_copy.free_at_in_minute(now),
            _ => now,
        };
        of_kind.max(in_minute).max(self.total.free_at(now))
    }

    /// Counts a request, or returns the earliest time at which it may be sent.
    fn acquire(&mut self, quota: Quota, now: Instant) -> Result<Permit, Instant> {
        let at = self.free_at(quota, now);
        if at > now {
            return Err(at);
        }
        self.total.push(now);
        let slot = self.windows.of_mut(counted_per_second(quota)).push(now);
        let in_minute = (quota == Quota::CustomModelCopy).then(|| self.windows.custom_model_copy.push(now));
        Ok(Permit { quota, sent_at: now, slot, in_minute })
    }

    fn record_answer(&mut self, permit: Permit, now: Instant) {
        self.total.record_answer(permit.sent_at);
        // With one limit for all kinds, an answer says nothing of the limit of its kind.
        if !self.total.is_one(now) {
            self.windows.of_mut(counted_per_second(permit.quota)).record_answer(permit.slot, now);
        }
    }

    /// Reduces the limit that a rejected request has met.
    fn record_throttled(&mut self, permit: Permit, error: &Error, now: Instant) -> Option<String> {
        let retry_after = error.retry_after();
        let tier = service_error::named_tier(error);
        if window::is_longer_than_a_second(retry_after) || retry_after.is_none() {
            self.total.remove(permit.sent_at);
        } else {
            self.total.record_throttled(permit.sent_at, retry_after, tier, now);
        }
        let before = self.known(permit.quota, now);
        match permit.in_minute {
            // It says nothing of the other management calls.
            Some(slot) if window::is_longer_than_a_second(retry_after) => {
                self.windows.custom_model_copy.record_throttled_in_minute(slot, retry_after, now);
                self.windows.management.record_throttled(permit.slot, None, now);
            }
            in_minute => {
                self.windows.of_mut(counted_per_second(permit.quota)).record_throttled(permit.slot, retry_after, now);
                if let Some(slot) = in_minute {
                    self.windows.custom_model_copy.record_throttled_in_minute(slot, retry_after, now);
                }
            }
        }
        if self.total.is_unlimited() {
            self.windows.of_mut(counted_per_second(permit.quota)).raise_soon(now);
        }
        let known = self.known(permit.quota, now);
        (known != before).then_some(known)
    }

    /// The limits that apply to a kind of request, for people.
    fn known(&self, quota: Quota, now: Instant) -> String {
        if self.total.is_one(now) {
            return "one request per second of all kinds".into();
        }
        let what = match quota {
            Quota::Get => "reads",
            Quota::List => "lists",
            Quota::Management => "management calls",
            Quota::CustomModelCopy => "starts of v2.1",
            Quota::Analyze => "analyses",
            Quota::AnalyzeResult => "reads of results",
        };
        let window = self.windows.of(quota);
        match window.per_minute() {
            Some(limit) => format!("{limit} {what} per minute"),
            None => format!("{} {what} per second", self.windows.of(counted_per_second(quota)).per_second()),
        }
    }
}

impl<T> PerQuota<T> {
    fn of(&self, quota: Quota) -> &T {
        match quota {
            Quota::Get => &self.get,
            Quota::List => &self.list,
            Quota::Management => &self.management,
            Quota::CustomModelCopy => &self.custom_model_copy,
            Quota::Analyze => &self.analyze,
            Quota::AnalyzeResult => &self.analyze_result,
        }
    }

    fn of_mut(&mut self, quota: Quota) -> &mut T {
        match quota {
            Quota::Get => &mut self.get,
            Quota::List => &mut self.list,
            Quota::Management => &mut self.management,
            Quota::CustomModelCopy => &mut self.custom_model_copy,
            Quota::Analyze => &mut self.analyze,
            Quota::AnalyzeResult => &mut self.analyze_result,
        }
    }
}

/// The quota whose limit per second applies: a v2.1 copy is a management request.
fn counted_per_second(quota: Quota) -> Quota {
    if quota == Quota::CustomModelCopy { Quota::Management } else { quota }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::window::INITIAL_PER_SECOND;
    use super::*;
    use crate::error::ErrorKind;
    use crate::rate_limits::Rate;

    const FAR: Duration = Duration::from_secs(3600);

    fn throttled(seconds: u64) -> Result<(), Error> {
        let retry_after = Some(Duration::from_secs(seconds));
        Err(Error::new(ErrorKind::Unavailable, "429").with_delivery(Delivery::Throttled { retry_after }))
    }

    /// Sends requests to a resource with a limit per second until `count` were accepted. Returns the time that this took
    /// and the number of rate-limited requests.
    async fn send(limiter: &RateLimiter, quota: Quota, count: usize, limit: usize) -> (f64, usize) {
        let began = Instant::now();
        let (mut accepted, mut throttled_count) = (VecDeque::<Instant>::new(), 0);
        while accepted.len() < count {
            let permit = limiter.acquire(quota, began + FAR).await.unwrap();
            let recent = accepted.iter().filter(|then| then.elapsed() < Duration::from_secs(1)).count();
            if recent < limit {
                accepted.push_back(Instant::now());
                limiter.record(permit, &Ok(()));
            } else {
                throttled_count += 1;
                limiter.record(permit, &throttled(1));
            }
        }
        (began.elapsed().as_secs_f64(), throttled_count)
    }

    #[tokio::test(start_paused = true)]
    async fn management_requests_are_spaced_and_do_not_delay_get_requests() {
        let limiter = RateLimiter::default();
        let (seconds, throttled_count) = send(&limiter, Quota::Management, 50, 5).await;
        assert!((9.0..=10.0).contains(&seconds) && throttled_count == 1, "{seconds} {throttled_count}");
        let (seconds, _) = send(&limiter, Quota::Get, 50, 50).await;
        assert!(seconds < 0.01, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_a_free_resource_is_learned_from_its_first_429() {
        let limiter = RateLimiter::default();
        let (seconds, throttled_count) = send(&limiter, Quota::Get, 200, 1).await;
        assert!(seconds < 200.0 * 1.15 && throttled_count <= 4, "{seconds} {throttled_count}");
        assert_eq!(limiter.max_concurrent_copies(), COPIES_PER_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_that_are_known_need_no_429_and_a_429_corrects_them() {
        let known = RateLimits {
            management: Some(Rate::PerSecond(5)),
            custom_model_copies: Some(Rate::PerMinute(1)),
            ..RateLimits::default()
        };
        let limiter = RateLimiter::new(&known);
        assert!(limiter.copies_by_the_minute());
        let (seconds, throttled_count) = send(&limiter, Quota::Management, 300, 5).await;
        assert!((60.0..=66.0).contains(&seconds) && throttled_count == 0, "{seconds} {throttled_count}");

        let limiter = RateLimiter::new(&known);
        let (seconds, throttled_count) = send(&limiter, Quota::CustomModelCopy, 4, 5).await;
        assert!((180.0..=185.0).contains(&seconds) && throttled_count == 0, "{seconds} {throttled_count}");

        // The resource accepts less, or more.
        for (limit, longest) in [(1, 30.0), (3, 15.0)] {
            let limiter = RateLimiter::new(&known);
            let (seconds, throttled_count) = send(&limiter, Quota::Management, 20, limit).await;
            assert!(seconds < longest && throttled_count <= 6, "{limit}: {seconds} {throttled_count}");
        }
        let limiter = RateLimiter::new(&known);
        let (seconds, throttled_count) = send(&limiter, Quota::Management, 5000, 50).await;
        assert!(seconds < 300.0 && throttled_count <= 2, "{seconds} {throttled_count}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_of_the_free_tier_gets_one_request_per_second_from_the_start() {
        let limiter = RateLimiter::new(&RateLimits { is_free: true, ..RateLimits::default() });
        assert!(limiter.is_slow());
        let (seconds, throttled_count) = send(&limiter, Quota::Get, 20, 1).await;
        assert!(seconds < 21.0 && throttled_count == 0, "{seconds} {throttled_count}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_raised_again_after_a_429() {
        let limiter = RateLimiter::default();
        let permit = limiter.acquire(Quota::Get, Instant::now() + FAR).await.unwrap();
        limiter.record(permit, &throttled(1));
        let (seconds, throttled_count) = send(&limiter, Quota::Get, 5000, 50).await;
        assert!(seconds < 300.0 && throttled_count <= 2, "{seconds} {throttled_count}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limited_burst_counts_once_and_a_503_does_not_count() {
        for (answer, longest) in [(throttled(1), 60.0), (Err(unavailable()), 5.0)] {
            let limiter = RateLimiter::default();
            send(&limiter, Quota::Get, 200, 50).await;
            let until = Instant::now() + FAR;
            let mut burst = Vec::new();
            for _ in 0..25 {
                burst.push(limiter.acquire(Quota::Get, until).await.unwrap());
            }
            for permit in burst {
                limiter.record(permit, &answer);
            }
            let (seconds, throttled_count) = send(&limiter, Quota::Get, 100, 50).await;
            assert!(seconds < longest && throttled_count == 0, "{seconds} {throttled_count}");
        }
    }

    fn unavailable() -> Error {
        Error::new(ErrorKind::Unavailable, "503").with_delivery(Delivery::Throttled { retry_after: None })
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_pauses_its_quota_and_no_other() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        let permit = limiter.acquire(Quota::Management, now + FAR).await.unwrap();
        limiter.record(permit, &throttled(43));
        limiter.acquire(Quota::Get, now + FAR).await.unwrap();
        assert_eq!(now.elapsed(), Duration::ZERO);
        let late = limiter.acquire(Quota::Management, now + Duration::from_secs(42)).await.unwrap_err();
        assert_eq!(late, now + Duration::from_secs(43));
        limiter.clone().acquire(Quota::Management, now + FAR).await.unwrap();
        assert_eq!(now.elapsed(), Duration::from_secs(43));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_per_minute_of_v2_1_copies_is_learned_from_one_429() {
        let (limiter, began) = (RateLimiter::default(), Instant::now());
        let (mut last, mut accepted, mut throttled_count) = (None::<Instant>, 0, 0);
        while accepted < 5 {
            let permit = limiter.acquire(Quota::CustomModelCopy, began + FAR).await.unwrap();
            let since = last.map_or(60, |last| last.elapsed().as_secs());
            if since >= 60 {
                (last, accepted) = (Some(Instant::now()), accepted + 1);
                limiter.record(permit, &Ok(()));
            } else {
                throttled_count += 1;
                limiter.record(permit, &throttled(60 - since));
            }
        }
        assert!(began.elapsed().as_secs() <= 243 && throttled_count == 1, "{:?} {throttled_count}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_cannot_be_sent_in_time_fails_immediately() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        for _ in 0..INITIAL_PER_SECOND {
            limiter.acquire(Quota::Management, now + FAR).await.unwrap();
        }
        assert!(limiter.acquire(Quota::Management, now + Duration::from_millis(500)).await.is_err());
        assert_eq!(now.elapsed(), Duration::ZERO);
    }
}
