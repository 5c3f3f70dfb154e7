//! The limit of one kind of request: how many may be sent in a second, and in a minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::rate_limits::Rate;

/// What the service counts in.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The window of a limit per minute, with a margin.
const MINUTE: Duration = Duration::from_millis(60_500);
/// The window of a limit per second at first. The margin covers network delays that differ from request to request.
const FIRST_SPAN: Duration = Duration::from_millis(1050);
/// How much longer the window becomes if a request is rejected although the limit was kept.
const SPAN_STEP: Duration = Duration::from_millis(20);
/// The longest window of a limit per second.
const MAX_SPAN: Duration = Duration::from_millis(1100);
/// A longer `Retry-After` comes from another limit than one per second.
const MAX_RETRY_AFTER_PER_SECOND: Duration = Duration::from_secs(5);
/// Requests in a minute from which on a long `Retry-After` is taken for a limit per minute.
const LEAST_PER_MINUTE: usize = 10;
/// How long a limit per minute is kept before it is tried again.
const PER_MINUTE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The limit per second before the first answer.
pub(super) const INITIAL_PER_SECOND: usize = 2;
/// Delay from a 429 until the limit is raised again. It doubles with each raise that does not hold.
pub(super) const RAISE_DELAY: Duration = Duration::from_secs(20);
/// The same after the first 429, if it has shown less than a standard resource accepts: then another process used the
/// resource in that second.
const SHORT_RAISE_DELAY: Duration = Duration::from_secs(2);
/// A limit that was changed is noticed after this time.
pub(super) const MAX_RAISE_DELAY: Duration = Duration::from_secs(120);
/// Delay from one raise to the next if no 429 comes in between.
const RAISE_INTERVAL: Duration = Duration::from_secs(2);

/// The requests of one kind, and the limit that was learned from their answers.
#[derive(Debug)]
pub(super) struct Window {
    /// Send times of the last minute, the oldest first, without rejected requests.
    sent: VecDeque<Instant>,
    per_second: usize,
    /// What a standard resource (S0) accepts in a second.
    standard: usize,
    /// How long a request counts towards the limit per second.
    span: Duration,
    /// What the first 429 has shown. None before: every answer raises the limit.
    learned: Option<Learned>,
    /// The limit per minute, if a 429 has shown one.
    per_minute: Option<PerMinute>,
    /// End of the `Retry-After` of the last 429. It applies to all requests of the kind.
    paused_until: Option<Instant>,
}

/// A limit per minute.
#[derive(Debug, Clone, Copy)]
struct PerMinute {
    limit: usize,
    /// When it is tried whether it still applies; None: never.
    expires: Option<Instant>,
}

/// What 429s have shown of a limit per second.
#[derive(Debug)]
struct Learned {
    /// The limit that held before it was raised.
    base: usize,
    /// When the limit may be raised.
    raise_at: Instant,
    /// Delay from the next 429 to the next raise.
    raise_delay: Duration,
    burst: Burst,
    /// Whether the limit was measured while another process used the resource. The next raise is to the standard limit.
    is_doubtful: bool,
}

/// Requests that were rejected together: all were sent before the first 429 arrived.
#[derive(Debug, Clone, Copy)]
struct Burst {
    cause: Cause,
    /// When the first 429 arrived.
    end: Instant,
    /// The limit before.
    limit: usize,
    rejected: usize,
}

/// Why a burst of requests was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The limit was not known.
    SlowStart,
    /// The limit was raised.
    Raise,
    /// The limit that held before holds no longer, or a few requests came too close to others.
    Unknown,
}

/// One request that may be sent now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    sent_at: Instant,
    /// How many requests count towards the limit per second, with this one.
    count: usize,
}

impl Window {
    /// The requests of a kind of which a standard resource accepts so many in a second.
    pub(super) fn new(standard: usize) -> Self {
        Self {
            sent: VecDeque::new(),
            per_second: INITIAL_PER_SECOND,
            standard,
            span: FIRST_SPAN,
            learned: None,
            per_minute: None,
            paused_until: None,
        }
    }

    /// Takes over a limit that is known. It is raised for the first time after two minutes: the service may accept more.
    pub(super) fn begin_with(&mut self, rate: Rate, now: Instant) {
        match rate {
            Rate::PerMinute(limit) => self.per_minute = Some(PerMinute { limit, expires: None }),
            Rate::PerSecond(limit) => {
                self.per_second = limit;
                let burst = Burst { cause: Cause::Unknown, end: now, limit, rejected: 0 };
                let raise_delay = MAX_RAISE_DELAY;
                self.learned =
                    Some(Learned { base: limit, raise_at: now + raise_delay, raise_delay, burst, is_doubtful: false });
            }
        }
    }

    /// The limit per second.
    pub(super) fn per_second(&self) -> usize {
        self.per_second
    }

    /// The limit per minute, if one is known.
    pub(super) fn per_minute(&self) -> Option<usize> {
        self.per_minute.map(|known| known.limit)
    }

