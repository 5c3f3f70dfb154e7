//! The ids of the copies of a batch.

use std::collections::BTreeMap;

use super::batch::BatchPlan;
use super::batch_queue::Candidate;
use super::plan::Plan;
use crate::error::Error;

impl BatchPlan {
    /// Refuses two copies under one id, before anything is sent to the target: a copy may get the id of its original, and
    /// another model of the source may have that id.
    pub(super) fn check_target_ids(&self, candidates: &[Candidate]) -> Result<(), Error> {
        let mut ids = BTreeMap::new();
        for Candidate { model_id, found, target_model_id, .. } in candidates {
            let found = found.as_ref().ok().filter(|found| !found.version.wire().service_names_the_copy());
            let Some(kind) = found.map(|found| found.kind) else { continue };
            let plan = self.plan_of(model_id.clone(), Some(kind));
            let plan = Plan { target_model_id: target_model_id.clone(), ..plan };
            let id = plan.new_model_id().normalized();
            if let Some(other) = ids.insert((kind, id.clone()), model_id) {
                return Err(Error::settings(
                    format!("{other} and {model_id} would both be copied as {id}"),
                    format!(
                        "leave one of them out with --exclude, or copy it alone with another --target-model-id: the \
                         manifest records one of them as a copy of {id}"
                    ),
                ));
            }
        }
        Ok(())
    }
}
