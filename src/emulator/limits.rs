//! Rate limits of the pricing tiers, per resource.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::call::{Call, CallKind, Collection};

/// A pricing tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// No rate limits.
    #[default]
    Unlimited,
    /// One request per second.
    F0,
    /// 15 analyses, 50 GET requests, 10 list requests and 5 management requests per second.
    S0,
    /// S0 whose limits Azure's support has raised: four times as many.
    S0Raised,
}

impl Tier {
    /// The name in the service's messages.
    pub(super) fn name(self) -> &'static str {
        if self == Self::F0 { "F0" } else { "S0" }
    }
}

/// A group of calls that share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bucket {
    All,
    Get,
    List,
    Management,
    Analyze,
    /// v2.1: one copy per minute.
    CustomModelCopy,
}

/// The requests that a resource has accepted recently.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    accepted: HashMap<Bucket, VecDeque<Timestamp>>,
}

/// A rejected request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimited {
    /// The value of `Retry-After`, at least 1.
    pub(super) retry_after: i64,
    /// The value of the header `policy-id`.
    pub(super) policy: &'static str,
}

impl Limiter {
    /// Counts a request, unless it exceeds a limit.
    pub(super) fn acquire(&mut self, tier: Tier, call: &Call, now: Timestamp) -> Result<(), RateLimited> {
        let limits = limits(tier, call);
        for (bucket, count, window) in &limits {
            let accepted = self.accepted.entry(*bucket).or_default();
            while accepted.front().is_some_and(|then| then.duration_until(now) >= *window) {
                accepted.pop_front();
            }
            if let Some(first) = accepted.front().filter(|_| accepted.len() >= *count) {
                let wait = *window - first.duration_until(now);
                let retry_after = (wait.as_secs() + i64::from(wait.subsec_nanos() > 0)).max(1);
                let policy = if *window > SECOND { "ResourceRateLimitBy60s" } else { "ResourceRateLimitBy1s" };
                return Err(RateLimited { retry_after, policy });
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

fn limits(tier: Tier, call: &Call) -> Vec<(Bucket, usize, SignedDuration)> {
    let (bucket, count) = bucket_of_s0(&call.kind);
    let mut limits = match tier {
        Tier::Unlimited => return Vec::new(),
        Tier::F0 => vec![(Bucket::All, 1, SECOND)],
        Tier::S0 => vec![(bucket, count, SECOND)],
        Tier::S0Raised => vec![(bucket, 4 * count, SECOND)],
    };
    if call.collection == Collection::CustomModels && matches!(call.kind, CallKind::Copy { .. }) {
        limits.push((Bucket::CustomModelCopy, 1, MINUTE));
    }
    limits
}

/// The group of a call, and how many of the group S0 accepts in a second.
fn bucket_of_s0(call: &CallKind) -> (Bucket, usize) {
    match call {
        CallKind::Get { .. } | CallKind::Operation { .. } | CallKind::AnalyzeResult { .. } => (Bucket::Get, 50),
        CallKind::Analyze { .. } => (Bucket::Analyze, 15),
        CallKind::List { .. } | CallKind::Summary | CallKind::Operations { .. } | CallKind::Info => (Bucket::List, 10),
        CallKind::Authorize
        | CallKind::Copy { .. }
        | CallKind::Delete { .. }
        | CallKind::DeleteAnalyzeResult { .. } => (Bucket::Management, 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
    }

    fn call(collection: Collection, kind: CallKind) -> Call {
        Call { collection, version: None, kind }
    }

    #[test]
    fn f0_accepts_one_request_of_any_kind_per_second() {
        let mut limiter = Limiter::default();
        let (get, list) = (
            call(Collection::DocumentModels, CallKind::Get { id: "m".into() }),
            call(Collection::DocumentModels, CallKind::Info),
        );
        assert_eq!(limiter.acquire(Tier::F0, &get, at(0)), Ok(()));
        assert_eq!(limiter.acquire(Tier::F0, &list, at(999)).unwrap_err().retry_after, 1);
        assert_eq!(limiter.acquire(Tier::F0, &list, at(1000)), Ok(()));
    }

    #[test]
    fn s0_has_separate_limits_for_analyze_get_list_and_management_requests() {
        let mut limiter = Limiter::default();
        let mut accepted = |tier: Tier, kind: CallKind, seconds: i64| {
            let call = call(Collection::DocumentModels, kind);
            (0..100).filter(|_| limiter.acquire(tier, &call, at(seconds * 1000)).is_ok()).count()
        };
        let id = || "m".into();
        for (kind, limit) in [
            (CallKind::Analyze { id: id() }, 15),
            (CallKind::Get { id: id() }, 50),
            (CallKind::Info, 10),
            (CallKind::Authorize, 5),
        ] {
            assert_eq!(accepted(Tier::S0, kind, 0), limit);
        }
        assert_eq!(accepted(Tier::S0Raised, CallKind::Authorize, 1), 20);
    }

    #[test]
    fn v2_1_accepts_one_copy_per_minute_and_sends_retry_after() {
        let mut limiter = Limiter::default();
        let copy = call(Collection::CustomModels, CallKind::Copy { source_id: "m".into() });
        assert_eq!(limiter.acquire(Tier::S0, &copy, at(0)), Ok(()));
        let rate_limited = limiter.acquire(Tier::S0, &copy, at(17_500)).unwrap_err();
        assert_eq!(rate_limited, RateLimited { retry_after: 43, policy: "ResourceRateLimitBy60s" });
        assert_eq!(limiter.acquire(Tier::S0, &copy, at(60_000)), Ok(()));
    }
}
