//! After a start that got no answer: look, do not send again.
//!
//! From v3.0 on the source lists its operations, so an accepted copy is found there. v2.1 has no such list; there the
//! target model itself says when the copy is ready.

use std::time::Duration;

use tokio::time::Instant;

use super::Event;
use super::preflight::read_model;
use super::start::Starting;
use crate::api::{self, ListedCopy};
use crate::authorization::CopyAuthorization;
use crate::client::RetryPolicy;
use crate::error::{Error, Finding};
use crate::model::Readiness;
use crate::operation::OperationUrl;

/// How many pages of operations are read; what was started a moment ago stands on the first ones.
const MOST_PAGES: u32 = 20;
/// Dates in a list have whole seconds.
const ROUNDING: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// What came of a start that got no answer.
pub(super) enum Recovery {
    /// It was accepted, and is followed here.
    Found(OperationUrl),
    /// It was accepted, and the copy is there and ready.
    Done,
    /// It was not accepted, as far as the service can be asked.
    Nothing,
    /// The service could not be asked.
    Unknown,
}

impl Starting<'_> {
    /// Looks a few times, longer apart each time, for what came of a start.
    pub(super) async fn recover(&self, authorization: &CopyAuthorization, error: &Error) -> Recovery {
        (self.observer)(Event::Searching { error });
        // A v2.1 copy shows when it is ready, which takes its time; an accepted one is listed at once.
        let pauses: &[u32] = if self.version.has_document_models() { &[1, 2, 4] } else { &[1, 2, 4, 8, 15, 30] };
        let mut pauses = pauses.iter().map(|pause| self.poll_interval.min(Duration::from_secs(1)) * *pause);
        loop {
            let found = self.look_for_copy(authorization).await;
            if matches!(found, Ok(Recovery::Found(_) | Recovery::Done | Recovery::Unknown)) {
                return found.unwrap_or(Recovery::Unknown);
            }
            let is_over = self.cancel.is_cancelled() || Instant::now() >= self.source.deadline();
            match (pauses.next(), found) {
                // Cut off in the middle of looking, nothing that was not found is known not to be there.
                _ if is_over => return Recovery::Unknown,
                (Some(pause), _) => drop(self.source.pause(pause).await),
                (None, Ok(nothing)) => return nothing,
                (None, Err(error)) => {
                    (self.observer)(Event::Inconclusive { error: &error });
                    return Recovery::Unknown;
                }
            }
        }
    }

    /// Asks the source and, where that does not help, the target.
    async fn look_for_copy(&self, authorization: &CopyAuthorization) -> Result<Recovery, Error> {
        let Self { version, kind, .. } = *self;
        let since = authorization.issued - ROUNDING;
        // Another command may copy a model of the same id to another target at the same time.
        let is_likely = |copy: &ListedCopy| {
            let location = authorization.target_location.as_deref();
            location.is_none_or(|location| location == copy.target_location)
        };
        // What is not likely is checked on the target in the end, where it can be asked.
        let is_ours = |copy: &ListedCopy| {
            let is_meant = copy.target_model_id == authorization.target_model_id && copy.created >= since;
            is_meant && (self.target.is_some() || is_likely(copy))
        };
        let listed = match self.look_for_operation(is_ours, is_likely).await {
            Ok(Some(operation)) => return Ok(Recovery::Found(operation)),
            Ok(None) => Ok(Recovery::Nothing),
            Err(error) => Err(error),
        };
        let Some(target) = self.target else { return self.without_target(listed) };
        match read_model(target, version, kind, &authorization.target_model_id).await {
            Ok(model) if model.readiness == Readiness::Ready => Ok(Recovery::Done),
            Ok(_) => listed,
            Err(error) if error.finding() == Finding::NoSuchModel => listed,
            Err(error) => Err(error),
        }
    }

    /// A source that lists its operations speaks for itself; v2.1 lists none, and only the target could tell.
    fn without_target(&self, listed: Result<Recovery, Error>) -> Result<Recovery, Error> {
        match listed {
            Ok(Recovery::Nothing) if !self.version.has_document_models() => Ok(Recovery::Unknown),
            listed => listed,
        }
    }

    /// Finds one of the copies that the source lists: a likely one, or any that may be meant.
    pub(super) async fn look_for_operation(
        &self,
        is_meant: impl Fn(&ListedCopy) -> bool,
        is_likely: impl Fn(&ListedCopy) -> bool,
    ) -> Result<Option<OperationUrl>, Error> {
        let Self { version, kind, .. } = *self;
        let Some(mut request) = api::operations(version) else { return Ok(None) };
        let mut unlikely = None;
        for _ in 0..MOST_PAGES {
            let page = self.source.call(&request, RetryPolicy::READ, api::read_operations).await?;
            let meant = || page.items.iter().filter(|copy| copy.kind == kind && is_meant(copy));
            if let Some(copy) = meant().find(|copy| is_likely(copy)) {
                return api::operation_url(version, &copy.id, self.source.endpoint()).map(Some);
            }
            unlikely = unlikely.or_else(|| meant().next().map(|copy| copy.id.clone()));
            let Some(link) = page.next_link else { break };
            request = api::next_page(&link, self.source.endpoint(), &request)?;
        }
        unlikely.map(|id| api::operation_url(version, &id, self.source.endpoint())).transpose()
    }
}
