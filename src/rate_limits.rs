//! The rate limits of a resource, as far as they are known before the first request.

use std::fmt;

/// How many requests of each kind a resource accepts. None where it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateLimits {
    /// Whether the resource has the free tier (F0): one request per second, of all kinds together.
    pub is_free: bool,
    /// Reads of one model or operation.
    pub reads: Option<Rate>,
    /// Lists, and the counts of all models.
    pub lists: Option<Rate>,
    /// Authorize, start and delete requests.
    pub management: Option<Rate>,
    /// Starts of v2.1, which may have a limit of their own.
    pub custom_model_copies: Option<Rate>,
    /// Analyses of documents.
    pub analyses: Option<Rate>,
    /// Reads of the results of analyses.
    pub results: Option<Rate>,
}

/// A number of requests in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// In a second.
    PerSecond(usize),
    /// In a minute.
    PerMinute(usize),
}

impl Rate {
    /// So many requests in so many seconds. None where that is no limit.
    pub(crate) fn new(count: f64, seconds: f64) -> Option<Self> {
        let in_second = count / seconds;
        if !(in_second.is_finite() && in_second > 0.0) {
            return None;
        }
        // A window of a second is exact for periods of a second, one of a minute for all others.
        let (period, rate): (f64, fn(usize) -> Self) =
            if seconds <= 1.0 { (1.0, Self::PerSecond) } else { (60.0, Self::PerMinute) };
        Some(rate(whole(in_second * period)))
    }

    /// The lower one.
    pub(crate) fn min(self, other: Self) -> Self {
        if other.in_minute() < self.in_minute() { other } else { self }
    }

    fn in_minute(self) -> usize {
        match self {
            Self::PerSecond(count) => count.saturating_mul(60),
            Self::PerMinute(count) => count,
        }
    }
}

/// The whole requests, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is positive and is limited")]
fn whole(requests: f64) -> usize {
    (requests.clamp(1.0, 1_000_000.0)) as usize
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(count) => write!(f, "{count} per second"),
            Self::PerMinute(count) => write!(f, "{count} per minute"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_counted_in_its_own_time() {
        for (count, seconds, rate) in [
            (5.0, 1.0, Some(Rate::PerSecond(5))),
            (1.0, 60.0, Some(Rate::PerMinute(1))),
            (500.0, 10.0, Some(Rate::PerMinute(3000))),
            (0.5, 1.0, Some(Rate::PerSecond(1))),
            (0.0, 1.0, None),
            (-1.0, 1.0, None),
            (1.0, 0.0, None),
            (f64::NAN, 1.0, None),
        ] {
            assert_eq!(Rate::new(count, seconds), rate, "{count} in {seconds}");
        }
        assert_eq!(Rate::PerSecond(1).min(Rate::PerMinute(10)), Rate::PerMinute(10));
        assert_eq!(Rate::PerMinute(70).min(Rate::PerSecond(1)), Rate::PerSecond(1));
    }
}
