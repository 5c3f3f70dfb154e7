//! Finds a running copy among the operations of the source.

use jiff::SignedDuration;

use crate::api::ListedCopy;
use crate::api::version::ApiVersion;
use crate::client::{Client, RetryPolicy};
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use crate::text::UntrustedText;

/// How many pages of operations are read at most. A list that is longer counts as not read to its end.
pub(super) const MAX_PAGES: u32 = 100;
/// Dates in a list have whole seconds, and so has the `Date` header.
pub(crate) const DATE_ROUNDING: SignedDuration = SignedDuration::from_secs(2);

/// Finds a running copy to a target id that another process has started. A location, where one is known, must match.
pub(super) async fn find_running(
    source: &Client<'_>,
    version: ApiVersion,
    kind: Kind,
    id: &ModelId,
    is_location: impl Fn(&UntrustedText) -> bool,
    policy: RetryPolicy,
) -> Result<Option<OperationUrl>, Error> {
    let Some(mut call) = version.wire().operations() else { return Ok(None) };
    for _ in 0..MAX_PAGES {
        let page = source.send(&call, policy).await?.value;
        let is_running = |copy: &&ListedCopy| {
            let has_id = copy.kind == kind && copy.target_model_id.is_same_as(id);
            has_id && !copy.status.is_terminal() && is_location(&copy.target_location)
        };
        if let Some(copy) = page.items.iter().find(is_running) {
            return version.wire().operation_url(&copy.id, source.endpoint()).map(Some);
        }
        let Some(link) = page.next_link else { return Ok(None) };
        let request = call.request.next_page(&link, source.endpoint())?;
        call = call.with_request(request);
    }
    Ok(None)
}
