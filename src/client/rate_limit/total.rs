//! The requests of all kinds together: does the resource accept more than one per second?

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::window::{INITIAL_PER_SECOND, MAX_RAISE_DELAY, RAISE_DELAY, SECOND};
use crate::api::service_error::NamedTier;

/// The window of one request, with a margin for network delays.
const FIRST_SPAN: Duration = Duration::from_millis(1020);
/// How much longer the window becomes if a request is rejected although the limit was kept.
const SPAN_STEP: Duration = Duration::from_millis(20);
const MAX_SPAN: Duration = Duration::from_millis(1100);

/// The requests of all kinds, and whether the resource has one limit for all of them.
#[derive(Debug)]
pub(super) struct Total {
    /// Send times of the last seconds, the oldest first, without rejected requests.
    sent: VecDeque<Instant>,
    mode: Mode,
    /// The limit per second while it is not known whether there is one.
    per_second: usize,
    /// When the last accepted request was sent.
    accepted_at: Option<Instant>,
    span: Duration,
    /// Delay from the next 429 to the next try.
    try_delay: Duration,
    /// Time of the last 429, without those of the same burst.
    limited_at: Option<Instant>,
    paused_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It is not known. Two requests per second are tried, and one more for each answer.
    Unknown,
    /// Only the kinds are limited.
    Unlimited,
    /// One request per second.
    One {
        /// When two are tried again; None: never.
        until: Option<Instant>,
    },
}

impl Default for Total {
    fn default() -> Self {
        Self {
            sent: VecDeque::new(),
            mode: Mode::Unknown,
            per_second: INITIAL_PER_SECOND,
            accepted_at: None,
            span: FIRST_SPAN,
            try_delay: RAISE_DELAY,
            limited_at: None,
            paused_until: None,
        }
    }
}

impl Total {
    /// The resource accepts one request per second, of all kinds.
    pub(super) fn set_one(&mut self) {
        self.mode = Mode::One { until: None };
    }

    /// Only the kinds are limited, until a 429 shows otherwise.
    pub(super) fn set_unlimited(&mut self) {
        self.mode = Mode::Unlimited;
    }

    /// Whether only the kinds are limited.
    pub(super) fn is_unlimited(&self) -> bool {
        self.mode == Mode::Unlimited
    }

    /// Whether one request per second is accepted, of all kinds.
    pub(super) fn is_one(&self, now: Instant) -> bool {
        matches!(self.mode, Mode::One { until } if until.is_none_or(|until| now < until))
    }

    /// The earliest time at which a request may be sent.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        let limit = match self.mode {
            Mode::Unlimited => return now,
            _ if self.is_one(now) => 1,
            Mode::Unknown | Mode::One { .. } => self.per_second,
        };
        let last_counted = self.sent.len().checked_sub(limit).and_then(|index| self.sent.get(index));
        let free_at = last_counted.map_or(now, |sent_at| now.max(*sent_at + self.span));
        free_at.max(self.paused_until.unwrap_or(now))
    }

    /// Counts a request.
    pub(super) fn push(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|then| *then + MAX_SPAN * 2 <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// Does not count a request that was rejected by another limit.
    pub(super) fn remove(&mut self, sent_at: Instant) {
        if let Ok(index) = self.sent.binary_search(&sent_at) {
            self.sent.remove(index);
        }
    }

    /// Two requests that were accepted within a second show that there is no limit for all kinds.
    pub(super) fn record_answer(&mut self, sent_at: Instant) {
        let is_final = matches!(self.mode, Mode::One { until: None });
        let is_close = |other: Instant| {
            let (first, last) = (other.min(sent_at), other.max(sent_at));
            last - first < SECOND && self.limited_at.is_none_or(|limited_at| first > limited_at)
        };
        if !is_final && self.accepted_at.is_some_and(is_close) {
            self.mode = Mode::Unlimited;
        }
        self.accepted_at = Some(sent_at);
        self.per_second += 1;
    }

    /// Removes a rejected request. If none or one other was accepted in the second before, there is a limit for all kinds,
    /// unless the answer names the standard tier, which has none.
    pub(super) fn record_throttled(
        &mut self,
        sent_at: Instant,
        retry_after: Option<Duration>,
        tier: Option<NamedTier>,
        now: Instant,
    ) {
        self.remove(sent_at);
        let names_free_tier = tier == Some(NamedTier::Free);
        if tier == Some(NamedTier::Standard) && self.mode != (Mode::One { until: None }) {
            self.mode = Mode::Unlimited;
            return;
        }
        let is_new = self.limited_at.is_none_or(|limited_at| sent_at > limited_at);
        let accepted = self.sent.iter().rev().take_while(|other| **other + SECOND > sent_at).count();
        if !names_free_tier && accepted > 1 {
            return;
        }
        if is_new {
            if self.is_one(now) {
                self.span = (self.span + SPAN_STEP).min(MAX_SPAN);
            } else if self.limited_at.is_some() {
                self.try_delay = self.try_delay.saturating_mul(2).min(MAX_RAISE_DELAY);
            }
            self.limited_at = Some(now);
        }
        self.per_second = INITIAL_PER_SECOND;
        let is_final = names_free_tier || self.mode == Mode::One { until: None };
        self.mode = Mode::One { until: (!is_final).then(|| now + self.try_delay) };
        self.paused_until = self.paused_until.max(retry_after.map(|wait| now + wait));
    }
}
