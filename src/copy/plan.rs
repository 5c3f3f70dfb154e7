//! What was asked for: the options of a copy, and what an API version cannot do of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::journal::{Journal, NoJournal};
use crate::api::version::ApiVersion;
use crate::api::{Naming, NewCopy};
use crate::error::Error;
use crate::known_copies::{Identity, KnownCopies};
use crate::label::{Label, SettingNames};
use crate::model::{Kind, Model, ModelId};
use crate::resource::{Resource, TargetAddress};

/// The two resources, and the options of a copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The resource that has the models.
    pub source: Resource,
    /// The resource that receives the copies.
    pub target: Resource,
    /// The version to copy with; `None` uses each model's own.
    pub api_version: Option<ApiVersion>,
    /// Where the target is in Azure; v2.1 needs it.
    pub target_address: Option<TargetAddress>,
    /// The description of a copy (v3.0 and later); `None` keeps the source's, empty clears it.
    pub description: Option<String>,
    /// The tags of a copy (v3.0 and later); `None` keeps the source's.
    pub tags: Option<BTreeMap<String, String>>,
    /// Accepts a copy that is less protected than the source.
    pub allow_degrade: bool,
    /// What to do where the target already has the id.
    pub if_exists: IfExists,
    /// The copies that the target is known to have.
    pub(crate) known_copies: KnownCopies,
    /// Reads the target before a copy is reported as ready.
    pub verify: bool,
    /// What the next run needs if this one is killed.
    pub(crate) journal: Rc<dyn Journal>,
    /// For the whole command.
    pub timeout: Duration,
    /// Delay between status polls.
    pub poll_interval: Duration,
}

/// The options of the steps after the authorize request.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepOptions {
    /// Accepts a copy that is less protected than the source.
    pub(super) allow_degrade: bool,
    /// Reads the target before a copy is reported as ready.
    pub(super) verify: bool,
    /// Delay between status polls.
    pub(super) poll_interval: Duration,
}

/// What to do where the target already has the id. In v2.1, where the service chooses the ids, it counts whether the
/// target has a copy of the same training; only `Fail` makes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Report an error.
    Fail,
    /// Skip the model if the target's comes from the same training; else report an error.
    Skip,
    /// Skip the model if the target's comes from the same training; else replace it. At each moment the target has a copy.
    Replace,
}

/// One copy.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The two resources and the options.
    pub options: Rc<CopyOptions>,
    /// What to copy.
    pub model_id: ModelId,
    /// A model or a classifier; `None` asks the source.
    pub kind: Option<Kind>,
    /// The id of the copy (v3.0 and later); `None` takes that of the model of the target that the source model is known to
    /// be a copy of, else the source's.
    pub target_model_id: Option<ModelId>,
}

impl Plan {
    /// The id that the copy will have from v3.0 on.
    #[must_use]
    pub fn new_model_id(&self) -> &ModelId {
        self.target_model_id.as_ref().or_else(|| self.original()).unwrap_or(&self.model_id)
    }

    /// The id of the model of the target that the source model is known to be a copy of.
    fn original(&self) -> Option<&ModelId> {
        let kinds = [Kind::Model, Kind::Classifier].into_iter();
        let original = |kind| self.options.known_copies.original_of(&Identity::named_by_caller(kind, &self.model_id));
        kinds.filter(|kind| self.kind.is_none_or(|only| only == *kind)).find_map(original)
    }

    /// Refuses what is impossible before any request is sent.
    ///
    /// # Errors
    /// When the copy cannot be made with the given version.
    pub fn check(&self) -> Result<(), Error> {
        if self.options.if_exists == IfExists::Replace && is_staging(&self.model_id) {
            return Err(Error::settings(
                format!("{} is the id of a staging copy, which --if-exists replace deletes", self.model_id),
                "copy the model itself, or choose another --if-exists",
            ));
        }
        match self.options.api_version {
            Some(version) => self.check_with(version, self.kind.unwrap_or(Kind::Model), None),
            None => Ok(()),
        }
    }

