//! Finds a copy among the operations of the source.

use crate::api::ListedCopy;
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::error::Error;
use crate::model::Kind;
use crate::operation::OperationUrl;

/// How many pages are read; a recent operation stands on the first ones.
const MAX_PAGES: u32 = 20;

/// Finds a listed copy that matches: preferably one that `prefer` selects too.
pub(super) async fn find_operation(
    source: &Client<'_>,
    version: ApiVersion,
    kind: Kind,
    matches: impl Fn(&ListedCopy) -> bool,
    prefer: impl Fn(&ListedCopy) -> bool,
) -> Result<Option<OperationUrl>, Error> {
    let Some(mut call) = version.wire().operations() else { return Ok(None) };
    let mut second_choice = None;
    for _ in 0..MAX_PAGES {
        let page = source.read(&call).await?;
        let matching = || page.items.iter().filter(|copy| copy.kind == kind && matches(copy));
        if let Some(copy) = matching().find(|copy| prefer(copy)) {
            return version.wire().operation_url(&copy.id, source.endpoint()).map(Some);
        }
        second_choice = second_choice.or_else(|| matching().next().map(|copy| copy.id.clone()));
        let Some(link) = page.next_link else { break };
        let request = call.request.next_page(&link, source.endpoint())?;
        call = call.with_request(request);
    }
    second_choice.map(|id| version.wire().operation_url(&id, source.endpoint())).transpose()
}
