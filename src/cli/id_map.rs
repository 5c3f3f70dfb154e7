//! `--id-map`: which copy belongs to which v2.1 model, for applications to find their models after a failover.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::copy::{Outcome, Report};
use crate::error::{Error, ErrorKind};
use crate::model::ModelId;
use crate::resource::Endpoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::read_text;

const SCHEMA: &str = "frcopy.id-map/1";
/// More copies than any resource has.
const LONGEST: u64 = 64 * 1024 * 1024;
const CHECK_FILE: &str = "check the file, or give another path: a file that is not there yet is made";

/// The file and what it says.
pub(crate) struct IdMap {
    path: PathBuf,
    content: Content,
}

/// The file's JSON. Fields are added, never changed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    schema: String,
    source: String,
    target: String,
    /// By the id on the source.
    models: BTreeMap<String, Copy>,
    /// What a later version has added.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Copy {
    target_model_id: String,
    name: Option<String>,
    copied_at: String,
    /// What a later version has added.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl IdMap {
    /// Reads the file; one that is not there says nothing yet.
    pub(crate) fn read(path: &Path, source: &Endpoint, target: &Endpoint) -> Result<Self, Error> {
        // Whoever keeps it behind a link wants the file replaced and not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = Content {
            schema: SCHEMA.into(),
            source: source.to_string(),
            target: target.to_string(),
            models: BTreeMap::new(),
            more: BTreeMap::new(),
        };
        let content = match read_text(&path, LONGEST) {
            Ok(text) => understand(&path, &text, &new)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => new,
            Err(error) => return Err(unusable(&path, "cannot be read").with_source(error)),
        };
        Ok(Self { path, content })
    }

    /// Reads a file that must be there.
    pub(crate) fn read_existing(path: &Path, source: &Endpoint, target: &Endpoint) -> Result<Self, Error> {
        match fs::metadata(path) {
            Ok(_) => Self::read(path, source, target),
            Err(error) => Err(unusable(path, "cannot be read").with_source(error)),
        }
    }

    /// Makes sure that the file can be written, before anything is copied.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        self.write().map_err(|error| unusable(&self.path, "cannot be written").with_source(error))
    }

    /// The copies that it knows of, the source's id first.
    pub(crate) fn known_copies(&self) -> BTreeMap<ModelId, ModelId> {
        let pairs = self.content.models.iter();
        pairs.filter_map(|(source, copy)| Some((source.parse().ok()?, copy.target_model_id.parse().ok()?))).collect()
    }

    /// Notes a copy, if it is one of v2.1.
    pub(crate) fn note(&mut self, report: &Report) -> Result<(), Error> {
        let is_there = matches!(report.result, Ok(Outcome::Copied | Outcome::AlreadyThere));
        let is_custom = report.api_version.is_some_and(|version| version.wire().service_names_the_copy());
        let (Some(source), Some(target)) = (&report.source_model_id, &report.target_model_id) else { return Ok(()) };
        let known = self.content.models.get(source.as_str());
        if !is_there || !is_custom || known.is_some_and(|copy| copy.target_model_id == target.as_str()) {
            return Ok(());
        }
        let copy = Copy {
            target_model_id: target.to_string(),
            name: report.source_name.as_ref().map(ToString::to_string),
            copied_at: format!("{:.0}", Timestamp::now()),
            more: BTreeMap::new(),
        };
        // Another command may have noted copies of its own in the meantime.
        let noted = read_text(&self.path, LONGEST).ok();
        let noted = noted.and_then(|text| understand(&self.path, &text, &self.content).ok());
        self.content.models.extend(noted.map(|content| content.models).unwrap_or_default());
        self.content.models.insert(source.to_string(), copy);
        self.write().map_err(|error| {
            let what = format!("the copy is there, but the id map {} cannot be written", self.path.display());
            let remedy = format!("add it by hand: the copy of {source} is {target}");
            Error::new(ErrorKind::Unforeseen, what).with_source(error).with_remedy(remedy)
        })
    }

    /// All or nothing: a new file takes the place of the old one.
    fn write(&self) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.content)?;
        text.push('\n');
        let name = self.path.file_name().ok_or_else(|| io::Error::other("it is not the path of a file"))?;
        let beside = self.path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        let written = File::create(&beside).and_then(|mut file| {
            // Whoever has closed it to others wants it closed.
            if let Ok(metadata) = fs::metadata(&self.path) {
                file.set_permissions(metadata.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&beside, &self.path)).inspect_err(|_| drop(fs::remove_file(&beside)))
    }
}

fn understand(path: &Path, text: &str, expected: &Content) -> Result<Content, Error> {
    let content: Content =
        serde_json::from_str(text).map_err(|error| unusable(path, "is damaged").with_source(error))?;
    if content.schema != SCHEMA {
        return Err(unusable(path, "is not an id map of this version of frcopy"));
    }
    if content.source != expected.source || content.target != expected.target {
        let what = format!("is that of copies from {} to {}", content.source, content.target);
        return Err(unusable(path, &what).with_remedy("give each pair of resources an id map of its own"));
    }
    let ids = content.models.iter().flat_map(|(source, copy)| [source, &copy.target_model_id]);
    if let Some(id) = ids.into_iter().find(|id| id.parse::<ModelId>().is_err()) {
        return Err(unusable(path, "is damaged").with_source(format!("{id:?} is not a model id")));
    }
    Ok(content)
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::settings(format!("the id map {} {why}", path.display()), CHECK_FILE)
}
