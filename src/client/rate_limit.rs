//! Client-side rate limiter for one resource.
//!
//! A standard resource (S0) accepts 50 GET, 10 list and 5 management requests per second, a free one (F0) a single
//! request, and no call returns the tier. Two limits therefore apply at the same time:
//!
//! - **Per quota**: a sliding window with the S0 limit of each kind of request. A `Retry-After` pauses its kind.
//! - **In total**: a sliding window whose size adapts. It starts at [`INITIAL_PER_SECOND`] and doubles with each
//!   answer. A 429 reduces it to the number of requests that were accepted in the second before. It stays there for
//!   [`FIRST_RAISE_DELAY`], then doubles again every [`RAISE_INTERVAL`]. Each further 429 makes that delay four times as
//!   long.
//!
//! v2.1 may also limit copies to one per minute. A 429 with a long `Retry-After` on a copy enables a window of a minute.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Queue, Notify};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::api::Quota;
use crate::error::{Delivery, Error};

/// The window of the limits per second, with a margin: network delay changes the distances between requests.
const SECOND: Duration = Duration::from_millis(1050);
/// The window of the limit per minute for v2.1 copies, with a margin.
const MINUTE: Duration = Duration::from_millis(60_500);
/// A longer `Retry-After` comes from another limit than one per second.
const MAX_RETRY_AFTER_PER_SECOND: Duration = Duration::from_secs(5);
/// The total limit per second before the first answer.
const INITIAL_PER_SECOND: usize = 2;
/// The sum of the S0 limits. At this value the total is not limited.
const UNLIMITED: usize = 50 + 10 + 5;
/// Delay from the first 429 until the total limit is raised again.
const FIRST_RAISE_DELAY: Duration = Duration::from_secs(30);
/// Delay from one raise to the next if no 429 comes in between.
const RAISE_INTERVAL: Duration = Duration::from_secs(5);
/// Concurrent copies per request per second: a copy waits most of the time.
const COPIES_PER_REQUEST: usize = 10;

/// The rate limiter of one resource. Clones share its state.
#[derive(Debug, Clone, Default)]
pub(super) struct RateLimiter(Arc<Shared>);

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
}

/// The requests that were sent, and the limits that were learned from their answers.
#[derive(Debug, Default)]
struct State {
    quotas: PerQuota<Usage>,
    total: Usage,
    total_limit: TotalLimit,
}

/// The requests that count towards one quota, or towards the total.
#[derive(Debug, Default)]
struct Usage {
    /// Send times of the last minute, the oldest first, without rate-limited requests.
    sent: VecDeque<Instant>,
    /// The limit per minute, if a 429 has shown one.
    per_minute: Option<usize>,
    /// End of the `Retry-After` of the last 429. It applies to all requests of the quota.
    paused_until: Option<Instant>,
}

/// The adaptive limit of the total number of requests per second.
#[derive(Debug)]
struct TotalLimit {
    per_second: usize,
    /// When the limit may be raised. None before the first 429: every answer raises it.
    raise_at: Option<Instant>,
    /// Delay from the next 429 to the next raise.
    raise_delay: Duration,
    /// Time of the last 429, without those of the same burst.
    limited_at: Option<Instant>,
}

/// A permit to send one request now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permit {
    quota: Quota,
    sent_at: Instant,
}

impl RateLimiter {
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

    /// Adapts the limits to the result of a request.
    pub(super) fn record<T>(&self, permit: Permit, result: &Result<T, Error>) {
        let now = Instant::now();
        match result.as_ref().map_err(Error::delivery) {
            Err(Delivery::Throttled { retry_after } | Delivery::Busy { retry_after }) => {
                self.state(|state| state.record_throttled(permit, retry_after, now));
            }
            Err(Delivery::NotSent | Delivery::Unanswered | Delivery::NotProcessed | Delivery::OutOfQuota { .. }) => {
                return;
            }
            Ok(_) | Err(Delivery::Final(_)) => self.state(|state| state.total_limit.record_answer(now)),
        }
        self.0.changed.notify_waiters();
    }

