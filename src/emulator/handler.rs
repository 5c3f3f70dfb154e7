//! What the wire formats of all API versions have in common: the interface that [`super::service`] dispatches to.

use std::time::Duration;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::call::{CallKind, Collection};
use super::faults::{Fault, Step};
use super::limits::Tier;
use super::reply::{Failure, Reply};
use super::state::{Account, Operation, Outcome, Stored};
use super::version::Version;

/// The wire format of one or more API versions.
///
/// A copy involves two accounts, so its start is split: the source checks the request, the target redeems the
/// authorization, and the source creates the operation with the outcome.
pub(super) trait WireFormat {
    /// Answers any call except the start of a copy.
    fn answer(&self, account: &mut Account, call: &CallKind, cx: &mut Context<'_>) -> Result<Reply, Failure>;

    /// Checks a start request on the source.
    fn check_copy(&self, source: &Account, model_id: &str, cx: &mut Context<'_>) -> Result<CopyRequest, Failure>;

    /// Redeems the authorization on the target, in any case, and returns the copy that will appear there.
    fn receive_copy(&self, target: &mut Account, copy: &CopyRequest, cx: &mut Context<'_>) -> Result<Stored, Failure>;

    /// The outcome of a copy whose target does not exist.
    fn unknown_target(&self, copy: &CopyRequest) -> Failure;

    /// Creates the operation on the source.
    fn accept_copy(&self, source: &mut Account, copy: CopyRequest, outcome: Outcome, cx: &Context<'_>) -> Reply;

    /// Wraps a failure in the error envelope.
    fn error(&self, failure: &Failure) -> Reply;

    /// The first sentence of a 429.
    fn rate_limit_message(&self, call: &CallKind, tier: Tier) -> String;
}

/// One request to one resource.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// The `apim-request-id` of the answer.
    pub(super) id: &'a str,
}

impl Request<'_> {
    /// The body as JSON, or null.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

/// The request, the time and the settings, for a handler.
pub(super) struct Context<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) now: Timestamp,
    pub(super) operation_time: Duration,
    pub(super) max_models: Option<usize>,
    pub(super) expired_authorizations: bool,
    pub(super) next_fault: &'a mut Option<Fault>,
}

impl Context<'_> {
    /// Fails if the configured fault belongs to this step. It occurs once.
    pub(super) fn inject_fault(&mut self, step: Step) -> Result<(), Failure> {
        self.next_fault.take_if(|fault| fault.step == step).map_or(Ok(()), |fault| Err(fault.failure()))
    }

    /// When an authorization expires that is issued now.
    pub(super) fn authorization_end(&self, lifetime: SignedDuration) -> Timestamp {
        if self.expired_authorizations { self.now } else { self.now + lifetime }
    }

    /// When an operation that starts now ends.
    pub(super) fn operation_end(&self) -> Timestamp {
        self.now.checked_add(self.operation_time).unwrap_or(self.now)
    }

    /// Whether the target must be encrypted with a customer-managed key: the source is, and the request does not allow
    /// a less protected copy.
    pub(super) fn needs_encryption(&self, source: &Account) -> bool {
        let header = self.request.headers.get("x-ms-forms-copy-degrade");
        let allows_degrade = header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        source.encrypted && !allows_degrade
    }
}

/// A start request that the source has checked.
#[derive(Debug)]
pub(super) struct CopyRequest {
    pub(super) source_id: String,
    pub(super) model: Stored,
    pub(super) target: TargetResource,
    pub(super) target_id: String,
    /// URL of the copy, from v3.0 on.
    pub(super) location: String,
    pub(super) authorization: Value,
    /// Whether the target must be encrypted with a customer-managed key.
    pub(super) needs_encryption: bool,
}

impl CopyRequest {
    /// The operation that this request starts now.
    pub(super) fn into_operation(
        self,
        collection: Collection,
        version: Option<Version>,
        outcome: Outcome,
        cx: &Context<'_>,
    ) -> Operation {
        Operation {
            collection,
            version,
            target_id: self.target_id,
            location: self.location,
            created: cx.now,
            ends: cx.operation_end(),
            outcome,
            ended: false,
        }
    }
}

/// How a start request names the target resource.
#[derive(Debug)]
pub(super) enum TargetResource {
    /// v2.1: resource id and region, and only the right pair is accepted.
    IdAndRegion(String, String),
    /// v3.0 and later: the resource id of the authorization, if it has one.
    Id(Option<String>),
}

impl TargetResource {
    pub(super) fn is(&self, account: &Account) -> bool {
        match self {
            Self::IdAndRegion(id, region) => {
                account.resource_id.eq_ignore_ascii_case(id) && account.region.name == region
            }
            Self::Id(id) => id.as_ref() == Some(&account.resource_id),
        }
    }
}
