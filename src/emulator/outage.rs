//! Times in which a resource does not answer.

use std::time::Duration;

/// A time in which one resource does not answer, counted from the start of the emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The name of the resource.
    pub resource: String,
    /// When it begins.
    pub from: Duration,
    /// When it ends; never, if absent.
    pub until: Option<Duration>,
}

impl Outage {
    /// Whether it lasts at this time after the start of the emulator.
    pub(super) fn lasts_at(&self, elapsed: Duration) -> bool {
        self.from <= elapsed && self.until.is_none_or(|until| elapsed < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_its_beginning_until_before_its_end() {
        let lasts = |from: u64, until: Option<u64>, at: u64| {
            let (from, until) = (Duration::from_secs(from), until.map(Duration::from_secs));
            Outage { resource: "source".into(), from, until }.lasts_at(Duration::from_secs(at))
        };
        assert!(!lasts(10, Some(40), 9) && lasts(10, Some(40), 10) && !lasts(10, Some(40), 40));
        assert!(lasts(0, None, 0) && lasts(10, None, 1_000_000));
    }
}
