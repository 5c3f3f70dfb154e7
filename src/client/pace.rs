//! The pace-keeper of one resource: what it may be asked in a second, and how long it wants to be left alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::api::Request;

/// Shared by everything that talks to one resource.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Mutex<Buckets>>);

/// What the service counts together.
#[derive(Debug, Default)]
struct Buckets {
    get: Bucket,
    list: Bucket,
    management: Bucket,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Requests of the last second.
    recent: VecDeque<Instant>,
    /// A 429 pauses every request of its kind, not only the one that met it.
    paused_until: Option<Instant>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Pace {
    /// When a request may be sent; the place is taken with the answer.
    pub(super) fn take_turn(&self, request: &Request, now: Instant) -> Instant {
        self.with(request, |bucket, most| {
            while bucket.recent.front().is_some_and(|then| *then + SECOND <= now) {
                bucket.recent.pop_front();
            }
            let at_most = bucket.recent.len().checked_sub(most).and_then(|over| bucket.recent.get(over));
            let free = at_most.map_or(now, |then| *then + SECOND);
            let turn = bucket.paused_until.map_or(free, |until| until.max(free)).max(now);
            bucket.recent.push_back(turn);
            turn
        })
    }

    /// Lets every request of this kind wait.
    pub(super) fn pause(&self, request: &Request, until: Instant) {
        self.with(request, |bucket, _| bucket.paused_until = bucket.paused_until.max(Some(until)));
    }

    /// The bucket of a request, and how many of its kind a standard resource takes in a second.
    fn with<T>(&self, request: &Request, act: impl FnOnce(&mut Bucket, usize) -> T) -> T {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match request.method {
            Method::GET if request.is_list => act(&mut buckets.list, 10),
            Method::GET => act(&mut buckets.get, 50),
            _ => act(&mut buckets.management, 5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{self, version::ApiVersion};
    use crate::model::Kind;

    fn get() -> Request {
        api::model(ApiVersion::V4_0, Kind::Model, &"model-1".parse().unwrap())
    }

    fn change() -> Request {
        api::delete(ApiVersion::V4_0, Kind::Model, &"model-1".parse().unwrap())
    }

    #[test]
    fn changes_are_spread_over_seconds_and_reads_are_not_held_up_by_them() {
        let (pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<_> = (0..12).map(|_| (pace.take_turn(&change(), now) - now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]);
        assert_eq!(pace.take_turn(&get(), now), now);
    }

    #[test]
    fn a_pause_holds_every_request_of_its_kind_and_no_other() {
        let (pace, now) = (Pace::default(), Instant::now());
        let later = now + Duration::from_secs(43);
        pace.pause(&change(), later);
        pace.pause(&change(), now + SECOND);
        assert_eq!(pace.clone().take_turn(&change(), now), later);
        assert_eq!(pace.take_turn(&get(), now), now);
    }
}
