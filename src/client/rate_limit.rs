//! The pace-keeper of one resource: what it may be asked in a second, and how long it wants to be left alone.
//!
//! A standard resource (S0) takes 50 reads, 10 lists and 5 changes a second, a free one (F0) a single request, and no
//! call tells which one it is. So the pace begins slowly, doubles while the answers are good, and learns from the first
//! 429: as much as was accepted in the second before is what the resource takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Line, Notify};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::api::Quota;
use crate::error::{Delivery, Error};

/// The second of the limits, and a little more: what leaves at even distances does not arrive at even distances.
const SECOND: Duration = Duration::from_millis(1050);
/// The minute in which v2.1 takes a copy, likewise.
const MINUTE: Duration = Duration::from_millis(60_500);
/// Whoever is told to wait longer has met another limit than that of a second.
const LONGEST_WAIT_OF_A_SECOND: Duration = Duration::from_secs(5);
/// How many requests of any kind a resource is trusted with before it has answered the first one.
const FIRST: usize = 2;
/// All limits of a standard resource together: from here on there is none in all.
const NO_CEILING: usize = 50 + 10 + 5;
/// After how long a pace that has met a 429 is doubled again; four times as long each time that was too early.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);
/// From one doubling to the next, once the first one has gone well.
const STEP: Duration = Duration::from_secs(5);
/// How many copies are under way for each request that a resource takes in a second: each one mostly waits.
const COPIES_PER_REQUEST: usize = 10;

/// Shared by everything that talks to one resource.
#[derive(Debug, Clone, Default)]
pub(super) struct RateLimiter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Who waits for a turn stands in line with others of its kind, first come, first served.
    lines: EachQuota<Line<()>>,
    state: Mutex<State>,
    /// The state may allow more than they did.
    changed: Notify,
}

/// One of them for each quota.
#[derive(Debug, Default)]
struct EachQuota<T> {
    get: T,
    list: T,
    management: T,
    custom_model_copy: T,
}

/// What was sent and what has been learned from it.
#[derive(Debug, Default)]
struct State {
    quotas: EachQuota<Account>,
    all: Account,
    ceiling: Ceiling,
}

/// What counts together.
#[derive(Debug, Default)]
struct Account {
    /// When requests were sent that were not turned away, the oldest first, for a minute.
    sent: VecDeque<Instant>,
    /// What is taken in a minute, where that was learned.
    per_minute: Option<usize>,
    /// A 429 pauses every request of its kind, not only the one that met it.
    paused_until: Option<Instant>,
}

/// How many requests of all kinds the resource is believed to take in a second.
#[derive(Debug)]
struct Ceiling {
    per_second: usize,
    /// When to try more, after a 429; until the first one, each good answer is reason enough.
    raise_at: Option<Instant>,
    patience: Duration,
    /// When the last 429 was met that was not of the same burst as the one before.
    struck_at: Option<Instant>,
}

/// Leave to send one request now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    quota: Quota,
    at: Instant,
}

impl RateLimiter {
    /// Waits until a request may be sent.
    ///
    /// # Errors
    /// At once, when its turn would come after `until`: with the time of the turn.
    pub(super) async fn turn(&self, quota: Quota, until: Instant) -> Result<Turn, Instant> {
        let _place = timeout_at(until, self.0.lines.of(quota).lock()).await.map_err(|_| until)?;
        loop {
            let changed = self.0.changed.notified();
            let turn = self.state(|state| state.take(quota, Instant::now()));
            let Err(at) = turn else { return turn };
            if at > until {
                return Err(at);
            }
            tokio::select! {
                () = sleep_until(at) => {}
                () = changed => {}
            }
        }
    }

    /// Learns from what came of a request.
    pub(super) fn learn<T>(&self, turn: Turn, result: &Result<T, Error>) {
        let now = Instant::now();
        match result.as_ref().map_err(Error::delivery) {
            Err(Delivery::Throttled { retry_after }) => {
                self.state(|state| state.turned_away(turn, retry_after, now));
            }
            Err(Delivery::NotSent | Delivery::Unanswered | Delivery::NotProcessed | Delivery::OutOfQuota { .. }) => {
                return;
            }
            Ok(_) | Err(Delivery::Final(_)) => self.state(|state| state.ceiling.passed(now)),
        }
        self.0.changed.notify_waiters();
    }

    /// Whether it takes a request or two in a second.
    pub(super) fn is_slow(&self) -> bool {
        self.state(|state| state.ceiling.raise_at.is_some() && state.ceiling.per_second <= FIRST)
    }

    /// Whether v2.1 copies were found to be limited by the minute.
    pub(super) fn copies_by_the_minute(&self) -> bool {
        self.state(|state| state.quotas.custom_model_copy.per_minute.is_some())
    }

    /// When a request could be sent at the earliest, as far as is known.
    pub(super) fn earliest(&self, quota: Quota) -> Instant {
        self.state(|state| state.free_at(quota, Instant::now()))
    }

