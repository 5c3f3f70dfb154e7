//! Searches for a copy: among the operations of the source, and on the target.

use jiff::{SignedDuration, Timestamp};

use super::authorized::Authorized;
use super::context::Context;
use super::running::{DATE_ROUNDING, MAX_PAGES};
use crate::api::ListedCopy;
use crate::api::version::ApiVersion;
use crate::error::Error;
use crate::model::{Kind, ModelId, Readiness};
use crate::operation::{OperationStatus, OperationUrl};
use crate::text::UntrustedText;

/// How far the dates in the list may be behind the `Date` header: the source is not one machine.
const CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(5);

/// What a search has found.
pub(super) enum Evidence {
    /// An operation of this copy.
    Operation(OperationUrl),
    /// The target shows the copy, ready.
    Ready,
    /// Neither.
    Nothing {
        /// Whether that proves that no copy runs: the source's list was read back to the time of the authorization, and
        /// every entry was readable.
        is_proof: bool,
    },
}

/// The search for the copy that one authorization was used for.
pub(super) struct Search<'s> {
    cx: &'s Context<'s>,
    version: ApiVersion,
    kind: Kind,
    id: ModelId,
    location: Option<UntrustedText>,
    /// The time before the start request, by the source's own clock.
    since: Option<Timestamp>,
    /// Whether the start was repeated. Then a failed operation says nothing: it may be that of a repeat whose
    /// authorization was used before.
    is_repeated: bool,
}

impl<'s> Search<'s> {
    /// A search from now on. It must be made before the start request is sent.
    pub(super) fn new(cx: &'s Context<'s>, authorized: &Authorized<'_>) -> Self {
        let Authorized { version, copy, authorization, .. } = authorized;
        Self {
            cx,
            version: *version,
            kind: copy.kind,
            id: authorization.target_model_id.clone(),
            location: authorization.target_location.clone(),
            since: cx.source.service_time(),
            is_repeated: false,
        }
    }

    /// A search for a copy that an earlier run may have started at a time, by the source's clock.
    pub(super) fn for_earlier_run(cx: &'s Context<'s>, authorized: &Authorized<'_>, since: Option<Timestamp>) -> Self {
        // That run may have repeated the start as well.
        Self { since, is_repeated: true, ..Self::new(cx, authorized) }
    }

    /// The start is being repeated.
    pub(super) fn repeat(&mut self) {
        self.is_repeated = true;
    }

    /// Whether an operation that is found may be that of a repeated start.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// Whether a later look can find more: the source lists its operations, or the target can be read.
    pub(super) fn can_find(&self) -> bool {
        self.version.wire().lists_operations() || self.cx.target.is_some()
    }

    /// Looks once: at the source's operations, then at the target.
    pub(super) async fn look(&self) -> Evidence {
        let is_proof = match self.look_at_source().await {
            Ok(Listing { found: Some(operation), .. }) => return Evidence::Operation(operation),
            Ok(Listing { is_complete, .. }) => is_complete,
            Err(error) => {
                self.cx.emit_inconclusive(&error);
                false
            }
        };
        if self.is_ready_on_target().await {
            return Evidence::Ready;
        }
        Evidence::Nothing { is_proof }
    }

    async fn is_ready_on_target(&self) -> bool {
        let Some(target) = self.cx.target else { return false };
        match target.read(&self.version.wire().model(self.kind, &self.id)).await {
            Ok(model) => model.readiness == Readiness::Ready && model.id.is_same_as(&self.id),
            Err(error) if error.is_no_such_model() => false,
            Err(error) => {
                self.cx.emit_inconclusive(&error);
                false
            }
        }
    }

    async fn look_at_source(&self) -> Result<Listing, Error> {
        let Some(mut call) = self.version.wire().operations() else { return Ok(Listing::default()) };
        let mut listing = Listing { found: None, is_complete: true };
        let mut order = NewestFirst::default();
        for _ in 0..MAX_PAGES {
            let page = self.cx.source.read(&call).await?;
            listing.is_complete &= page.unreadable == 0;
            let candidates = || page.items.iter().filter(|copy| self.has_id(copy));
            if let Some(copy) = candidates().find(|copy| self.has_location(copy) && self.is_evidence(copy)) {
                let operation = self.version.wire().operation_url(&copy.id, self.cx.source.endpoint())?;
                return Ok(Listing { found: Some(operation), is_complete: false });
            }
            // A running copy of this id to another location may be this one under another host name: nothing is proved.
            listing.is_complete &= !candidates().any(|copy| !self.has_location(copy) && !copy.status.is_terminal());
            let is_read_back = order.reaches_back_to(&page.items, self.since.map(|since| since - CLOCK_DIFFERENCE));
            let Some(link) = page.next_link.filter(|_| !is_read_back) else { return Ok(listing) };
            let request = call.request.next_page(&link, self.cx.source.endpoint())?;
            call = call.with_request(request);
        }
        Ok(Listing { is_complete: false, ..listing })
    }

    fn has_id(&self, copy: &ListedCopy) -> bool {
        copy.is_to(self.kind, &self.id)
    }

    fn has_location(&self, copy: &ListedCopy) -> bool {
        self.location.as_ref().is_none_or(|location| *location == copy.target_location)
    }

    /// Whether an operation with the id and the location is that of this authorization. Without a clock only one that runs
    /// is: nothing tells an old one that has ended from this one.
    fn is_evidence(&self, copy: &ListedCopy) -> bool {
        let Some(since) = self.since else { return !copy.status.is_terminal() };
        match copy.status {
            // The authorization has reserved the id, so no other copy to it runs.
            OperationStatus::NotStarted | OperationStatus::Running => copy.created >= since - CLOCK_DIFFERENCE,
            OperationStatus::Succeeded | OperationStatus::Unknown(_) => copy.created >= since - DATE_ROUNDING,
            // One that failed right before this authorization must not become its verdict. Dates have whole seconds.
            OperationStatus::Failed | OperationStatus::Canceled | OperationStatus::Skipped => {
                !self.is_repeated && copy.created.as_second() >= since.as_second()
            }
        }
    }
}

/// Whether a list shows the newest operations first, as far as it was read.
#[derive(Default)]
struct NewestFirst {
    is_broken: bool,
    oldest: Option<Timestamp>,
}

impl NewestFirst {
    /// Adds a page. Whether all later pages are older than a time, which only the order can tell.
    fn reaches_back_to(&mut self, page: &[ListedCopy], time: Option<Timestamp>) -> bool {
        for copy in page {
            self.is_broken |= self.oldest.is_some_and(|oldest| copy.created > oldest);
            self.oldest = Some(copy.created);
        }
        !self.is_broken && self.oldest.zip(time).is_some_and(|(oldest, time)| oldest < time)
    }
}

/// What the source's list shows.
#[derive(Default)]
struct Listing {
    found: Option<OperationUrl>,
    /// Whether every entry since the authorization was read.
    is_complete: bool,
}
