//! The rate limiter against resources with different limits, in virtual time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::RateLimiter;
use crate::api::Quota;
use crate::error::{Delivery, Error, ErrorKind, ServiceError};

const FAR: Duration = Duration::from_secs(24 * 60 * 60);
const LATENCIES: [u32; 3] = [1, 50, 300];

/// How a resource counts requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// In every period of a second.
    Sliding,
    /// From one full second to the next.
    FixedSecond,
    /// From one full minute to the next.
    FixedMinute,
}

/// A resource that accepts a number of requests per period.
struct Resource {
    began: Instant,
    counting: Counting,
    limit: Cell<u32>,
    latency: Duration,
    /// The tier that its errors name.
    tier: Option<&'static str>,
    accepted: RefCell<VecDeque<Instant>>,
    rejected: Cell<u32>,
}

impl Resource {
    fn new(counting: Counting, limit: u32, milliseconds: u32) -> Self {
        Self {
            began: Instant::now(),
            counting,
            limit: Cell::new(limit),
            latency: Duration::from_millis(milliseconds.into()),
            tier: None,
            accepted: RefCell::default(),
            rejected: Cell::new(0),
        }
    }

    /// Accepts a request, or says when to try again.
    async fn answer(&self) -> Result<(), Error> {
        sleep(self.latency / 2).await;
        let answer = self.count(Instant::now());
        sleep(self.latency / 2).await;
        answer
    }

    fn count(&self, now: Instant) -> Result<(), Error> {
        let period = Duration::from_secs(if self.counting == Counting::FixedMinute { 60 } else { 1 });
        let passed = now - self.began;
        let of_period = passed.saturating_sub(period * u32::try_from(passed.as_millis() / period.as_millis()).unwrap());
        let mut accepted = self.accepted.borrow_mut();
        let is_counted = |then: &Instant| match self.counting {
            Counting::Sliding => *then + period > now,
            Counting::FixedSecond | Counting::FixedMinute => *then + of_period >= now,
        };
        while accepted.front().is_some_and(|then| !is_counted(then)) {
            accepted.pop_front();
        }
        if accepted.len() < self.limit.get() as usize {
            accepted.push_back(now);
            return Ok(());
        }
        self.rejected.set(self.rejected.get() + 1);
        let wait = match self.counting {
            Counting::Sliding => accepted[0] + period - now,
            Counting::FixedSecond | Counting::FixedMinute => period.saturating_sub(of_period),
        };
        let retry_after = Some(Duration::from_secs((wait + Duration::from_millis(999)).as_secs().max(1)));
        let error = Error::new(ErrorKind::Unavailable, "429").with_delivery(Delivery::Throttled { retry_after });
        let Some(tier) = self.tier else { return Err(error) };
        let message = format!("rate limit of your current FormRecognizer {tier} pricing tier").as_str().into();
        Err(error.with_source(ServiceError { code: None, message, outer: None }))
    }
}

/// Sends requests at the same time until each was accepted once, as a client does: a rejected one waits as it was told.
async fn send(limiter: &RateLimiter, resource: &Resource, quota: Quota, count: u32) {
    join_all((0..count).map(|_| async {
        loop {
            let permit = limiter.acquire(quota, Instant::now() + FAR).await.unwrap();
            let answer = resource.answer().await;
            limiter.record(permit, &answer);
            match answer {
                Ok(()) => return,
                Err(error) => sleep(error.retry_after().unwrap_or_default()).await,
            }
        }
    }))
    .await;
}

/// Sends management calls to a resource. Returns the seconds that this took, and the number of 429s.
async fn run(resource: &Resource, count: u32) -> (f64, u32) {
    send(&RateLimiter::default(), resource, Quota::Management, count).await;
    (resource.began.elapsed().as_secs_f64(), resource.rejected.get())
}

