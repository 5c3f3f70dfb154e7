//! `--id-map`: a file that maps each v2.1 model to its copy, so that applications find their models after a failover.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::copy::{Outcome, Report};
use crate::error::{Error, ErrorKind};
use crate::model::ModelId;
use crate::resource::Endpoint;
use fs4::fs_std::FileExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::read_text;

const SCHEMA: &str = "frcopy.id-map/1";
/// The largest file that is read.
const MAX_SIZE: u64 = 64 * 1024 * 1024;
/// How long another process may change the file. A change takes milliseconds.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// Delay between two attempts to lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);
const CHECK_FILE: &str = "check the file, or give another path; a file that does not exist is created";

/// The file and its content.
pub(super) struct IdMap {
    path: PathBuf,
    content: Content,
}

/// The file's JSON. Fields are only ever added.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    schema: String,
    source: String,
    target: String,
    /// By the id of the source model.
    models: BTreeMap<String, Copy>,
    /// Fields of a later version of frcopy.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Copy {
    target_model_id: String,
    name: Option<String>,
    copied_at: String,
    /// Fields of a later version of frcopy.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl IdMap {
    /// Reads the file. A file that does not exist is empty.
    pub(super) fn read(path: &Path, source: &Endpoint, target: &Endpoint) -> Result<Self, Error> {
        // A symbolic link stays; the file that it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = Content {
            schema: SCHEMA.into(),
            source: source.to_string(),
            target: target.to_string(),
            models: BTreeMap::new(),
            more: BTreeMap::new(),
        };
        let content = match read_text(&path, MAX_SIZE) {
            Ok(text) => parse(&path, &text, &new)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => new,
            Err(error) => return Err(unusable(&path, "cannot be read").with_source(error)),
        };
        Ok(Self { path, content })
    }

    /// Reads a file that must exist.
    pub(super) fn read_existing(path: &Path, source: &Endpoint, target: &Endpoint) -> Result<Self, Error> {
        match fs::metadata(path) {
            Ok(_) => Self::read(path, source, target),
            Err(error) => Err(unusable(path, "cannot be read").with_source(error)),
        }
    }

    /// Checks that the file can be written, before anything is copied.
    pub(super) fn check_writable(&mut self) -> Result<(), Error> {
        self.update(None).map_err(|error| unusable(&self.path, "cannot be written").with_source(error))
    }

    /// The recorded copies: id on the source, id on the target.
    pub(super) fn known_copies(&self) -> BTreeMap<ModelId, ModelId> {
        let pairs = self.content.models.iter();
        pairs.filter_map(|(source, copy)| Some((source.parse().ok()?, copy.target_model_id.parse().ok()?))).collect()
    }

    /// Records a copy of a v2.1 model. Other copies keep their ids and need no entry.
    pub(super) fn record(&mut self, report: &Report) -> Result<(), Error> {
        let exists = matches!(report.result, Ok(Outcome::Copied | Outcome::AlreadyThere));
        let (Some(source), Some(target)) = (&report.source_model_id, &report.target_model_id) else { return Ok(()) };
        let known = self.content.models.get(source.as_str());
        if !exists || !gets_a_new_id(report) || known.is_some_and(|copy| copy.target_model_id == target.as_str()) {
            return Ok(());
        }
        let copy = Copy {
            target_model_id: target.to_string(),
            name: report.source_name.as_ref().map(ToString::to_string),
            copied_at: format!("{:.0}", Timestamp::now()),
            more: BTreeMap::new(),
        };
        self.update(Some((source, copy))).map_err(|error| {
            let what = format!("the copy succeeded, but the id map {} cannot be written", self.path.display());
            let remedy = format!("add it by hand: the copy of {source} is {target}");
            Error::new(ErrorKind::Unforeseen, what).with_source(error).with_remedy(remedy)
        })
    }

    /// Reads what other commands have recorded in the meantime, adds a copy, and writes the file, under a lock.
    fn update(&mut self, new: Option<(&ModelId, Copy)>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _lock = lock(&beside(&self.path, "lock")?)?;
        match read_text(&self.path, MAX_SIZE) {
            Ok(text) => {
                let Content { models, more, .. } = parse(&self.path, &text, &self.content)?;
                self.content.models.extend(models);
                self.content.more.extend(more);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.content.models.extend(new.map(|(source, copy)| (source.to_string(), copy)));
        Ok(self.write()?)
    }

    /// Replaces the file atomically.
    fn write(&self) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.content)?;
        text.push('\n');
        let temporary = beside(&self.path, &format!("{}.tmp", uuid::Uuid::new_v4().simple()))?;
        let written = new_private_file(&temporary).and_then(|mut file| {
            // The new file keeps the permissions of the old one.
            if let Ok(metadata) = fs::metadata(&self.path) {
                file.set_permissions(metadata.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        });
        written.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }
}

/// The path of a hidden file beside another one.
fn beside(path: &Path, extension: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path does not name a file"))?;
    Ok(path.with_file_name(format!(".{}.{extension}", name.to_string_lossy())))
}

/// Creates a file that only its owner may read. A symbolic link in its place is not followed.
pub(super) fn new_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Waits for a lock, which ends with the returned file. The lock file stays: its removal would leave two processes with a
/// lock each.
fn lock(path: &Path) -> io::Result<File> {
    let file = match new_private_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(path)?.is_file() {
                return Err(io::Error::other(format!("{} is not a regular file", path.display())));
            }
            OpenOptions::new().write(true).open(path)?
        }
        created => created?,
    };
    let until = Instant::now() + LOCK_TIME;
    loop {
        match file.try_lock_exclusive() {
            Ok(true) => return Ok(file),
            // Some network file systems have no locks. There, two commands must not share an id map.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(file),
            Err(error) => return Err(error),
            Ok(false) if Instant::now() >= until => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("another process locks {}", path.display()),
                ));
            }
            Ok(false) => thread::sleep(LOCK_INTERVAL),
        }
    }
}

/// Whether the service chooses the id of the copy, as it does in v2.1.
fn gets_a_new_id(report: &Report) -> bool {
    report.api_version.is_some_and(|version| version.wire().service_names_the_copy())
}

fn parse(path: &Path, text: &str, expected: &Content) -> Result<Content, Error> {
    let content: Content =
        serde_json::from_str(text).map_err(|error| unusable(path, "is damaged").with_source(error))?;
    if content.schema != SCHEMA {
        return Err(unusable(path, "has a format that this version of frcopy does not know"));
    }
    if content.source != expected.source || content.target != expected.target {
        let what = format!("is for copies from {} to {}", content.source, content.target);
        return Err(unusable(path, &what).with_remedy("use one id map for each pair of resources"));
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
