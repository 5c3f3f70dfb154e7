//! The copies between two resources that a manifest has recorded, by the ids of their sources.

use std::collections::BTreeMap;

use crate::api::version::ApiVersion;
use crate::model::{Kind, ModelId};

/// The known copies from one resource to another one. A model may have several.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownCopies {
    copies: BTreeMap<Named, Vec<ModelId>>,
}

/// What identifies a model of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    /// Models of versions that share none may have the same id.
    is_named_by_service: bool,
    kind: Kind,
    id: ModelId,
}

impl Named {
    fn new(version: ApiVersion, kind: Kind, id: &ModelId) -> Self {
        Self { is_named_by_service: version.wire().service_names_the_copy(), kind, id: id.normalized() }
    }
}

impl KnownCopies {
    /// Adds a copy. Those that are preferred come first.
    pub(crate) fn add(&mut self, version: ApiVersion, kind: Kind, source: &ModelId, copy: ModelId) {
        self.copies.entry(Named::new(version, kind, source)).or_default().push(copy);
    }

    /// The ids of the copies of a model, the preferred one first.
    #[must_use]
    pub(crate) fn of(&self, version: ApiVersion, kind: Kind, source: &ModelId) -> &[ModelId] {
        self.copies.get(&Named::new(version, kind, source)).map_or(&[], Vec::as_slice)
    }
}
