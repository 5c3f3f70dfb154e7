//! The rate limits of a pricing tier, per resource.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::call::{Addressed, Call, Collection};

/// How often a resource may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// As often as anybody likes.
    #[default]
    Unlimited,
    /// One request a second in all.
    F0,
    /// 50 reads, 10 lists and 5 changes a second.
    S0,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bucket {
    Everything,
    Get,
    List,
    Management,
    /// v2.1 takes one copy a minute.
    CustomModelCopy,
}

/// What a resource has been asked lately.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    accepted: HashMap<Bucket, VecDeque<Timestamp>>,
}

/// A request that came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    /// For `Retry-After`, at least one.
    pub(super) seconds: i64,
    /// The header that names the limit.
    pub(super) policy: &'static str,
}

impl Limiter {
    /// Counts a request, or says when it may be made.
    pub(super) fn admit(&mut self, tier: Tier, call: &Addressed, now: Timestamp) -> Result<(), TooMany> {
        let limits = limits(tier, call);
        for (bucket, count, window) in &limits {
            let accepted = self.accepted.entry(*bucket).or_default();
            while accepted.front().is_some_and(|then| then.duration_until(now) >= *window) {
                accepted.pop_front();
            }
            if let Some(first) = accepted.front().filter(|_| accepted.len() >= *count) {
                let wait = *window - first.duration_until(now);
                let seconds = (wait.as_secs() + i64::from(wait.subsec_nanos() > 0)).max(1);
                let policy = if *window > SECOND { "ResourceRateLimitBy60s" } else { "ResourceRateLimitBy1s" };
                return Err(TooMany { seconds, policy });
            }
        }
        for (bucket, _, _) in limits {
            self.accepted.entry(bucket).or_default().push_back(now);
        }
        Ok(())
    }
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_secs(60);

fn limits(tier: Tier, call: &Addressed) -> Vec<(Bucket, usize, SignedDuration)> {
    let mut limits = match tier {
        Tier::Unlimited => return Vec::new(),
        Tier::F0 => vec![(Bucket::Everything, 1, SECOND)],
        Tier::S0 => match call.call {
            Call::Get { .. } | Call::Operation { .. } => vec![(Bucket::Get, 50, SECOND)],
            Call::List { .. } | Call::Summary | Call::Operations { .. } | Call::Info => {
                vec![(Bucket::List, 10, SECOND)]
            }
            Call::Authorize | Call::Copy { .. } | Call::Delete { .. } => vec![(Bucket::Management, 5, SECOND)],
        },
    };
    if call.collection == Collection::CustomModels && matches!(call.call, Call::Copy { .. }) {
        limits.push((Bucket::CustomModelCopy, 1, MINUTE));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
    }

    fn call(collection: Collection, call: Call) -> Addressed {
        Addressed { collection, date: None, call }
    }

    #[test]
    fn f0_takes_one_request_a_second_whatever_it_is() {
        let mut limiter = Limiter::default();
        let (get, list) = (
            call(Collection::DocumentModels, Call::Get { id: "m".into() }),
            call(Collection::DocumentModels, Call::Info),
        );
        assert_eq!(limiter.admit(Tier::F0, &get, at(0)), Ok(()));
        assert_eq!(limiter.admit(Tier::F0, &list, at(999)).unwrap_err().seconds, 1);
        assert_eq!(limiter.admit(Tier::F0, &list, at(1000)), Ok(()));
    }

    #[test]
    fn s0_counts_reads_lists_and_changes_apart() {
        let mut limiter = Limiter::default();
        let mut taken = |what: Call| {
            let call = call(Collection::DocumentModels, what);
            (0..100).filter(|_| limiter.admit(Tier::S0, &call, at(0)).is_ok()).count()
        };
        assert_eq!((taken(Call::Get { id: "m".into() }), taken(Call::Info), taken(Call::Authorize)), (50, 10, 5));
    }

    #[test]
    fn v2_1_takes_one_copy_a_minute_and_says_how_long_to_wait() {
        let mut limiter = Limiter::default();
        let copy = call(Collection::CustomModels, Call::Copy { source: "m".into() });
        assert_eq!(limiter.admit(Tier::S0, &copy, at(0)), Ok(()));
        let too_many = limiter.admit(Tier::S0, &copy, at(17_500)).unwrap_err();
        assert_eq!(too_many, TooMany { seconds: 43, policy: "ResourceRateLimitBy60s" });
        assert_eq!(limiter.admit(Tier::S0, &copy, at(60_000)), Ok(()));
    }
}
