//! The blank models that v2.1 authorizations make: those that a lost or unusable answer may have left.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::running::DATE_ROUNDING;
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::inventory::{Inventory, Scope};
use crate::model::{Kind, Model, ModelId, Readiness};

/// How often the list is read for blank models, and the delay in between.
const BLANK_LOOKS: u32 = 2;
const BLANK_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The blank v2.1 models that were created between two times, by the target's own clock.
pub(super) async fn blank_models(
    target: &Client<'_>,
    version: ApiVersion,
    time: Option<(Timestamp, Timestamp)>,
) -> Vec<ModelId> {
    let Some((from, to)) = time else { return Vec::new() };
    let is_meant = |model: &Model| {
        is_blank_since(model, from - DATE_ROUNDING) && model.created.is_some_and(|created| created <= to)
    };
    find_blank_models(target, version, 1, is_meant).await
}

/// The v2.1 models of the target's list that are meant. A list may lack a model that is new: if there are fewer than
/// requests were lost, it is read once more.
pub(super) async fn find_blank_models(
    target: &Client<'_>,
    version: ApiVersion,
    lost: u32,
    is_meant: impl Fn(&Model) -> bool,
) -> Vec<ModelId> {
    let scope = Scope { api_version: Some(version), kind: Some(Kind::Model) };
    let mut found = BTreeSet::new();
    for look in 1..=BLANK_LOOKS {
        let Ok(inventory) = Inventory::read(target, scope).await else { break };
        let models = inventory.listed.into_iter().map(|listed| listed.model);
        found.extend(models.filter(|model| is_meant(model)).map(|model| model.id));
        let is_last = look == BLANK_LOOKS || found.len() >= lost as usize || target.is_past_deadline();
        if is_last || target.pause(BLANK_LOOK_INTERVAL).await.is_err() {
            break;
        }
    }
    found.into_iter().collect()
}

/// The time of a request by the service's own clock, from a later date of it and the time that has passed.
pub(super) fn since(date: Timestamp, sent: Instant) -> Option<Timestamp> {
    let passed = SignedDuration::try_from(sent.elapsed()).ok()?;
    date.checked_sub(passed + DATE_ROUNDING).ok()
}

pub(super) fn is_blank_since(model: &Model, since: Timestamp) -> bool {
    model.readiness == Readiness::Creating && model.created.is_some_and(|created| created >= since)
}
