//! Finds a copy that is running, or has just ended, among the operations of the source.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::api::ListedCopy;
use crate::api::version::ApiVersion;
use crate::client::{Client, RetryPolicy};
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::operation::{OperationStatus, OperationUrl};

/// How many pages of operations are read at most. A list that is longer counts as not read to its end.
pub(super) const MAX_PAGES: u32 = 100;
/// Dates in a list have whole seconds, and so has the `Date` header.
pub(crate) const DATE_ROUNDING: SignedDuration = SignedDuration::from_secs(2);

/// Three looks over seven seconds at a complete list prove that nothing runs: how soon the source lists a copy is not known.
pub(super) const LOOKS_FOR_PROOF: u32 = 3;
pub(super) const PROOF_INTERVAL: Duration = Duration::from_millis(3500);
/// A look that takes longer is old: what another process began meanwhile may not be listed in it.
pub(super) const SLOW_LOOK: Duration = Duration::from_secs(2);
/// So soon after an authorization, no other process can have taken its id over: that takes the looks for a proof, and the
/// read before the deletion.
pub(super) const UNDISPUTED: Duration = PROOF_INTERVAL.saturating_mul(LOOKS_FOR_PROOF - 1).saturating_sub(SLOW_LOOK);
/// How often a copy to another host is waited for at most.
const MAX_ELSEWHERE: u32 = 16;
/// How long the target may take to show a copy that has succeeded: as long as a verification waits, and the rounding of the
/// dates.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_secs(12);

/// Finds a copy to a target id which is running or has just succeeded, so that the target may not show it yet. `is_here` says
/// whether one with the id is meant.
pub(super) async fn find_running(
    source: &Client<'_>,
    version: ApiVersion,
    kind: Kind,
    id: &ModelId,
    is_here: impl Fn(&ListedCopy) -> bool,
    policy: RetryPolicy,
) -> Result<RunningCopy, Error> {
    let mut is_elsewhere = false;
    let first = |copies: Vec<ListedCopy>| {
        let mut with_id = copies.into_iter().filter(|copy| copy.is_to(kind, id));
        with_id.find(|copy| {
            let is_here = is_here(copy);
            is_elsewhere |= !is_here;
            is_here
        })
    };
    Ok(match read_running(source, version, policy, first).await? {
        Pages::Found(copy) => RunningCopy::Found(version.wire().operation_url(&copy.id, source.endpoint())?),
        Pages::Complete if is_elsewhere => RunningCopy::Elsewhere,
        Pages::Complete => RunningCopy::Absent,
        Pages::Incomplete => RunningCopy::NotProved,
    })
}

/// The copies that the source lists as running, and those that the target may not show yet: all, or those of the pages
/// before an error. It proves no absence.
pub(super) async fn list_running(source: &Client<'_>, version: ApiVersion) -> (Vec<ListedCopy>, Option<Error>) {
    let mut running = Vec::new();
    let collect = |copies| {
        running.extend(copies);
        None::<()>
    };
    let read = read_running(source, version, RetryPolicy::READ, collect).await;
    (running, read.err())
}

/// Looks several times for a copy that is running: how soon the source lists one is not known. Only looks in a row that
/// could read everything are a proof that there is none, and a failed one is repeated. One that takes longer than
/// `slow_look` is the first of a row: what began meanwhile may not be listed in it. A copy to another host is waited for: it
/// may be to another name of the target. Before each look but the first, `wait` is called with the number of looks that are
/// still needed; it says whether there is time for them.
pub(super) async fn look_repeatedly(
    max_looks: u32,
    slow_look: Duration,
    look: impl AsyncFn() -> RunningCopy,
    wait: impl AsyncFn(u32) -> bool,
) -> RunningCopy {
    let (mut proofs, mut looks, mut elsewhere) = (0, 0, 0);
    while looks < max_looks && elsewhere < MAX_ELSEWHERE {
        if looks + elsewhere > 0 && !wait(LOOKS_FOR_PROOF - proofs).await {
            break;
        }
        let began = Instant::now();
        let seen = look().await;
        match seen {
            RunningCopy::Elsewhere => elsewhere += 1,
            _ => looks += 1,
        }
        proofs = match seen {
            RunningCopy::Absent if began.elapsed() > slow_look => 1,
            RunningCopy::Absent => proofs + 1,
            RunningCopy::NotProved | RunningCopy::Elsewhere => 0,
            found @ RunningCopy::Found(_) => return found,
        };
        if proofs == LOOKS_FOR_PROOF {
            return RunningCopy::Absent;
        }
    }
    RunningCopy::NotProved
}

/// What pages of operations have shown.
enum Pages<T> {
    /// What was looked for.
    Found(T),
    /// It was not found, and every entry was read.
    Complete,
    /// It was not found, and an entry or a page could not be read.
    Incomplete,
}

/// Reads the source's operations until the visitor finds something in the copies of a page that are running or that the
/// target may not show yet.
async fn read_running<T>(
    source: &Client<'_>,
    version: ApiVersion,
    policy: RetryPolicy,
    mut visit: impl FnMut(Vec<ListedCopy>) -> Option<T>,
) -> Result<Pages<T>, Error> {
    let Some(mut call) = version.wire().operations() else { return Ok(Pages::Incomplete) };
    let mut is_readable = true;
    for _ in 0..MAX_PAGES {
        let mut page = source.send(&call, policy).await?.value;
        is_readable &= page.unreadable == 0;
        let now = source.service_time();
        page.items.retain(|copy| !copy.status.is_terminal() || may_be_hidden(copy, now));
        if let Some(found) = visit(page.items) {
            return Ok(Pages::Found(found));
        }
        let Some(link) = page.next_link else {
            return Ok(if is_readable { Pages::Complete } else { Pages::Incomplete });
        };
        let request = call.request.next_page(&link, source.endpoint())?;
        call = call.with_request(request);
    }
    Ok(Pages::Incomplete)
}

/// What the source's list shows of a copy to a target id.
pub(super) enum RunningCopy {
    /// This operation.
    Found(OperationUrl),
    /// There is none that is meant: every entry was read. Others with the id are running.
    Elsewhere,
    /// There is none with the id: every entry was read.
    Absent,
    /// None was found, and an entry or a page could not be read.
    NotProved,
}

/// Whether a copy has succeeded so recently that the target may not show it yet. Without a clock each one may have.
fn may_be_hidden(copy: &ListedCopy, now: Option<Timestamp>) -> bool {
    let ended = copy.updated.unwrap_or(copy.created);
    copy.status == OperationStatus::Succeeded && now.is_none_or(|now| now.duration_since(ended) <= SHOWN_WITHIN)
}
