//! Times in which a resource does not answer.

use std::path::PathBuf;
use std::time::Duration;

/// A time in which one resource does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The name of the resource.
    pub resource: String,
    /// When it does not answer.
    pub when: OutageTime,
}

/// When an outage lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutageTime {
    /// For a time that is counted from the start of the emulator.
    Between {
        /// When it begins.
        from: Duration,
        /// When it ends; never, if absent.
        until: Option<Duration>,
    },
    /// As long as there is a file with this path.
    WhileExists(PathBuf),
}

impl Outage {
    /// An outage that begins and ends at these times after the start of the emulator; without an end, it lasts for ever.
    #[must_use]
    pub fn between(resource: &str, from: Duration, until: Option<Duration>) -> Self {
        Self { resource: resource.to_owned(), when: OutageTime::Between { from, until } }
    }

    /// Whether it lasts at this time after the start of the emulator.
    pub(super) fn lasts_at(&self, elapsed: Duration) -> bool {
        match &self.when {
            OutageTime::Between { from, until } => *from <= elapsed && until.is_none_or(|until| elapsed < until),
            OutageTime::WhileExists(path) => path.exists(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_its_beginning_until_before_its_end() {
        let lasts = |from: u64, until: Option<u64>, at: u64| {
            let (from, until) = (Duration::from_secs(from), until.map(Duration::from_secs));
            Outage::between("source", from, until).lasts_at(Duration::from_secs(at))
        };
        assert!(!lasts(10, Some(40), 9) && lasts(10, Some(40), 10) && !lasts(10, Some(40), 40));
        assert!(lasts(0, None, 0) && lasts(10, None, 1_000_000));
    }

    #[test]
    fn an_outage_lasts_as_long_as_its_file_exists() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("source.down");
        let outage = Outage { resource: "source".into(), when: OutageTime::WhileExists(file.clone()) };
        assert!(!outage.lasts_at(Duration::ZERO));
        std::fs::write(&file, "").unwrap();
        assert!(outage.lasts_at(Duration::ZERO));
        std::fs::remove_file(&file).unwrap();
        assert!(!outage.lasts_at(Duration::ZERO));
    }
}