    /// The earliest time at which a request may be sent.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        self.below(self.per_second, self.span, now).max(self.free_at_in_minute(now))
    }

    /// The same without the limit per second, for requests that are counted per second elsewhere.
    pub(super) fn free_at_in_minute(&self, now: Instant) -> Instant {
        let known = self.per_minute.filter(|known| known.expires.is_none_or(|expires| now < expires));
        let in_minute = known.map_or(now, |known| self.below(known.limit, MINUTE, now));
        in_minute.max(self.paused_until.unwrap_or(now))
    }

    /// Counts a request.
    pub(super) fn push(&mut self, now: Instant) -> Slot {
        while self.sent.front().is_some_and(|then| *then + MINUTE <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        Slot { sent_at: now, count: self.sent_within(self.span, now) }
    }

    /// Raises the limit after an answer, where the request has used it up.
    pub(super) fn record_answer(&mut self, slot: Slot, now: Instant) {
        let Some(learned) = &mut self.learned else {
            self.per_second += usize::from(slot.count * 2 >= self.per_second);
            return;
        };
        if now < learned.raise_at || slot.count < self.per_second {
            return;
        }
        if self.per_second > learned.base {
            // The last raise has held.
            learned.raise_delay = RAISE_DELAY;
        }
        learned.base = self.per_second;
        learned.raise_at = now + RAISE_INTERVAL;
        let raised = self.per_second + (self.per_second / 10).max(1);
        self.per_second = if std::mem::take(&mut learned.is_doubtful) { self.standard.max(raised) } else { raised };
    }

    /// Removes a rejected request, and learns from its `Retry-After`.
    pub(super) fn record_throttled(&mut self, slot: Slot, retry_after: Option<Duration>, now: Instant) {
        self.remove(slot.sent_at);
        self.paused_until = self.paused_until.max(retry_after.map(|wait| now + wait));
        match retry_after {
            Some(wait) if wait <= MAX_RETRY_AFTER_PER_SECOND => self.reduce(slot.sent_at, now),
            Some(_) => {
                let accepted = self.sent_within(MINUTE, slot.sent_at);
                if accepted >= LEAST_PER_MINUTE {
                    let expires = Some(now + PER_MINUTE_LIFETIME);
                    self.per_minute = Some(PerMinute { limit: accepted, expires });
                }
            }
            // Without a `Retry-After` the service is unavailable (503), and no limit was met.
            None => {}
        }
    }

    /// Removes a rejected request of a kind that may be limited to a single request per minute.
    pub(super) fn record_throttled_in_minute(&mut self, slot: Slot, retry_after: Option<Duration>, now: Instant) {
        self.remove(slot.sent_at);
        self.paused_until = self.paused_until.max(retry_after.map(|wait| now + wait));
        if is_longer_than_a_second(retry_after) {
            let limit = self.sent_within(MINUTE, slot.sent_at).max(1);
            self.per_minute = Some(PerMinute { limit, expires: None });
        }
    }

    /// Sets the limit to what was accepted, as far as the rejection proves it.
    fn reduce(&mut self, sent_at: Instant, now: Instant) {
        let learned = self.learned.get_or_insert_with(|| {
            let burst = Burst { cause: Cause::SlowStart, end: now, limit: self.per_second, rejected: 0 };
            Learned { base: self.per_second, raise_at: now, raise_delay: RAISE_DELAY, burst, is_doubtful: false }
        });
        if sent_at > learned.burst.end {
            let cause = if self.per_second > learned.base { Cause::Raise } else { Cause::Unknown };
            learned.burst = Burst { cause, end: now, limit: self.per_second, rejected: 0 };
            if cause == Cause::Raise {
                learned.raise_delay = learned.raise_delay.saturating_mul(2).min(MAX_RAISE_DELAY);
            }
        }
        learned.burst.rejected += 1;
        let (base, burst) = (learned.base, learned.burst);
        // The others of the burst may be rejected too: then this is called again, and the count is lower.
        let accepted = self.sent_within(SECOND, burst.end);
        let measured = accepted.max(burst.limit / 2).max(1);
        // On a distant resource, the second before the request was sent is the better measurement.
        let accepted_before = accepted.max(self.sent_within(SECOND, sent_at));
        let few = (burst.limit / 20).max(1);
        self.per_second = match burst.cause {
            Cause::Raise if accepted_before + few >= base => base,
            Cause::Unknown if burst.rejected <= few && self.span < MAX_SPAN => burst.limit,
            Cause::Unknown if burst.rejected <= few => (burst.limit - 1).max(1),
            Cause::SlowStart | Cause::Raise | Cause::Unknown => measured.min(burst.limit),
        };
        if burst.cause == Cause::Unknown && burst.rejected == 1 {
            self.span = (self.span + SPAN_STEP).min(MAX_SPAN);
        }
        let per_second = self.per_second;
        if let Some(learned) = &mut self.learned {
            learned.base = per_second;
            learned.raise_at = now + learned.raise_delay;
        }
    }

    /// Raises the limit soon if the first 429 has shown less than a standard resource accepts.
    pub(super) fn raise_soon(&mut self, now: Instant) {
        if let Some(learned) = &mut self.learned
            && learned.burst.cause == Cause::SlowStart
            && self.per_second < self.standard
        {
            learned.raise_at = now + SHORT_RAISE_DELAY;
            learned.is_doubtful = true;
        }
    }

    /// The earliest time at which fewer than `limit` requests are in a window that ends then.
    fn below(&self, limit: usize, span: Duration, now: Instant) -> Instant {
        let last_counted = self.sent.len().checked_sub(limit).and_then(|index| self.sent.get(index));
        last_counted.map_or(now, |sent_at| now.max(*sent_at + span))
    }

    fn remove(&mut self, sent_at: Instant) {
        if let Ok(index) = self.sent.binary_search(&sent_at) {
            self.sent.remove(index);
        }
    }

    /// Number of requests in the window that ends at `end`.
    fn sent_within(&self, span: Duration, end: Instant) -> usize {
        let before = self.sent.partition_point(|sent_at| *sent_at + span <= end);
        self.sent.partition_point(|sent_at| *sent_at <= end).saturating_sub(before)
    }
}

/// Whether a `Retry-After` comes from a limit over more than a second.
pub(super) fn is_longer_than_a_second(retry_after: Option<Duration>) -> bool {
    retry_after.is_some_and(|wait| wait > MAX_RETRY_AFTER_PER_SECOND)
}
