//! The JSON of a manifest: one object per copy.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::version::ApiVersion;
use crate::error::Error;
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::model_diff::Training;
use crate::recorded::RecordedCopy;
use crate::resource::Endpoint;
use crate::text::UntrustedText;

const SCHEMA: &str = "frcopy.manifest/1";

/// What a manifest records, in the order of its keys. Fields are only ever added.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) copies: BTreeMap<Key, CopyRecord>,
    /// Fields of a later version of frcopy.
    more: BTreeMap<String, Value>,
}

/// Which model of which resource is copied to which resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModelKey {
    source: String,
    target: String,
    kind: Kind,
    model_id: ModelId,
}

/// What identifies a copy: its model, and its own id. A model may have several copies on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(super) model: ModelKey,
    pub(super) target_id: ModelId,
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: String,
    copies: Vec<CopyRecord>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// The record of one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CopyRecord {
    kind: String,
    source: ModelAt,
    target: ModelAt,
    api_version: String,
    training: Option<TrainingRecord>,
    ended_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples_agreed_at: Option<Timestamp>,
    /// Fields of a later version of frcopy.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// A model on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelAt {
    endpoint: String,
    model_id: String,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// What tells trainings apart, and the API version that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrainingRecord {
    api_version: String,
    name: Option<String>,
    created_at: Option<Timestamp>,
    modified_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    fingerprint: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// What is known of a copy that is there.
#[derive(Debug)]
pub(crate) struct Fact<'a> {
    /// The source resource.
    pub source: &'a Endpoint,
    /// The target resource.
    pub target: &'a Endpoint,
    /// A model or a classifier.
    pub kind: Kind,
    /// Its id on the source.
    pub source_id: &'a ModelId,
    /// Its id on the target.
    pub target_id: &'a ModelId,
    /// The version of the copy.
    pub version: ApiVersion,
    /// The training of the source model and the version that shows it.
    pub training: Option<(ApiVersion, Training)>,
    /// When the copy was made, by the source's clock; none where it was there before.
    pub ended_at: Option<Timestamp>,
    /// When the target showed it, by the target's clock.
    pub verified_at: Option<Timestamp>,
    /// When both read all samples alike, by the target's clock.
    pub samples_agreed_at: Option<Timestamp>,
}

impl ModelKey {
    /// The key of the copies of a model.
    #[must_use]
    pub(crate) fn new(source: &Endpoint, target: &Endpoint, kind: Kind, model_id: &ModelId) -> Self {
        Self { source: source.to_string(), target: target.to_string(), kind, model_id: model_id.normalized() }
    }

    /// Whether the copy is on this target, and of this source if one is given.
    #[must_use]
    pub(crate) fn is_on(&self, target: &Endpoint, source: Option<&Endpoint>) -> bool {
        self.target == target.to_string() && source.is_none_or(|source| self.source == source.to_string())
    }

    /// Whether the copy is between these resources.
    #[must_use]
    pub(crate) fn is_between(&self, source: &Endpoint, target: &Endpoint) -> bool {
        self.source == source.to_string() && self.target == target.to_string()
    }
}

impl Key {
    /// The key of a copy of a model.
    #[must_use]
    pub(super) fn new(model: ModelKey, target_id: &ModelId) -> Self {
        Self { model, target_id: target_id.normalized() }
    }
}

impl Fact<'_> {
    /// The key of the copy.
    #[must_use]
    pub(super) fn key(&self) -> Key {
        self.key_of(self.target_id)
    }

    /// The key of another copy of the same model on the same target.
    #[must_use]
    pub(super) fn key_of(&self, target_id: &ModelId) -> Key {
        Key::new(ModelKey::new(self.source, self.target, self.kind, self.source_id), target_id)
    }

    /// The record, from the one that is there. It is the same one where no fact has changed.
    #[must_use]
    pub(super) fn record(&self, known: Option<&CopyRecord>) -> CopyRecord {
        let training = self.training.as_ref().map(|(version, training)| TrainingRecord::new(*version, training));
        let new = CopyRecord {
            kind: self.kind.to_string(),
            source: ModelAt::new(self.source, self.source_id),
            target: ModelAt::new(self.target, self.target_id),
            api_version: self.version.to_string(),
            training,
            ended_at: self.ended_at.map(whole_seconds),
            verified_at: self.verified_at.map(whole_seconds),
            samples_agreed_at: self.samples_agreed_at.map(whole_seconds),
            more: BTreeMap::new(),
        };
        let Some(known) = known else { return new };
        // What was known of an earlier copy with the same id says nothing about one that was made now.
        let is_same_copy = new.ended_at.is_none() && known.may_be_of(new.training.as_ref());
        CopyRecord {
            // The same ones, perhaps in another spelling.
            source: known.source.clone(),
            target: known.target.clone(),
            api_version: if is_same_copy { known.api_version.clone() } else { new.api_version },
            ended_at: new.ended_at.or(known.ended_at.filter(|_| is_same_copy)),
            verified_at: new.verified_at.max(known.verified_at.filter(|_| is_same_copy)),
            samples_agreed_at: new.samples_agreed_at.max(known.samples_agreed_at.filter(|_| is_same_copy)),
            more: known.more.clone(),
            ..new
        }
    }
}

impl CopyRecord {
    /// A model or a classifier.
    ///
    /// # Errors
    /// When it is another word.
    fn kind(&self) -> Result<Kind, Error> {
        let mut kinds = [Kind::Model, Kind::Classifier].into_iter();
        kinds
            .find(|kind| kind.to_string() == self.kind)
            .ok_or_else(|| damaged(&format!("{:?} is not a kind of models", self.kind)))
    }

