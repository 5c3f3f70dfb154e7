//! Which models have expired, or expire soon, and which copies were verified too long ago.

use std::time::Duration;

use crate::check::Comparison;
use crate::cli::console::RETIRED;
use crate::cli::dates::{ago, days_left};
use crate::model::Model;
use jiff::{SignedDuration, Timestamp};

use super::line::{Age, EndOfLife};

/// What else counts as a difference.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// A model that expires within this time.
    pub(super) expiring_within: Option<Duration>,
    /// A copy that was last verified longer ago.
    pub(super) max_age: Option<Duration>,
}

/// Which models have expired, or expire soon, and which copies are too old.
pub(super) struct Expiring {
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
    /// By the target's own clock.
    pub(super) target_time: Option<Timestamp>,
}

impl Expiring {
    pub(super) fn end_of_life(&self, one: &Comparison) -> EndOfLife {
        let within = self.limits.expiring_within.and_then(|within| SignedDuration::try_from(within).ok());
        let expires = expires(one);
        let is = |condition: &dyn Fn(SignedDuration) -> bool| {
            expires.is_some_and(|date| condition(self.now.duration_until(date)))
        };
        EndOfLife {
            expires,
            is_soon: is(&|left| within.is_some_and(|within| left <= within)),
            is_past: is(&|left| !left.is_positive()),
            is_retired: both(one).any(Model::is_retired),
            age: Age { verified: one.verified_at, is_too_old: self.is_too_old(one) },
        }
    }

    /// Whether the copy was last verified longer ago than it may, by the target's clock. Where that is not known, it was.
    fn is_too_old(&self, one: &Comparison) -> bool {
        let Some(max_age) = self.limits.max_age.filter(|_| one.source.is_some()) else { return false };
        let age = self.target_time.zip(one.verified_at).map(|(now, verified)| verified.duration_until(now));
        age.is_none_or(|age| age.unsigned_abs() > max_age && age.is_positive())
    }

    /// Why a model cannot be used, or not for long.
    pub(super) fn reasons(&self, one: &Comparison) -> Vec<String> {
        let end = self.end_of_life(one);
        let expiry = match end.expires {
            Some(date) if end.is_past => Some(format!("expired on {date:.0}")),
            Some(date) if end.is_soon => Some(format!("expires {date:.0} ({})", days_left(date, self.now))),
            _ => None,
        };
        let retired = end.is_retired.then(|| RETIRED.to_owned());
        let too_old = end.age.is_too_old.then(|| match (end.age.verified, self.target_time) {
            (Some(time), Some(now)) => format!("too old: verified {}", ago(time, now)),
            (Some(time), None) => format!("too old, because the target sends no date: verified {time:.0}"),
            (None, _) => "too old: never verified".to_owned(),
        });
        expiry.into_iter().chain(retired).chain(too_old).collect()
    }
}

/// The lines that say how old a backup is, from when each copy was last verified.
pub(super) fn age_lines(verified: &[Option<Timestamp>], target_time: Option<Timestamp>) -> Vec<String> {
    let times = || verified.iter().copied().flatten();
    let never = verified.len() - times().count();
    let (Some(oldest), Some(newest)) = (times().min(), times().max()) else {
        return if never == 0 { Vec::new() } else { vec!["last verified: never".into()] };
    };
    // Copies of one run differ by seconds or minutes.
    let age = |time: Timestamp| target_time.map_or_else(|| format!("{time:.0}"), |now| ago(time, now));
    let when = |time: Timestamp| if target_time.is_some() { format!("{} ({time:.0})", age(time)) } else { age(time) };
    let never = (never > 0).then(|| format!("; {never} copies were never verified"));
    if never.is_none() && age(oldest) == age(newest) {
        return vec![format!("last verified: {}", when(oldest))];
    }
    vec![
        format!("oldest verification: {}{}", when(oldest), never.unwrap_or_default()),
        format!("newest verification: {}", when(newest)),
    ]
}

/// The models of a comparison.
fn both(one: &Comparison) -> impl Iterator<Item = &Model> {
    [&one.source, &one.target].into_iter().flatten()
}

/// The earlier expiry date of the two.
fn expires(one: &Comparison) -> Option<Timestamp> {
    both(one).filter_map(|model| model.expires).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_backup_is_that_of_its_oldest_and_newest_verification() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let lines = |verified: &[Option<&str>], now: Option<&str>| {
            let verified: Vec<_> = verified.iter().map(|text| text.map(time)).collect();
            age_lines(&verified, now.map(time))
        };
        let (old, new, now) =
            (Some("2026-11-20T02:00:03Z"), Some("2026-11-24T02:00:03Z"), Some("2026-11-24T05:10:00Z"));
        assert_eq!(lines(&[new, new], now), ["last verified: 3 hours ago (2026-11-24T02:00:03Z)"]);
        let same_run = Some("2026-11-24T02:09:00Z");
        assert_eq!(lines(&[same_run, new], now), ["last verified: 3 hours ago (2026-11-24T02:00:03Z)"]);
        let newest = "newest verification: 3 hours ago (2026-11-24T02:00:03Z)";
        assert_eq!(lines(&[new, old], now), ["oldest verification: 4 days ago (2026-11-20T02:00:03Z)", newest]);
        let oldest = "oldest verification: 4 days ago (2026-11-20T02:00:03Z); 1 copies were never verified";
        assert_eq!(lines(&[old, None, new], now), [oldest, newest]);
        assert_eq!(lines(&[new], None), ["last verified: 2026-11-24T02:00:03Z"]);
        assert_eq!(lines(&[None], now), ["last verified: never"]);
        assert!(lines(&[], now).is_empty());
    }
}
