//! Exponential backoff with jitter.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Returns the delay after a number of failures: 0.5 s, doubled with each failure up to 30 s, minus up to half of it.
///
/// `jitter` is between 0 and 1 and sets how much is subtracted.
#[must_use]
pub(crate) fn backoff(failures: u32, jitter: f64) -> Duration {
    const FIRST: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(30);
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(MAX).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

/// Returns a random number from 0 to 1. Its source is the random seed of the standard library's hash maps.
#[must_use]
pub(crate) fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_30_seconds_and_jitter_subtracts_up_to_half() {
        let full: Vec<_> = (1..=9).map(|failures| backoff(failures, 0.0).as_secs_f64()).collect();
        assert_eq!(full, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(backoff(3, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(u32::MAX, 0.0), Duration::from_secs(30));
    }
}