    /// Whether a 429 has reduced the total limit to the initial value or less.
    pub(super) fn is_slow(&self) -> bool {
        self.state(|state| state.total_limit.raise_at.is_some() && state.total_limit.per_second <= INITIAL_PER_SECOND)
    }

    /// Whether a 429 has shown that v2.1 copies are limited per minute.
    pub(super) fn copies_by_the_minute(&self) -> bool {
        self.state(|state| state.quotas.custom_model_copy.per_minute.is_some())
    }

    /// The earliest time at which a request may be sent under the known limits.
    pub(super) fn earliest(&self, quota: Quota) -> Instant {
        self.state(|state| state.free_at(quota, Instant::now()))
    }

    /// The number of copies to run concurrently.
    pub(super) fn max_concurrent_copies(&self) -> usize {
        self.state(|state| state.total_limit.per_second * COPIES_PER_REQUEST)
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// The earliest time at which a request may be sent.
    fn free_at(&self, quota: Quota, now: Instant) -> Instant {
        let per_quota =
            counts_towards(quota).iter().map(|counted| self.quotas.of(*counted).free_at(per_second(*counted), now));
        let in_total = match self.total_limit.per_second {
            UNLIMITED.. => now,
            limit => self.total.below(limit, SECOND, now),
        };
        per_quota.fold(in_total, Instant::max)
    }

    /// Counts a request, or returns the earliest time at which it may be sent.
    fn acquire(&mut self, quota: Quota, now: Instant) -> Result<Permit, Instant> {
        let at = self.free_at(quota, now);
        if at > now {
            return Err(at);
        }
        self.total.sent.push_back(now);
        for counted in counts_towards(quota) {
            self.quotas.of_mut(*counted).sent.push_back(now);
        }
        self.discard_old(now);
        Ok(Permit { quota, sent_at: now })
    }

    /// Removes a rate-limited request from the windows, pauses its quota and reduces the limit that it has met.
    fn record_throttled(&mut self, permit: Permit, retry_after: Option<Duration>, now: Instant) {
        self.total.remove(permit.sent_at);
        for counted in counts_towards(permit.quota) {
            self.quotas.of_mut(*counted).remove(permit.sent_at);
        }
        let usage = self.quotas.of_mut(permit.quota);
        usage.paused_until = usage.paused_until.max(retry_after.map(|wait| now + wait));
        match retry_after {
            Some(wait) if wait <= MAX_RETRY_AFTER_PER_SECOND => {
                let accepted = self.total.sent_within(SECOND, permit.sent_at);
                self.total_limit.record_throttled(permit.sent_at, accepted, now);
            }
            Some(_) if permit.quota == Quota::CustomModelCopy => {
                usage.per_minute = Some(usage.sent_within(MINUTE, permit.sent_at).max(1));
            }
            // Without a `Retry-After` the service is unavailable (503), and no limit was met.
            Some(_) | None => {}
        }
    }

    /// Removes the send times that are older than the longest window.
    fn discard_old(&mut self, now: Instant) {
        let PerQuota { get, list, management, custom_model_copy } = &mut self.quotas;
        for usage in [get, list, management, custom_model_copy, &mut self.total] {
            while usage.sent.front().is_some_and(|then| *then + MINUTE <= now) {
                usage.sent.pop_front();
            }
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
        }
    }

    fn of_mut(&mut self, quota: Quota) -> &mut T {
        match quota {
            Quota::Get => &mut self.get,
            Quota::List => &mut self.list,
            Quota::Management => &mut self.management,
            Quota::CustomModelCopy => &mut self.custom_model_copy,
        }
    }
}

impl Usage {
    /// The earliest time at which a request may be sent.
    fn free_at(&self, per_second: usize, now: Instant) -> Instant {
        let in_second = self.below(per_second, SECOND, now);
        let in_minute = self.per_minute.map_or(now, |limit| self.below(limit, MINUTE, now));
        in_second.max(in_minute).max(self.paused_until.unwrap_or(now))
    }

