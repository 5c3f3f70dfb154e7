//! The copies between two resources that a manifest has recorded, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::version::ApiVersion;
use crate::model::{Kind, ModelId};

/// The known copies from a source to a target, and those that were made in the other direction. A model may have several
/// copies.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownCopies {
    by_source: BTreeMap<Identity, Vec<ModelId>>,
    copies: BTreeSet<Identity>,
    /// The models of the target whose copies the source has, by the id of the copy.
    originals: BTreeMap<Identity, ModelId>,
    /// The originals that are the way back of a copy.
    taken: BTreeSet<Identity>,
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

    /// The identity of a model whose id was chosen by a caller.
    #[must_use]
    pub(crate) fn named_by_caller(kind: Kind, id: &ModelId) -> Self {
        Self { is_named_by_service: false, kind, id: id.normalized() }
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

    /// Adds a model of the source that is a copy of one of the target. Those that are preferred come first: where callers
    /// choose the ids, only one of several copies can get the id of their original.
    pub(crate) fn add_original(&mut self, copy: Identity, original: ModelId) {
        let is_free = copy.is_named_by_service || !self.taken.contains(&copy.with_id(&original));
        if is_free && !self.originals.contains_key(&copy) {
            self.taken.insert(copy.with_id(&original));
            self.originals.insert(copy, original);
        }
    }

    /// The id of the model of the target that a model of the source is a copy of.
    #[must_use]
    pub(crate) fn original_of(&self, copy: &Identity) -> Option<&ModelId> {
        self.originals.get(copy)
    }

    /// The ids of the copies of a model, the preferred one first.
    #[must_use]
    pub(crate) fn of(&self, source: &Identity) -> &[ModelId] {
        self.by_source.get(source).map_or(&[], Vec::as_slice)
    }

    /// The ids of all models of the target that are known.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ModelId> {
        self.by_source.values().flatten().chain(self.originals.values())
    }

    /// Whether a model of the target is a copy.
    #[must_use]
    pub(crate) fn has_copy(&self, copy: &Identity) -> bool {
        self.copies.contains(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ModelId {
        text.parse().unwrap()
    }

    fn named(text: &str) -> Identity {
        Identity::named_by_caller(Kind::Model, &id(text))
    }

    #[test]
    fn one_copy_gets_the_id_of_its_original_and_each_copy_has_one_original() {
        let mut known = KnownCopies::default();
        for (copy, original) in [("invoices", "invoices"), ("backup", "invoices"), ("backup", "receipts")] {
            known.add_original(named(copy), id(original));
        }
        known.add_original(named("backup"), id("others"));
        assert_eq!(known.original_of(&named("invoices")), Some(&id("invoices")));
        assert_eq!(known.original_of(&named("backup")), Some(&id("receipts")));
        assert_eq!(known.original_of(&Identity::named_by_caller(Kind::Classifier, &id("backup"))), None);
    }

    #[test]
    fn every_copy_of_v2_1_leads_to_its_original() {
        let of_service = |text: &str| Identity { is_named_by_service: true, ..named(text) };
        let mut known = KnownCopies::default();
        let [original, one, other] = ["a", "b", "c"].map(|end| format!("33f4d42c-cd2f-4e74-b990-a1aeafab5a5{end}"));
        for copy in [&one, &other] {
            known.add(of_service(&original), id(copy));
            known.add_original(of_service(copy), id(&original));
        }
        assert_eq!(known.original_of(&of_service(&other.to_uppercase())), Some(&id(&original)));
        assert_eq!(known.of(&of_service(&original.to_uppercase())), [id(&one), id(&other)]);
        assert!(known.has_copy(&of_service(&one)) && !known.has_copy(&named(&one)));
    }
}
