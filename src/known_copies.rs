//! The copies between two resources that a manifest has recorded, by the ids of their sources.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::version::ApiVersion;
use crate::model::{Kind, ModelId};

/// The known copies from one resource to another one. A model may have several.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownCopies {
    by_source: BTreeMap<Identity, Vec<ModelId>>,
    copies: BTreeSet<Identity>,
}

/// What identifies a model of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// Models of versions that share none may have the same id.
    is_named_by_service: bool,
    kind: Kind,
    id: ModelId,
}

impl Identity {
    /// The identity of a model that a version shows.
    #[must_use]
    pub(crate) fn new(version: ApiVersion, kind: Kind, id: &ModelId) -> Self {
        Self { is_named_by_service: version.wire().service_names_the_copy(), kind, id: id.normalized() }
    }

    /// The identity of a model beside this one, with another id.
    #[must_use]
    pub(crate) fn with_id(&self, id: &ModelId) -> Self {
        Self { id: id.normalized(), ..*self }
    }
}

impl KnownCopies {
    /// Adds a copy. Those that are preferred come first.
    pub(crate) fn add(&mut self, source: Identity, copy: ModelId) {
        self.copies.insert(source.with_id(&copy));
        self.by_source.entry(source).or_default().push(copy);
    }

    /// The ids of the copies of a model, the preferred one first.
    #[must_use]
    pub(crate) fn of(&self, source: &Identity) -> &[ModelId] {
        self.by_source.get(source).map_or(&[], Vec::as_slice)
    }

    /// The ids of all copies.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ModelId> {
        self.by_source.values().flatten()
    }

    /// Whether a model of the target is a copy.
    #[must_use]
    pub(crate) fn has_copy(&self, copy: &Identity) -> bool {
        self.copies.contains(copy)
    }
}