#[tokio::test(start_paused = true)]
async fn sixty_calls_take_what_five_per_second_dictate() {
    for counting in [Counting::Sliding, Counting::FixedSecond] {
        for latency in LATENCIES {
            let (seconds, rejected) = run(&Resource::new(counting, 5, latency), 60).await;
            // A copy takes another 2.5 s.
            let is_good = seconds + 2.5 <= 1.06 * 14.5 && rejected <= 1;
            assert!(is_good, "{counting:?}, {latency} ms: {seconds} s, {rejected} rejected");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_calls_take_what_the_limit_dictates() {
    for counting in [Counting::Sliding, Counting::FixedSecond] {
        for (limit, count, longest) in [(1, 120, 1.08), (5, 600, 1.08), (20, 1200, 1.15), (100, 6000, 1.2)] {
            for latency in LATENCIES {
                let (seconds, rejected) = run(&Resource::new(counting, limit, latency), count).await;
                let ratio = seconds / (f64::from(count) / f64::from(limit));
                let is_good = ratio <= longest && rejected <= count * 2 / 100 + 1;
                assert!(is_good, "{limit}/s, {counting:?}, {latency} ms: {ratio}, {rejected} of {count} rejected");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_the_number_of_calls_doubles_every_second() {
    for latency in LATENCIES {
        let (seconds, rejected) = run(&Resource::new(Counting::Sliding, u32::MAX, latency), 2000).await;
        // With the first answers the limit grows by two for each of them, later it doubles every second.
        let longest = 1.2 + f64::from(latency).log2() * 0.6;
        assert!(seconds <= longest && rejected == 0, "{latency} ms: {seconds} s, {rejected} rejected");
    }
}

#[tokio::test(start_paused = true)]
async fn the_free_tier_is_probed_once() {
    for latency in LATENCIES {
        let resource = Resource { tier: Some("F0"), ..Resource::new(Counting::Sliding, 1, latency) };
        let limiter = RateLimiter::default();
        let of = |quota, count| send(&limiter, &resource, quota, count);
        tokio::join!(of(Quota::Get, 80), of(Quota::Management, 40), of(Quota::List, 3));
        let (seconds, rejected) = (resource.began.elapsed().as_secs_f64(), resource.rejected.get());
        assert!(seconds <= 1.05 * 123.0 && rejected == 1, "{latency} ms: {seconds} s, {rejected} rejected");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_changes_is_followed() {
    for (first, second) in [(5, 20), (20, 5), (100, 20), (20, 100)] {
        for latency in LATENCIES {
            let resource = Resource::new(Counting::Sliding, first, latency);
            let change = async {
                sleep(Duration::from_secs(30)).await;
                resource.limit.set(second);
            };
            let limiter = RateLimiter::default();
            let count = first * 30 + second * 120;
            tokio::join!(send(&limiter, &resource, Quota::Management, count), change);
            let seconds = resource.began.elapsed().as_secs_f64();
            let rejected = resource.rejected.get();
            let is_good = seconds <= 1.45 * 150.0 && rejected <= count * 3 / 100;
            assert!(is_good, "{first} to {second}, {latency} ms: {seconds} s, {rejected} of {count} rejected");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_a_resource() {
    for (limit, delay) in [(5, 0), (20, 0), (20, 5), (5, 5)] {
        for latency in LATENCIES {
            let resource = Resource::new(Counting::Sliding, limit, latency);
            let (one, other) = (RateLimiter::default(), RateLimiter::default());
            let later = async {
                sleep(Duration::from_secs(delay)).await;
                send(&other, &resource, Quota::Management, limit * 30).await;
                resource.began.elapsed().as_secs_f64()
            };
            let first = async {
                send(&one, &resource, Quota::Management, limit * 30).await;
                resource.began.elapsed().as_secs_f64()
            };
            let (a, b) = tokio::join!(first, later);
            let rejected = resource.rejected.get();
            let is_good = a.max(b) <= 120.0 && rejected <= limit * 6;
            assert!(is_good, "{limit}, +{delay} s, {latency} ms: {a} s, {b} s, {rejected} of {} rejected", limit * 60);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_measured_while_another_process_used_the_resource_is_soon_raised() {
    for (quota, limit) in [(Quota::Get, 50), (Quota::List, 10), (Quota::Management, 5)] {
        for used in [limit / 2, limit - 1] {
            for latency in LATENCIES {
                let resource = Resource { tier: Some("S0"), ..Resource::new(Counting::FixedSecond, limit, latency) };
                join_all((0..used).map(|_| resource.answer())).await;
                let began = Instant::now();
                send(&RateLimiter::default(), &resource, quota, limit * 15).await;
                let (seconds, rejected) = (began.elapsed().as_secs_f64(), resource.rejected.get());
                // The first second has little left, and the limit is raised two seconds after the 429.
                let is_good = seconds <= 1.05 * 15.0 + 3.2 && rejected <= limit;
                assert!(is_good, "{quota:?}, {used} used, {latency} ms: {seconds} s, {rejected} rejected");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_per_minute_is_learned() {
    for latency in LATENCIES {
        let (seconds, rejected) = run(&Resource::new(Counting::FixedMinute, 300, latency), 1500).await;
        assert!(seconds <= 1.05 * 240.0 && rejected <= 100, "{latency} ms: {seconds} s, {rejected} rejected");
    }
}
