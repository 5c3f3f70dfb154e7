//! The lines of a journal, and what the lines so far say is open.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::content::ModelKey;
use crate::api::version::ApiVersion;
use crate::authorization_file::AuthorizationFile;
use crate::copy::{AuthorizeEntry, CopyOf, EntryId, OpenCopy, OpenStep, staging_id};
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use crate::resource::Endpoint;

/// How the first line of each journal begins.
pub(super) const HEADER: &str = r#"{"schema":"frcopy.journal/1","#;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    schema: String,
    /// Another one in each new file.
    generation: Uuid,
}

/// One of the other lines. Fields are only ever added.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Line {
    event: String,
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<ModelAt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<ModelAt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
    /// By the clock of the target before an authorize request, of the source before a start request.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// The id that could not be released.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelAt {
    endpoint: String,
    model_id: Option<String>,
}

/// An entry that has not ended.
#[derive(Clone)]
pub(super) struct OpenEntry {
    /// The run that owns it.
    pub(super) run: Uuid,
    pub(super) kind: Kind,
    pub(super) source: Endpoint,
    pub(super) target: Endpoint,
    pub(super) source_id: ModelId,
    /// The id that was asked for (v3.0 and later).
    pub(super) target_id: Option<ModelId>,
    pub(super) version: String,
    /// The time of the authorize request, by the target's clock.
    pub(super) target_time: Option<Timestamp>,
    /// The start request that was announced.
    pub(super) start: Option<AnnouncedStart>,
    /// The operation that the source has named.
    pub(super) operation: Option<String>,
    /// The id whose release failed: there is no copy.
    pub(super) unreleased: Option<ModelId>,
}

#[derive(Clone)]
pub(super) struct AnnouncedStart {
    /// An authorization file.
    pub(super) authorization: SecretString,
    /// By the source's clock.
    pub(super) source_time: Option<Timestamp>,
}

impl OpenEntry {
    pub(super) fn model(&self) -> ModelKey {
        ModelKey::new(&self.source, &self.target, self.kind, &self.source_id)
    }

    /// The id of the copy: the one that was asked for, else the one that the authorization has. None where neither is
    /// known.
    ///
    /// # Errors
    /// When the authorization is not usable. It does not repeat it.
    pub(super) fn copy_id(&self) -> Result<Option<ModelId>, Error> {
        match (&self.target_id, &self.start) {
            (Some(id), _) => Ok(Some(id.clone())),
            (None, Some(AnnouncedStart { authorization, .. })) => {
                let file = AuthorizationFile::from_json(authorization.expose_secret())?;
                Ok(Some(file.authorization.target_model_id))
            }
            (None, None) => Ok(None),
        }
    }

    /// Whether it is about this copy, or about its staging copy.
    pub(super) fn is_of(&self, copy: &CopyOf<'_>) -> bool {
        let CopyOf { source, target, kind, source_id, target_id } = *copy;
        kind.is_none_or(|kind| kind == self.kind)
            && self.model() == ModelKey::new(source, target, self.kind, source_id)
            && self.is_to(target_id)
    }

    /// Whether it is about a copy to this id, or to the staging id of it, as far as the id was asked for.
    pub(super) fn is_to(&self, target_id: &ModelId) -> bool {
        let is_staging_id = |id: &ModelId| staging_id(target_id).is_ok_and(|staging_id| staging_id.is_same_as(id));
        let asked_for = self.target_id.as_ref().filter(|_| !self.is_named_by_service());
        asked_for.is_none_or(|id| id.is_same_as(target_id) || is_staging_id(id))
    }

    fn is_named_by_service(&self) -> bool {
        self.version.parse::<ApiVersion>().is_ok_and(|version| version.wire().service_names_the_copy())
    }

    /// The entry for the run that continues it.
    ///
    /// # Errors
    /// When a field is not usable. It does not repeat the authorization.
    pub(super) fn open_copy(&self, id: EntryId) -> Result<OpenCopy, Error> {
        let file = |start: &AnnouncedStart| AuthorizationFile::from_json(start.authorization.expose_secret());
        let step = match (&self.start, &self.unreleased) {
            (start, Some(id)) => {
                let file = start.as_ref().map(file).transpose()?;
                let location = file.and_then(|file| file.authorization.target_location);
                OpenStep::Unreleased { kind: self.kind, id: id.clone(), location }
            }
            (None, None) => OpenStep::Authorizing(self.target_time),
            (Some(start), None) => {
                let (file, source_time) = (file(start)?, start.source_time);
                let operation = self.operation.as_ref().map(|url| OperationUrl::new(url, &self.source)).transpose()?;
                OpenStep::Starting { file: Box::new(file), since: source_time, operation }
            }
        };
        Ok(OpenCopy {
            id,
            source_id: self.source_id.clone(),
            version: self.version.parse()?,
            target_id: self.target_id.clone(),
            step,
        })
    }

    /// Whether it is about a copy to the same id. In v2.1 each copy has another id.
    fn is_superseded_by(&self, other: &Self) -> bool {
        (self.start.is_none() || self.unreleased.is_some())
            && self.model() == other.model()
            && self.target_id == other.target_id
    }