    /// The earliest time at which fewer than `limit` requests are in a window that ends then.
    fn below(&self, limit: usize, window: Duration, now: Instant) -> Instant {
        let last_counted = self.sent.len().checked_sub(limit).and_then(|index| self.sent.get(index));
        last_counted.map_or(now, |sent_at| now.max(*sent_at + window))
    }

    fn remove(&mut self, sent_at: Instant) {
        if let Ok(index) = self.sent.binary_search(&sent_at) {
            self.sent.remove(index);
        }
    }

    /// Number of requests in the window that ends at `end`.
    fn sent_within(&self, window: Duration, end: Instant) -> usize {
        let until_end = self.sent.iter().rev().filter(|sent_at| **sent_at <= end);
        until_end.take_while(|sent_at| **sent_at + window > end).count()
    }
}

impl TotalLimit {
    /// Doubles the limit after an answer, if a raise is due.
    fn record_answer(&mut self, now: Instant) {
        if self.raise_at.is_none_or(|at| at <= now) && self.per_second < UNLIMITED {
            self.per_second = (self.per_second * 2).min(UNLIMITED);
            self.raise_at = self.raise_at.map(|_| now + RAISE_INTERVAL);
        }
    }

    /// Sets the limit to the number of requests that were accepted in the second before a rate-limited request.
    fn record_throttled(&mut self, sent_at: Instant, accepted: usize, now: Instant) {
        self.per_second = self.per_second.min(accepted.max(1));
        match self.limited_at {
            // Part of the same burst: it was sent before the limit was reduced.
            Some(limited_at) if sent_at <= limited_at => {}
            Some(_) => {
                self.raise_delay = self.raise_delay.saturating_mul(4).min(MINUTE * 60);
                self.delay_raise(now);
            }
            None => self.delay_raise(now),
        }
    }

    fn delay_raise(&mut self, now: Instant) {
        self.limited_at = Some(now);
        self.raise_at = Some(now + self.raise_delay);
    }
}

impl Default for TotalLimit {
    fn default() -> Self {
        Self { per_second: INITIAL_PER_SECOND, raise_at: None, raise_delay: FIRST_RAISE_DELAY, limited_at: None }
    }
}

/// The S0 limit per second.
fn per_second(quota: Quota) -> usize {
    match quota {
        Quota::Get => 50,
        Quota::List => 10,
        Quota::Management | Quota::CustomModelCopy => 5,
    }
}

/// The quotas that a request counts towards: a v2.1 copy is also a management request.
fn counts_towards(quota: Quota) -> &'static [Quota] {
    match quota {
        Quota::Get => &[Quota::Get],
        Quota::List => &[Quota::List],
        Quota::Management => &[Quota::Management],
        Quota::CustomModelCopy => &[Quota::Management, Quota::CustomModelCopy],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

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
        assert!((9.0..=10.0).contains(&seconds) && throttled_count == 0, "{seconds} {throttled_count}");
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
    async fn the_limit_is_raised_again_after_a_429() {
        let limiter = RateLimiter::default();
        let permit = limiter.acquire(Quota::Get, Instant::now() + FAR).await.unwrap();
        limiter.record(permit, &throttled(1));
        let (seconds, throttled_count) = send(&limiter, Quota::Get, 5000, 50).await;
        assert!(seconds < 300.0 && throttled_count == 0, "{seconds} {throttled_count}");
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
        for _ in 0..5 {
            let permit = limiter.acquire(Quota::Management, now + FAR).await.unwrap();
            limiter.record(permit, &Ok(()));
        }
        assert!(limiter.acquire(Quota::Management, now + Duration::from_millis(500)).await.is_err());
        assert_eq!(now.elapsed(), Duration::ZERO);
    }
}