    /// Whether the copy may come from this training. Another version may show it in another way.
    fn may_be_of(&self, training: Option<&TrainingRecord>) -> bool {
        let version = |of: &TrainingRecord| of.api_version.clone();
        self.training.as_ref() == training || self.training.as_ref().map(version) != training.map(version)
    }

    /// When the target last showed the copy.
    #[must_use]
    pub(super) fn verified_at(&self) -> Option<Timestamp> {
        self.verified_at
    }

    fn key(&self) -> Result<Key, Error> {
        let parse_id = |id: &str| id.parse::<ModelId>().map_err(|_| damaged(&format!("{id:?} is not a model id")));
        let endpoint =
            |text: &str| text.parse::<Endpoint>().map_err(|_| damaged(&format!("{text:?} is not an endpoint")));
        let (source, target) = (endpoint(&self.source.endpoint)?, endpoint(&self.target.endpoint)?);
        let model = ModelKey::new(&source, &target, self.kind()?, &parse_id(&self.source.model_id)?);
        Ok(Key::new(model, &parse_id(&self.target.model_id)?))
    }

    /// The copy for a comparison. None where this version of frcopy does not know its API version.
    pub(super) fn recorded_copy(&self) -> Option<RecordedCopy> {
        let training = self.training.as_ref().and_then(TrainingRecord::training);
        let shown = training.as_ref().map(|(_, training)| training);
        let source = Model {
            id: self.source.model_id.parse().ok()?,
            kind: self.kind().ok()?,
            readiness: Readiness::Ready,
            api_version: None,
            name: shown.and_then(|training| training.name.clone()),
            description: None,
            tags: BTreeMap::new(),
            created: shown.and_then(|training| training.created),
            modified: shown.and_then(|training| training.modified),
            expires: shown.and_then(|training| training.expires),
            document_types: Vec::new(),
            components: Vec::new(),
            is_complete: false,
            unreadable: None,
        };
        let target_id = self.target.model_id.parse().ok()?;
        let version = self.api_version.parse().ok()?;
        let source_endpoint = self.source.endpoint.parse().ok()?;
        let (verified_at, ended_at) = (self.verified_at, self.ended_at);
        Some(RecordedCopy { source_endpoint, source, target_id, version, training, verified_at, ended_at })
    }
}

impl TrainingRecord {
    /// The training and the version that showed it. None where this version of frcopy does not know that version.
    fn training(&self) -> Option<(ApiVersion, Training)> {
        let training = Training {
            name: self.name.as_deref().map(UntrustedText::from),
            created: self.created_at,
            modified: self.modified_at,
            expires: self.expires_at,
            fingerprint: self.fingerprint.clone(),
        };
        Some((self.api_version.parse().ok()?, training))
    }
}

impl ModelAt {
    fn new(endpoint: &Endpoint, id: &ModelId) -> Self {
        Self { endpoint: endpoint.to_string(), model_id: id.to_string(), more: BTreeMap::new() }
    }
}

impl TrainingRecord {
    fn new(version: ApiVersion, training: &Training) -> Self {
        let Training { name, created, modified, expires, fingerprint } = training;
        Self {
            api_version: version.to_string(),
            name: name.as_ref().map(|name| name.raw().to_owned()),
            created_at: created.map(whole_seconds),
            modified_at: modified.map(whole_seconds),
            expires_at: expires.map(whole_seconds),
            fingerprint: fingerprint.clone(),
            more: BTreeMap::new(),
        }
    }
}

/// The service writes the same date with and without fractions of a second.
fn whole_seconds(date: Timestamp) -> Timestamp {
    Timestamp::from_second(date.as_second()).unwrap_or(date)
}

impl Content {
    /// Reads the JSON of a manifest.
    ///
    /// # Errors
    /// When it is another file, or was damaged.
    pub(super) fn from_json(text: &str) -> Result<Self, Error> {
        let document = match text.trim_start().chars().next() {
            None => return Err(Error::settings("is empty", "give the path of a manifest, or of a new file")),
            Some('{') => serde_json::from_str::<Value>(text).map_err(|error| damaged(&error.to_string()))?,
            Some(_) => Value::Null,
        };
        match document.get("schema").and_then(Value::as_str) {
            Some(SCHEMA) => {}
            Some(_) => return Err(unusable("has a format that this version of frcopy does not know")),
            None => return Err(unusable("is not a manifest of frcopy")),
        }
        let Document { copies, more, .. } =
            serde_json::from_value(document).map_err(|error| damaged(&error.to_string()))?;
        let copies = copies.into_iter().map(|copy| Ok((copy.key()?, copy))).collect::<Result<_, Error>>()?;
        Ok(Self { copies, more })
    }

    /// The JSON, in the order of the keys.
    pub(super) fn to_json(&self) -> String {
        let copies = self.copies.values().cloned().collect();
        let document = Document { schema: SCHEMA.into(), copies, more: self.more.clone() };
        // Strings, dates and JSON values cannot fail to be written.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }
}

fn damaged(why: &str) -> Error {
    unusable("is damaged").with_source(why.to_owned())
}

/// The error of a file that is not a usable manifest. Its message lacks the path.
fn unusable(why: &str) -> Error {
    Error::settings(
        why,
        "give the path of a manifest, or of a new file; a copy in version control can replace a damaged one",
    )
}
