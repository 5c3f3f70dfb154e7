//! What the target's lists show, so that a batch need not read each id.

use std::collections::BTreeMap;

use crate::api::version::ApiVersion;
use crate::client::{CallContext, Connection};
use crate::error::{Delivery, Error};
use crate::inventory::{Inventory, Scope};
use crate::model::{Kind, Model, ModelId};

/// The models and classifiers of the target whose ids the caller chooses.
pub(super) struct TargetList {
    models: BTreeMap<(Kind, ModelId), (ApiVersion, Model)>,
    /// The lists that were read to their ends, and whose entries all could be read.
    complete: Vec<(Kind, ApiVersion)>,
}

/// What lists show of an id.
pub(super) enum ListEntry<'a> {
    /// This model.
    Found(&'a Model),
    /// They do not have it.
    Missing,
}

impl TargetList {
    /// Reads the lists. None where one of them cannot be read: then each id must be read.
    pub(super) async fn read(target: &Connection, context: &CallContext<'_>, scope: Scope) -> Option<Self> {
        // A target that cannot be reached must not hold up the copies, which report it.
        let give_up = context.cancel.child_token();
        let on_retry = |error: &Error, wait| match error.delivery() {
            Delivery::NotSent => give_up.cancel(),
            _ => (context.on_retry)(error, wait),
        };
        let context = context.with_on_retry(on_retry).with_cancel(&give_up);
        let inventory = Inventory::read_named_by_caller(&target.client(context), scope).await.ok()?;
        let complete = if inventory.unreadable == 0 { inventory.lists } else { Vec::new() };
        let models = inventory.listed.into_iter().map(|listed| {
            let key = (listed.model.kind, listed.model.id.clone());
            (key, (listed.version, listed.model))
        });
        Some(Self { models: models.collect(), complete })
    }

    /// What the lists show of an id. None where they do not suffice: a comparison needs all fields, by the same version.
    pub(super) fn look_up(&self, kind: Kind, id: &ModelId, by: ApiVersion) -> Option<ListEntry<'_>> {
        match self.models.get(&(kind, id.clone())) {
            Some((version, model)) if *version == by && model.is_complete => Some(ListEntry::Found(model)),
            None if self.complete.contains(&(kind, by)) => Some(ListEntry::Missing),
            Some(_) | None => None,
        }
    }
}