    fn new(line: Line) -> Option<Self> {
        let (source, target) = (line.source?, line.target?);
        let kind = line.kind?;
        Some(Self {
            run: line.run?,
            kind: [Kind::Model, Kind::Classifier].into_iter().find(|one| one.to_string() == kind)?,
            source: source.endpoint.parse().ok()?,
            target: target.endpoint.parse().ok()?,
            source_id: source.model_id?.parse().ok()?,
            target_id: target.model_id.map(|id| id.parse()).transpose().ok()?,
            version: line.api_version?,
            target_time: line.service_time,
            start: None,
            operation: None,
            unreleased: None,
        })
    }

    /// The lines that say all of it.
    pub(super) fn lines(&self, id: EntryId) -> String {
        let Self { source, target, source_id, target_id, .. } = self;
        let mut text = line(&Line {
            event: "authorize".into(),
            id: id.0,
            run: Some(self.run),
            kind: Some(self.kind.to_string()),
            source: Some(ModelAt { endpoint: source.to_string(), model_id: Some(source_id.to_string()) }),
            target: Some(ModelAt {
                endpoint: target.to_string(),
                model_id: target_id.as_ref().map(ToString::to_string),
            }),
            api_version: Some(self.version.clone()),
            service_time: self.target_time,
            ..Line::default()
        });
        text += &self.start.as_ref().map(|start| start_line(id, start)).unwrap_or_default();
        text += &self.operation.as_ref().map(|operation| accepted(id, operation)).unwrap_or_default();
        text += &self.unreleased.as_ref().map(|target_id| unreleased(id, target_id)).unwrap_or_default();
        text
    }
}

/// The line before an authorize request.
pub(super) fn authorize(id: EntryId, run: Uuid, entry: &AuthorizeEntry<'_>) -> String {
    let entry = OpenEntry {
        run,
        kind: entry.kind,
        source: entry.source.clone(),
        target: entry.target.clone(),
        source_id: entry.source_id.clone(),
        target_id: entry.target_id.cloned(),
        version: entry.version.to_string(),
        target_time: entry.target_time,
        start: None,
        operation: None,
        unreleased: None,
    };
    entry.lines(id)
}

/// The line before a start request.
pub(super) fn start_line(id: EntryId, start: &AnnouncedStart) -> String {
    let authorization = RawValue::from_string(start.authorization.expose_secret().to_owned()).ok();
    let service_time = start.source_time;
    line(&Line { event: "start".into(), id: id.0, authorization, service_time, ..Line::default() })
}

/// The line of an accepted start request.
pub(super) fn accepted(id: EntryId, operation: &str) -> String {
    line(&Line { event: "accepted".into(), id: id.0, operation: Some(operation.to_owned()), ..Line::default() })
}

/// The line of an entry whose copy came to nothing, and whose id could not be released.
pub(super) fn unreleased(id: EntryId, target_id: &ModelId) -> String {
    let target_id = Some(target_id.to_string());
    line(&Line { event: "unreleased".into(), id: id.0, target_id, ..Line::default() })
}

/// The line of an entry that another run continues.
pub(super) fn taken(id: EntryId, run: Uuid) -> String {
    line(&Line { event: "taken".into(), id: id.0, run: Some(run), ..Line::default() })
}

/// The line of an entry that has ended.
pub(super) fn ended(id: EntryId) -> String {
    line(&Line { event: "ended".into(), id: id.0, ..Line::default() })
}

/// The first line of a new journal.
pub(super) fn header(generation: Uuid) -> String {
    line(&Header { schema: "frcopy.journal/1".into(), generation })
}

/// The generation of a journal, from its first line.
pub(super) fn generation(line: &str) -> Option<Uuid> {
    let header: Header = line.starts_with(HEADER).then(|| serde_json::from_str(line).ok())??;
    Some(header.generation)
}

fn line(value: &impl Serialize) -> String {
    // Strings, dates and JSON that was parsed before cannot fail to be written.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

/// Changes what is open as a line says.
///
/// # Errors
/// When it is not a line of a journal. The reason does not repeat it: it may contain a secret.
pub(super) fn apply(open: &mut BTreeMap<EntryId, OpenEntry>, text: &str) -> Result<(), String> {
    let line: Line = serde_json::from_str(text).map_err(|error| format!("column {}", error.column()))?;
    let id = EntryId(line.id);
    match line.event.as_str() {
        "authorize" => {
            open.insert(id, OpenEntry::new(line).ok_or("a field is missing or not usable")?);
        }
        "start" => {
            let Some(mut entry) = open.remove(&id) else { return Ok(()) };
            let authorization = line.authorization.ok_or("the authorization is missing")?.get().into();
            entry.start = Some(AnnouncedStart { authorization, source_time: line.service_time });
            // What an earlier authorize request may have reserved was free when this one was answered.
            open.retain(|_, other| !(entry.target_id.is_some() && other.is_superseded_by(&entry)));
            open.insert(id, entry);
        }
        "accepted" => {
            if let Some(entry) = open.get_mut(&id) {
                entry.operation = line.operation;
            }
        }
        "unreleased" => {
            if let Some(entry) = open.get_mut(&id) {
                let target_id = line.target_id.and_then(|id| id.parse().ok());
                entry.unreleased = Some(target_id.ok_or("the id is missing or not usable")?);
            }
        }
        "taken" => {
            if let (Some(entry), Some(run)) = (open.get_mut(&id), line.run) {
                entry.run = run;
            }
        }
        "ended" => {
            open.remove(&id);
        }
        // Of a later version of frcopy.
        _ => {}
    }
    Ok(())
}
