//! How often and how long a request is sent again.

use std::time::Duration;

use tokio::time::Instant;

/// How long a read is repeated while no usable answer comes, if nothing can go on without it.
const DECISIVE_TIME: Duration = Duration::from_secs(30);
/// How long after the end a mutating request still waits for its answer: without it, its effect is not known.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// The same where nothing is reserved: for an analysis, and for the deletion of a leftover.
const SHORT_GRACE: Duration = Duration::from_millis(500);

/// How often and how long a request is sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// How often it is sent at most while no usable answer comes; 1 for requests that must not be repeated blindly.
    pub(super) max_attempts: u32,
    /// How long it is sent at least while no usable answer comes.
    pub(super) unanswered_time: Duration,
    /// Whether an id is reserved or a copy may be running. Then a connection is tried until the end.
    pub(super) is_reserved: bool,
    /// After which answers to send it again.
    pub(super) repeats: Repeats,
    /// When to end, if that is before the deadline; for a cleanup also if it is later.
    pub(super) until: Option<Instant>,
    /// How long after the end a mutating request still waits for its answer.
    pub(super) answer_grace: Duration,
    /// When a new connection must be there, if that is before the end.
    pub(super) connect_by: Option<Instant>,
    /// Whether the request ignores the deadline and cancellation.
    pub(super) is_cleanup: bool,
}

/// After which answers a request is sent again: each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Repeats {
    /// A 429: the request was not carried out.
    AfterRateLimit,
    /// A 503: it may have been carried out.
    AfterBusy,
    /// A 404 that is not the service's own, as if no usable answer had come.
    AfterForeign404,
}

impl RetryPolicy {
    /// For reads before a copy: they may be repeated, and the copy can go on without them.
    pub(crate) const READ: Self = Self {
        max_attempts: 3,
        unanswered_time: Duration::ZERO,
        is_reserved: false,
        repeats: Repeats::AfterBusy,
        until: None,
        answer_grace: ANSWER_GRACE,
        connect_by: None,
        is_cleanup: false,
    };
    /// For reads without which a command cannot go on: they are repeated for half a minute, or until the deadline while work is
    /// half done.
    pub(crate) const DECISIVE: Self = Self { unanswered_time: DECISIVE_TIME, ..Self::READ };
    /// For the reads that verify a copy: it is there, so the target is asked until the end.
    pub(crate) const VERIFY: Self = Self { max_attempts: u32::MAX, is_reserved: true, ..Self::READ };
    /// For one attempt, which the caller repeats by its own rules.
    pub(crate) const ONCE: Self = Self { max_attempts: 1, ..Self::READ };
    /// For an authorize request. Nothing is reserved yet, so an unreachable resource ends it soon. After a 503 an id may be
    /// reserved.
    pub(crate) const AUTHORIZE: Self = Self { repeats: Repeats::AfterRateLimit, ..Self::ONCE };
    /// For a start request. An id is reserved, so a connection is tried until the deadline. After a 503 the caller looks
    /// first: the copy may have been started.
    pub(crate) const START: Self = Self { is_reserved: true, repeats: Repeats::AfterRateLimit, ..Self::ONCE };

    /// For an analysis, which is billed: it is not repeated where the service may have carried it out.
    pub(crate) const ANALYZE: Self = Self { repeats: Repeats::AfterRateLimit, answer_grace: SHORT_GRACE, ..Self::ONCE };

    /// For the deletion of a leftover, which the caller repeats by its own rules.
    pub(crate) const PRUNE: Self = Self { answer_grace: SHORT_GRACE, ..Self::ONCE };

    /// For a release: whatever the deadline and cancellation say, until a time of its own.
    #[must_use]
    pub(crate) fn cleanup(until: Instant) -> Self {
        Self { until: Some(until), is_cleanup: true, is_reserved: true, ..Self::READ }
    }

    /// The same policy for the lists of a resource: a 404 that is not the service's own proves nothing.
    #[must_use]
    pub(crate) fn for_lists(self) -> Self {
        Self { repeats: Repeats::AfterForeign404, ..self }
    }

    /// The same policy once an id is reserved, or may be: a connection is tried until the end.
    #[must_use]
    pub(crate) fn while_reserved(self) -> Self {
        Self { is_reserved: true, ..self }
    }

    /// The same policy with an earlier end.
    #[must_use]
    pub(crate) fn until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    /// When to end, given the deadline of the command.
    pub(super) fn deadline(self, deadline: Instant) -> Instant {
        match self.until {
            Some(until) if self.is_cleanup => until,
            Some(until) => until.min(deadline),
            None => deadline,
        }
    }

    pub(super) fn answer_grace(self) -> Duration {
        self.answer_grace
    }

    pub(super) fn connect_by(self) -> Option<Instant> {
        self.connect_by
    }

    pub(super) fn is_cleanup(self) -> bool {
        self.is_cleanup
    }
}