    /// Refuses what cannot be done with a version, given what the source shows of the model.
    ///
    /// # Errors
    /// When this copy cannot be made with this version.
    pub fn check_with(&self, version: ApiVersion, kind: Kind, model: Option<&Model>) -> Result<(), Error> {
        self.naming(version, kind, model, self.new_model_id()).map(drop)
    }

    /// The copy that is asked for under a target id.
    ///
    /// # Errors
    /// When it cannot be made with this version.
    pub(super) fn new_copy(
        &self,
        version: ApiVersion,
        kind: Kind,
        model: Option<&Model>,
        id: Option<&ModelId>,
    ) -> Result<NewCopy, Error> {
        let id = id.unwrap_or_else(|| self.new_model_id());
        Ok(NewCopy { kind, naming: self.naming(version, kind, model, id)? })
    }

    fn naming(&self, version: ApiVersion, kind: Kind, model: Option<&Model>, id: &ModelId) -> Result<Naming, Error> {
        if kind == Kind::Classifier {
            self.refuse_old_classifier(version, model)?;
            self.options.refuse_for_classifiers()?;
        }
        if version.wire().service_names_the_copy() {
            return self.address_for_copy_named_by_service(version).map(Naming::ByService);
        }
        self.refuse_to_copy_onto_itself(id)?;
        let CopyOptions { description, tags, .. } = &*self.options;
        let of_source = model.and_then(|model| model.description.as_ref());
        Ok(Naming::ByCaller {
            id: id.clone(),
            description: description.clone().or_else(|| of_source.map(|text| text.raw().to_owned())),
            tags: tags.clone().or_else(|| model.map(raw_tags).filter(|tags| !tags.is_empty())),
        })
    }

    fn refuse_old_classifier(&self, version: ApiVersion, model: Option<&Model>) -> Result<(), Error> {
        let trained_with = model.and_then(|model| model.api_version.as_ref());
        let trained_with = trained_with.map(|version| ApiVersion::for_model_of(version.raw()));
        let newest = ApiVersion::newest_that_copies(Kind::Classifier);
        match trained_with.filter(|version| !version.wire().copies(Kind::Classifier)) {
            None if version.wire().copies(Kind::Classifier) => Ok(()),
            None => Err(classifiers_need_newer(version)),
            Some(trained_with) => Err(Error::settings(
                format!(
                    "the classifier {} was trained with {trained_with}, and only {newest} copies its own",
                    self.model_id
                ),
                format!("train the classifier again with {newest}, and copy that one"),
            )),
        }
    }

    fn refuse_to_copy_onto_itself(&self, id: &ModelId) -> Result<(), Error> {
        if self.options.source.endpoint != self.options.target.endpoint || self.model_id != *id {
            return Ok(());
        }
        Err(Error::settings(
            "source and target are the same resource and the same model id",
            "choose another target endpoint, or another id with --target-model-id",
        ))
    }

    /// Where the target is, for a copy that the service names (v2.1).
    fn address_for_copy_named_by_service(&self, version: ApiVersion) -> Result<TargetAddress, Error> {
        check_id(version, &self.model_id)?;
        if self.target_model_id.is_some() {
            return Err(not_with_copies_named_by_service(version, "--target-model-id"));
        }
        self.options.address_for_copies_named_by_service(version)
    }
}

fn raw_tags(model: &Model) -> BTreeMap<String, String> {
    model.tags.iter().map(|(name, value)| (name.raw().to_owned(), value.raw().to_owned())).collect()
}