    /// How many copies are well under way at the same time.
    pub(super) fn room(&self) -> usize {
        self.state(|state| state.ceiling.per_second * COPIES_PER_REQUEST)
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// When there may be a turn.
    fn free_at(&self, quota: Quota, now: Instant) -> Instant {
        let own = counted_in(quota).iter().map(|counted| self.quotas.of(*counted).free_at(per_second(*counted), now));
        let in_all = match self.ceiling.per_second {
            NO_CEILING.. => now,
            most => self.all.room_at(most, SECOND, now),
        };
        own.fold(in_all, Instant::max)
    }

    /// Takes a turn, or says when there may be one.
    fn take(&mut self, quota: Quota, now: Instant) -> Result<Turn, Instant> {
        let at = self.free_at(quota, now);
        if at > now {
            return Err(at);
        }
        self.all.sent.push_back(now);
        for counted in counted_in(quota) {
            self.quotas.of_mut(*counted).sent.push_back(now);
        }
        self.forget(now);
        Ok(Turn { quota, at: now })
    }

    fn turned_away(&mut self, turn: Turn, retry_after: Option<Duration>, now: Instant) {
        self.all.strike_out(turn.at);
        for counted in counted_in(turn.quota) {
            self.quotas.of_mut(*counted).strike_out(turn.at);
        }
        let account = self.quotas.of_mut(turn.quota);
        account.paused_until = account.paused_until.max(retry_after.map(|wait| now + wait));
        match retry_after {
            Some(wait) if wait <= LONGEST_WAIT_OF_A_SECOND => {
                self.ceiling.struck(turn.at, self.all.sent_within(SECOND, turn.at), now);
            }
            Some(_) if turn.quota == Quota::CustomModelCopy => {
                account.per_minute = Some(account.sent_within(MINUTE, turn.at).max(1));
            }
            // A 429 says how long to wait. Without that, it is a service that is down, and no limit.
            Some(_) | None => {}
        }
    }

    fn forget(&mut self, now: Instant) {
        let EachQuota { get, list, management, custom_model_copy } = &mut self.quotas;
        for account in [get, list, management, custom_model_copy, &mut self.all] {
            while account.sent.front().is_some_and(|then| *then + MINUTE <= now) {
                account.sent.pop_front();
            }
        }
    }
}

impl<T> EachQuota<T> {
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

impl Account {
    fn free_at(&self, per_second: usize, now: Instant) -> Instant {
        let of_second = self.room_at(per_second, SECOND, now);
        let of_minute = self.per_minute.map_or(now, |most| self.room_at(most, MINUTE, now));
        of_second.max(of_minute).max(self.paused_until.unwrap_or(now))
    }

    /// When fewer than `most` will have been sent within the time before.
    fn room_at(&self, most: usize, within: Duration, now: Instant) -> Instant {
        let last_in_the_way = self.sent.len().checked_sub(most).and_then(|at| self.sent.get(at));
        last_in_the_way.map_or(now, |then| now.max(*then + within))
    }

    /// What was turned away does not count.
    fn strike_out(&mut self, sent: Instant) {
        if let Ok(at) = self.sent.binary_search(&sent) {
            self.sent.remove(at);
        }
    }

    fn sent_within(&self, within: Duration, now: Instant) -> usize {
        self.sent.iter().rev().filter(|then| **then <= now).take_while(|then| **then + within > now).count()
    }
}

impl Ceiling {
    /// A good answer: more may be tried.
    fn passed(&mut self, now: Instant) {
        if self.raise_at.is_none_or(|at| at <= now) && self.per_second < NO_CEILING {
            self.per_second = (self.per_second * 2).min(NO_CEILING);
            // Where that goes well, there was no lasting limit, and the next step comes soon.
            self.raise_at = self.raise_at.map(|_| now + STEP);
        }
    }

    /// A 429 to a request that was sent then, after this many had been accepted in a second.
    fn struck(&mut self, sent: Instant, accepted: usize, now: Instant) {
        self.per_second = self.per_second.min(accepted.max(1));
        match self.struck_at {
            // Of the same burst: it was sent before anything was learned.
            Some(struck_at) if sent <= struck_at => {}
            Some(_) => {
                self.patience = self.patience.saturating_mul(4).min(MINUTE * 60);
                self.wait(now);
            }
            None => self.wait(now),
        }
    }

    fn wait(&mut self, now: Instant) {
        self.struck_at = Some(now);
        self.raise_at = Some(now + self.patience);
    }
}

impl Default for Ceiling {
    fn default() -> Self {
        Self { per_second: FIRST, raise_at: None, patience: FIRST_PATIENCE, struck_at: None }
    }
}

/// What a standard resource takes in a second.
fn per_second(quota: Quota) -> usize {
    match quota {
        Quota::Get => 50,
        Quota::List => 10,
        Quota::Management | Quota::CustomModelCopy => 5,
    }
}

fn counted_in(quota: Quota) -> &'static [Quota] {
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

