//! The remedy for a source that has no such model: the id that was probably meant, and how to see the ids.

use super::context::Job;
use crate::error::{Error, ServiceError};
use crate::inventory::{Inventory, Scope};
use crate::model::ModelId;

impl Job<'_> {
    /// The same error; if it says that the source has no such model, with the nearest id that the source has.
    pub(super) async fn with_nearest_id(&self, error: Error) -> Error {
        if !error.is_no_such_model() {
            return error;
        }
        let source = self.cx.source.label();
        let list = format!("frcopy list {} shows the ids", source.in_list_command());
        let ids = self.shared.source_ids.get_or_init(|| self.source_ids()).await;
        // The outer envelope says the same in other words.
        let innermost = error.service().map(|said| ServiceError { outer: None, ..said.clone() });
        let error = match innermost {
            Some(said) => error.with_source(said),
            None => error,
        };
        error.with_remedy(match nearest_id(&self.plan.model_id, ids) {
            Some(near) => format!("did you mean {near}? {list}"),
            None => format!(
                "{list}; check the id, that {} is the resource that has it, and --api-version",
                source.endpoint()
            ),
        })
    }

    /// The ids that the source lists; none where it cannot be asked.
    async fn source_ids(&self) -> Vec<ModelId> {
        let scope = Scope { api_version: self.plan.options.api_version, kind: self.plan.kind };
        let inventory = Inventory::read(self.cx.source, scope).await.unwrap_or_default();
        inventory.listed.into_iter().map(|listed| listed.model.id).collect()
    }
}

/// The id that differs from the given one by slips of the keyboard only. In ids, upper and lower case matter.
fn nearest_id<'i>(id: &ModelId, ids: &'i [ModelId]) -> Option<&'i ModelId> {
    let text = id.as_str().to_lowercase();
    let distance = |other: &ModelId| strsim::osa_distance(&text, &other.as_str().to_lowercase());
    let near = ids.iter().map(|other| (distance(other), other)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| distance * 4 <= text.chars().count()).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_id_differs_by_a_slip_or_by_its_case() {
        let ids: Vec<ModelId> = ["invoices-2", "receipts", "ab"].map(|id| id.parse().unwrap()).into();
        let nearest = |id: &str| nearest_id(&id.parse().unwrap(), &ids).map(ModelId::as_str);
        assert_eq!(nearest("invoces-2"), Some("invoices-2"));
        assert_eq!(nearest("Receipts"), Some("receipts"));
        assert_eq!(nearest("contracts"), None);
        assert_eq!(nearest("cd"), None);
    }
}