impl CopyOptions {
    /// The default options.
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
            known_copies: KnownCopies::default(),
            verify: true,
            journal: Rc::new(NoJournal),
            timeout: Duration::from_secs(30 * 60),
            poll_interval: Duration::from_secs(1),
        }
    }

    /// Where the target is, for copies that the service names (v2.1).
    ///
    /// # Errors
    /// When the address is missing, or an option was given that such copies do not have.
    pub fn address_for_copies_named_by_service(&self, version: ApiVersion) -> Result<TargetAddress, Error> {
        let refused = [("--description", self.description.is_some()), ("--tag", self.tags.is_some())];
        if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(not_with_copies_named_by_service(version, option));
        }
        self.target_address.clone().ok_or_else(|| needs_target_address(version, &self.target.label))
    }

    /// Refuses options that the service ignores for classifiers, whose copies keep the description of their source and have
    /// no tags.
    pub(super) fn refuse_for_classifiers(&self) -> Result<(), Error> {
        refuse_for_classifiers(self.description.is_some(), self.tags.is_some())
    }

    pub(super) fn step_options(&self) -> StepOptions {
        StepOptions { allow_degrade: self.allow_degrade, verify: self.verify, poll_interval: self.poll_interval }
    }
}

/// The error of a copy whose source must be told where the target is.
pub(super) fn needs_target_address(version: ApiVersion, target: &Label) -> Error {
    let SettingNames { resource_id, region, .. } = target.settings();
    Error::settings(
        format!("a {version} copy needs the resource id and the region of {target}"),
        format!("set {resource_id} and {region} (`az cognitiveservices account show` prints both as id and location)"),
    )
}

/// Refuses an id that no model of this version can have.
pub(super) fn check_id(version: ApiVersion, id: &ModelId) -> Result<(), Error> {
    if version.wire().may_have_id(id) {
        return Ok(());
    }
    Err(Error::settings(
        format!("{id} is not the id of a {version} model, which is a UUID"),
        "check the model id, or leave out --api-version to find the model's own version",
    ))
}

/// The error of a version that does not copy classifiers.
pub(super) fn classifiers_need_newer(version: ApiVersion) -> Error {
    let newest = ApiVersion::newest_that_copies(Kind::Classifier);
    Error::settings(
        format!("{version} does not copy classifiers"),
        format!(
            "leave out --api-version or give {newest}; a classifier that was trained before must be trained again with {newest}"
        ),
    )
}

/// Refuses a description or tags for the copy of a classifier, which the service ignores.
pub(super) fn refuse_for_classifiers(has_description: bool, has_tags: bool) -> Result<(), Error> {
    let refused = [("--description", has_description), ("--tag", has_tags)];
    refused.iter().find(|(_, given)| *given).map_or(Ok(()), |(option, _)| {
        Err(Error::settings(
            format!("{option} is not possible with a classifier"),
            format!(
                "leave out {option}: the service gives the copy of a classifier its source's description and no tags"
            ),
        ))
    })
}

/// The error of an option for a copy that the service names.
pub(super) fn not_with_copies_named_by_service(version: ApiVersion, option: &str) -> Error {
    Error::settings(
        format!("{option} is not possible with a {version} model"),
        format!("leave out {option}: {version} chooses the id of a copy and has no descriptions and tags"),
    )
}

/// What makes an id the staging id of another one.
const STAGING: &str = ".frcopy-staging";
/// The longest id that the service accepts.
const MAX_ID: usize = 64;

/// Whether an id is that of a staging copy, which a replacement made.
pub(crate) fn is_staging(id: &ModelId) -> bool {
    id.as_str().ends_with(STAGING)
}

/// The id of a model's staging copy: always the same, so that the next run finds it.
///
/// # Errors
/// Never for the id of a model: a staging id is as long as an id may be, or shorter.
pub(crate) fn staging_id(id: &ModelId) -> Result<ModelId, Error> {
    let longest = MAX_ID - STAGING.len();
    let whole = id.as_str();
    if whole.len() <= longest {
        return format!("{whole}{STAGING}").parse();
    }
    // FNV-1a, which is the same in every build: two long ids must not share a staging id.
    let hash = whole
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let beginning: String = whole.chars().take(longest - 17).collect();
    format!("{beginning}-{hash:016x}{STAGING}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_staging_id_of_its_own() {
        let staging = |id: &str| staging_id(&id.parse().unwrap()).unwrap().to_string();
        assert_eq!(staging("invoices"), "invoices.frcopy-staging");
        let (one, other) = ("x".repeat(64), format!("{}y", "x".repeat(63)));
        assert!(staging(&one).len() == MAX_ID && staging(&one) != staging(&other));
    }
}