    /// Sends as many requests as the pace allows to a resource that takes so many in a second, until so many were
    /// accepted. Says how long that took and how often it was turned away.
    async fn send(limiter: &RateLimiter, quota: Quota, count: usize, takes: usize) -> (f64, usize) {
        let began = Instant::now();
        let (mut accepted, mut turned_away) = (VecDeque::<Instant>::new(), 0);
        while accepted.len() < count {
            let turn = limiter.turn(quota, began + FAR).await.unwrap();
            let recent = accepted.iter().filter(|then| then.elapsed() < Duration::from_secs(1)).count();
            if recent < takes {
                accepted.push_back(Instant::now());
                limiter.learn(turn, &Ok(()));
            } else {
                turned_away += 1;
                limiter.learn(turn, &throttled(1));
            }
        }
        (began.elapsed().as_secs_f64(), turned_away)
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_spread_over_seconds_and_reads_are_not_held_up_by_them() {
        let limiter = RateLimiter::default();
        let (seconds, turned_away) = send(&limiter, Quota::Management, 50, 5).await;
        assert!((9.0..=10.0).contains(&seconds) && turned_away == 0, "{seconds} {turned_away}");
        let (seconds, _) = send(&limiter, Quota::Get, 50, 50).await;
        assert!(seconds < 0.01, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_resource_is_known_by_its_first_429_and_seldom_meets_another() {
        let limiter = RateLimiter::default();
        let (seconds, turned_away) = send(&limiter, Quota::Get, 200, 1).await;
        assert!(seconds < 200.0 * 1.15 && turned_away <= 4, "{seconds} {turned_away}");
        assert_eq!(limiter.room(), COPIES_PER_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_on_a_busy_resource_does_not_slow_it_down_for_good() {
        let limiter = RateLimiter::default();
        let turn = limiter.turn(Quota::Get, Instant::now() + FAR).await.unwrap();
        limiter.learn(turn, &throttled(1));
        let (seconds, turned_away) = send(&limiter, Quota::Get, 5000, 50).await;
        assert!(seconds < 300.0 && turned_away == 0, "{seconds} {turned_away}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_is_turned_away_counts_once_and_a_service_that_is_down_not_at_all() {
        for (answer, longest) in [(throttled(1), 60.0), (Err(unavailable()), 5.0)] {
            let limiter = RateLimiter::default();
            send(&limiter, Quota::Get, 200, 50).await;
            let until = Instant::now() + FAR;
            let mut burst = Vec::new();
            for _ in 0..25 {
                burst.push(limiter.turn(Quota::Get, until).await.unwrap());
            }
            for turn in burst {
                limiter.learn(turn, &answer);
            }
            let (seconds, turned_away) = send(&limiter, Quota::Get, 100, 50).await;
            assert!(seconds < longest && turned_away == 0, "{seconds} {turned_away}");
        }
    }

    fn unavailable() -> Error {
        Error::new(ErrorKind::Unavailable, "503").with_delivery(Delivery::Throttled { retry_after: None })
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_every_request_of_its_kind_and_no_other() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        let turn = limiter.turn(Quota::Management, now + FAR).await.unwrap();
        limiter.learn(turn, &throttled(43));
        limiter.turn(Quota::Get, now + FAR).await.unwrap();
        assert_eq!(now.elapsed(), Duration::ZERO);
        let late = limiter.turn(Quota::Management, now + Duration::from_secs(42)).await.unwrap_err();
        assert_eq!(late, now + Duration::from_secs(43));
        limiter.clone().turn(Quota::Management, now + FAR).await.unwrap();
        assert_eq!(now.elapsed(), Duration::from_secs(43));
    }

    #[tokio::test(start_paused = true)]
    async fn the_minute_between_two_copies_of_v2_1_is_learned_once() {
        let (limiter, began) = (RateLimiter::default(), Instant::now());
        let (mut last, mut accepted, mut turned_away) = (None::<Instant>, 0, 0);
        while accepted < 5 {
            let turn = limiter.turn(Quota::CustomModelCopy, began + FAR).await.unwrap();
            let since = last.map_or(60, |last| last.elapsed().as_secs());
            if since >= 60 {
                (last, accepted) = (Some(Instant::now()), accepted + 1);
                limiter.learn(turn, &Ok(()));
            } else {
                turned_away += 1;
                limiter.learn(turn, &throttled(60 - since));
            }
        }
        assert!(began.elapsed().as_secs() <= 243 && turned_away == 1, "{:?} {turned_away}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_have_a_turn_in_time_hears_it_at_once() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        for _ in 0..5 {
            let turn = limiter.turn(Quota::Management, now + FAR).await.unwrap();
            limiter.learn(turn, &Ok(()));
        }
        assert!(limiter.turn(Quota::Management, now + Duration::from_millis(500)).await.is_err());
        assert_eq!(now.elapsed(), Duration::ZERO);
    }
}
