//! What one copy is to do, and what of it cannot be done with an API version.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::replace::is_staging;
use crate::api::version::ApiVersion;
use crate::api::{NewModel, Protocol, custom_models_protocol, document_models_protocol};
use crate::error::Error;
use crate::model::{Kind, Model, ModelId};
use crate::resource::{Resource, TargetAddress};

/// Between whom copies are made, and how.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The resource that has the models.
    pub source: Resource,
    /// The resource that receives the copies.
    pub target: Resource,
    /// The version to copy with; `None` finds out which one each model needs.
    pub api_version: Option<ApiVersion>,
    /// Where the target is in Azure, which v2.1 needs.
    pub target_address: Option<TargetAddress>,
    /// The description of a copy (v3.0 and later); `None` keeps the source's, empty clears it.
    pub description: Option<String>,
    /// The tags of a copy (v3.0 and later); `None` keeps the source's.
    pub tags: Option<BTreeMap<String, String>>,
    /// Accepts a copy that is less protected than the source.
    pub allow_degrade: bool,
    /// What to do where the target has the id already.
    pub if_exists: IfExists,
    /// Copies of v2.1 models that were made before, the source's id first.
    pub known_copies: BTreeMap<ModelId, ModelId>,
    /// Looks at the target before a copy is said to be there.
    pub verify: bool,
    /// For the whole command.
    pub timeout: Duration,
    /// From one question for the status to the next.
    pub poll_interval: Duration,
}

/// What to do where the target has the id already. In v2.1, where ids are the service's, what counts is whether the
/// target has a copy of the same training; without `Fail`, none is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Nothing: it is an error.
    Fail,
    /// Nothing, and it is no error if the target's model comes from the same training.
    Skip,
    /// Skips what comes from the same training, and replaces what does not, without ever being without a copy.
    Replace,
}

/// One copy, as it was asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Between whom, and how.
    pub options: Rc<CopyOptions>,
    /// What to copy.
    pub model_id: ModelId,
    /// A model or a classifier; `None` finds out.
    pub kind: Option<Kind>,
    /// The id of the copy (v3.0 and later); `None` keeps the source's.
    pub target_model_id: Option<ModelId>,
}

impl Plan {
    /// The id that the copy will have from v3.0 on.
    #[must_use]
    pub fn new_model_id(&self) -> &ModelId {
        self.target_model_id.as_ref().unwrap_or(&self.model_id)
    }

    /// Refuses what can be seen to be impossible before anybody is asked.
    ///
    /// # Errors
    /// When the plan cannot be carried out with the version that it names.
    pub fn check(&self) -> Result<(), Error> {
        if self.options.if_exists == IfExists::Replace && is_staging(&self.model_id) {
            return Err(Error::settings(
                format!("{} is the id of a staging copy, which --if-exists replace deletes", self.model_id),
                "copy the model itself, or choose another --if-exists",
            ));
        }
        match self.options.api_version {
            Some(version) => self.protocol(version, self.kind.unwrap_or(Kind::Model), None).map(drop),
            None => Ok(()),
        }
    }

    /// How this copy is made with a version, given what the source says of the model.
    ///
    /// # Errors
    /// When the plan cannot be carried out with this version.
    pub fn protocol(
        &self,
        version: ApiVersion,
        kind: Kind,
        model: Option<&Model>,
    ) -> Result<Box<dyn Protocol + Send + Sync>, Error> {
        if kind == Kind::Classifier {
            self.refuse_old_classifier(version, model)?;
        }
        let CopyOptions { description, tags, .. } = &*self.options;
        let new = NewModel {
            id: self.new_model_id().clone(),
            description: description.clone().or_else(|| model.and_then(|model| model.description.clone())),
            tags: tags.clone().or_else(|| model.map(|model| model.tags.clone()).filter(|tags| !tags.is_empty())),
        };
        match document_models_protocol(version, kind, new) {
            Some(protocol) => self.refuse_to_copy_onto_itself().map(|()| protocol),
            None => self.target_of_custom_model().map(custom_models_protocol),
        }
    }

    fn refuse_old_classifier(&self, version: ApiVersion, model: Option<&Model>) -> Result<(), Error> {
        let trained_with = model.and_then(|model| model.api_version.as_deref()).map(ApiVersion::for_model_of);
        let too_old = trained_with.filter(|version| !version.copies_classifiers());
        match too_old {
            None if version.copies_classifiers() => Ok(()),
            None => Err(classifiers_need_newer(version)),
            Some(trained_with) => Err(Error::settings(
                format!(
                    "the classifier {} was trained with {trained_with}, and only v4.0 copies its own",
                    self.model_id
                ),
                "train the classifier again with v4.0, and copy that one",
            )),
        }
    }

    fn refuse_to_copy_onto_itself(&self) -> Result<(), Error> {
        if self.options.source.endpoint != self.options.target.endpoint || self.model_id != *self.new_model_id() {
            return Ok(());
        }
        Err(Error::settings(
            "source and target are the same resource and the same model id",
            "choose another target endpoint, or another id with --target-model-id",
        ))
    }

    /// v2.1: the target must be described, and the service names the copy.
    fn target_of_custom_model(&self) -> Result<TargetAddress, Error> {
        refuse_unless_uuid(&self.model_id)?;
        if self.target_model_id.is_some() {
            return Err(not_with_custom_models("--target-model-id"));
        }
        self.options.target_of_custom_models()
    }
}

impl CopyOptions {
    /// The options that hold unless somebody asks for others.
    #[must_use]
    pub fn new(source: Resource, target: Resource) -> Self {
        Self {
            source,
            target,
            api_version: None,
            target_address: None,
            description: None,
            tags: None,
            allow_degrade: false,
            if_exists: IfExists::Fail,
            known_copies: BTreeMap::new(),
            verify: true,
            timeout: Duration::from_secs(30 * 60),
            poll_interval: Duration::from_secs(1),
        }
    }

    /// Where the target of v2.1 copies is.
    ///
    /// # Errors
    /// When nobody has said it, or something else was asked that v2.1 cannot do.
    pub fn target_of_custom_models(&self) -> Result<TargetAddress, Error> {
        let refused = [("--description", self.description.is_some()), ("--tag", self.tags.is_some())];
        if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(not_with_custom_models(option));
        }
        self.target_address.clone().ok_or_else(needs_target_address)
    }
}

/// Nobody has said where the target of a v2.1 copy is.
pub(super) fn needs_target_address() -> Error {
    Error::settings(
        format!("a {} copy needs the target's resource id and region", ApiVersion::V2_1),
        "give --target-resource-id and --target-region (`az cognitiveservices account show` prints both as id and \
         location)",
    )
}

/// What v2.1 cannot have named.
pub(super) fn refuse_unless_uuid(id: &ModelId) -> Result<(), Error> {
    if id.is_uuid() {
        return Ok(());
    }
    Err(Error::settings(
        format!("{id} is not the id of a {} model, which is a UUID", ApiVersion::V2_1),
        "check the model id, or leave out --api-version to find the model's own version",
    ))
}

/// A version that cannot copy any classifier.
pub(super) fn classifiers_need_newer(version: ApiVersion) -> Error {
    Error::settings(
        format!("{version} does not copy classifiers"),
        "use --api-version 4.0; a classifier that was trained before must be trained again with v4.0",
    )
}

fn not_with_custom_models(option: &str) -> Error {
    let v2_1 = ApiVersion::V2_1;
    Error::settings(
        format!("{option} is not possible with a {v2_1} model"),
        format!("leave out {option}: {v2_1} names the copy itself and knows no descriptions and tags"),
    )
}
