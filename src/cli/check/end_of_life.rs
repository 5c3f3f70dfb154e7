//! Which models have expired, or expire soon, and which copies were verified too long ago.

use std::time::Duration;

use crate::check::Comparison;
use crate::cli::console::RETIRED;
use crate::cli::dates::days_left;
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
        let too_old = end.age.is_too_old.then(|| match end.age.verified {
            Some(date) => format!("last verified {date:.0}"),
            None => "was never verified".to_owned(),
        });
        expiry.into_iter().chain(retired).chain(too_old).collect()
    }
}

/// The models of a comparison.
fn both(one: &Comparison) -> impl Iterator<Item = &Model> {
    [&one.source, &one.target].into_iter().flatten()
}

/// The earlier expiry date of the two.
fn expires(one: &Comparison) -> Option<Timestamp> {
    both(one).filter_map(|model| model.expires).min()
}
