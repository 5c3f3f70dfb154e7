//! What the target has authorized, which the start request needs.

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::journal::EntryId;
use crate::api::NewCopy;
use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;

/// An authorization, and the copy that it is for.
pub(super) struct Authorized<'a> {
    pub(super) version: ApiVersion,
    pub(super) copy: NewCopy,
    pub(super) authorization: CopyAuthorization,
    /// When it expires, by the monotonic clock and the dates of the target; none where that is not known.
    pub(super) valid_until: Option<Instant>,
    /// Its entry in the journal.
    pub(super) entry: EntryId,
    /// Limits how many authorizations are unused; free again when the start request has its answer.
    pub(super) _slot: Option<SemaphorePermit<'a>>,
}

impl Authorized<'static> {
    /// An authorization that the target has just issued.
    pub(super) fn received_now(version: ApiVersion, copy: NewCopy, authorization: CopyAuthorization) -> Self {
        let valid_until = Some(Instant::now() + authorization.lifetime());
        Self { version, copy, authorization, valid_until, entry: EntryId::default(), _slot: None }
    }
}
