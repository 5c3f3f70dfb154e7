//! What one copy is to do, and what of it cannot be done with an API version.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::version::ApiVersion;
use crate::api::{NewModel, Protocol, custom_models_protocol, document_models_protocol};
use crate::error::Error;
use crate::model::{Kind, Model, ModelId};
use crate::resource::{Resource, TargetAddress};

/// One copy, as it was asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The resource that has the model.
    pub source: Resource,
    /// The resource that receives the copy.
    pub target: Resource,
    /// What to copy.
    pub model_id: ModelId,
    /// A model or a classifier.
    pub kind: Kind,
    /// The version to copy with; `None` finds out which one the model needs.
    pub api_version: Option<ApiVersion>,
    /// Where the target is in Azure, which v2.1 needs.
    pub target_address: Option<TargetAddress>,
    /// The id of the copy (v3.0 and later); `None` keeps the source's.
    pub target_model_id: Option<ModelId>,
    /// The description of the copy (v3.0 and later); `None` keeps the source's, empty clears it.
    pub description: Option<String>,
    /// The tags of the copy (v3.0 and later); `None` keeps the source's.
    pub tags: Option<BTreeMap<String, String>>,
    /// Accepts a copy that is less protected than the source.
    pub allow_degrade: bool,
    /// Looks at the target before the copy is said to be there.
    pub verify: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// From one question for the status to the next.
    pub poll_interval: Duration,
}

impl Plan {
    /// The id that the copy will have from v3.0 on.
    #[must_use]
    pub fn new_model_id(&self) -> &ModelId {
        self.target_model_id.as_ref().unwrap_or(&self.model_id)
    }

    /// How this copy is made with a version, given what the source says of the model.
    ///
    /// # Errors
    /// When the plan cannot be carried out with this version.
    pub fn protocol(
        &self,
        version: ApiVersion,
        model: Option<&Model>,
    ) -> Result<Box<dyn Protocol + Send + Sync>, Error> {
        if self.kind == Kind::Classifier && !version.copies_classifiers() {
            return Err(Error::settings(
                format!("{version} does not copy classifiers"),
                "use --api-version 4.0; a classifier that was trained before must be trained again with v4.0",
            ));
        }
        let new = NewModel {
            id: self.new_model_id().clone(),
            description: self.description.clone().or_else(|| model.and_then(|model| model.description.clone())),
            tags: self.tags.clone().or_else(|| model.map(|model| model.tags.clone()).filter(|tags| !tags.is_empty())),
        };
        match document_models_protocol(version, self.kind, new) {
            Some(protocol) => self.refuse_to_copy_onto_itself().map(|()| protocol),
            None => self.target_of_custom_model().map(custom_models_protocol),
        }
    }

    fn refuse_to_copy_onto_itself(&self) -> Result<(), Error> {
        if self.source.endpoint != self.target.endpoint || self.model_id != *self.new_model_id() {
            return Ok(());
        }
        Err(Error::settings(
            "source and target are the same resource and the same model id",
            "choose another target endpoint, or another id with --target-model-id",
        ))
    }

    /// v2.1: the target must be described, and the service names the copy.
    fn target_of_custom_model(&self) -> Result<TargetAddress, Error> {
        const V2_1: ApiVersion = ApiVersion::V2_1;
        if !self.model_id.is_uuid() {
            return Err(Error::settings(
                format!("{} is not the id of a {V2_1} model, which is a UUID", self.model_id),
                "check the model id, or leave out --api-version to find the model's own version",
            ));
        }
        let refused = [
            ("--target-model-id", self.target_model_id.is_some()),
            ("--description", self.description.is_some()),
            ("--tag", self.tags.is_some()),
        ];
        if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(Error::settings(
                format!("{option} is not possible with a {V2_1} model"),
                format!("leave out {option}: {V2_1} names the copy itself and knows no descriptions and tags"),
            ));
        }
        self.target_address.clone().ok_or_else(|| {
            Error::settings(
                format!("a {V2_1} copy needs the target's resource id and region"),
                "give --target-resource-id and --target-region (`az cognitiveservices account show` prints both as id \
                 and location)",
            )
        })
    }
}
