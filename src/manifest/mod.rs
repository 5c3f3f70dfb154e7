//! The manifest: a JSON file that records which copies exist, under which ids, from which training, and when the target
//! last showed them.
//!
//! It has no secrets, its keys have a fixed order, and it changes only when a fact changes, so that it can be kept in
//! version control. Several processes may write it at the same time: each change is made under a lock, and merged with
//! what the others have written.

mod content;
mod files;
mod journal;
mod lines;
mod open_models;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::check::{Checked, Comparison};
use crate::copy::{Journal, Outcome, Report, is_staging, version_of};
use crate::error::{Error, ErrorKind};
use crate::known_copies::{Identity, KnownCopies};
use crate::recorded::RecordedCopy;
use crate::resource::Endpoint;
use content::{Content, CopyRecord, Fact, Key, ModelKey};
use jiff::Timestamp;
use journal::FileJournal;
pub(crate) use open_models::OpenModels;

/// The shortest time between two writes of a file, except for the last one.
pub(crate) const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// A manifest, and what is to be added to its file.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    content: Content,
    /// What the file does not have yet.
    pending: BTreeMap<Key, CopyRecord>,
    /// Copies that the file has, and that are not on the target any more.
    missing: BTreeSet<Key>,
    /// Copies that the file has, or will have with the next write, and that may be open in the journal.
    recorded: BTreeSet<Key>,
    /// The journal of a command that copies.
    journal: Option<Rc<FileJournal>>,
    written: Option<Instant>,
    /// Whether the last write failed. It is tried again at the end.
    has_failed: bool,
}

impl Manifest {
    /// Reads a manifest. A file that does not exist is empty.
    ///
    /// # Errors
    /// When it is not a regular file, or not a manifest.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let content = read(path)?.map_or_else(Content::default, |(_, content)| content);
        Ok(Self {
            path: path.to_owned(),
            content,
            pending: BTreeMap::new(),
            missing: BTreeSet::new(),
            recorded: BTreeSet::new(),
            journal: None,
            written: None,
            has_failed: false,
        })
    }

    /// Reads a manifest that must exist.
    ///
    /// # Errors
    /// As those of [`Manifest::read`].
    pub(crate) fn read_existing(path: &Path) -> Result<Self, Error> {
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(Error::settings(
                format!("the manifest {} does not exist", path.display()),
                "check the path; frcopy copy --manifest creates it",
            ));
        }
        Self::read(path)
    }

    /// Checks that the file can be written, before anything is copied, and opens its journal. A file that does not exist is
    /// created.
    ///
    /// # Errors
    /// When it cannot be written, or the journal cannot be used.
    pub(crate) fn open_for_copies(&mut self) -> Result<Rc<dyn Journal>, Error> {
        self.check_writable()?;
        let journal = Rc::new(FileJournal::open(&self.path)?);
        self.journal = Some(Rc::clone(&journal));
        Ok(journal)
    }

    fn check_writable(&mut self) -> Result<(), Error> {
        self.merge_and_write(true).map_err(|error| {
            // An error of the file's content has a message of its own.
            match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::settings(
                    format!("the manifest {} cannot be written", self.path.display()),
                    "check the permissions of the file, or give a path in a folder in which files can be created",
                )
                .with_source(error),
            }
        })
    }

    /// The copies between two resources, and those in the other direction. Of several copies of one model, the one that was
    /// shown last comes first; on the way back, one with the id of its original.
    #[must_use]
    pub(crate) fn known_copies(&self, source: &Endpoint, target: &Endpoint) -> KnownCopies {
        let mut known = KnownCopies::default();
        let mut copies = self.copies_between(source, target);
        copies.sort_by_key(|copy| Reverse((copy.verified_at, copy.ended_at)));
        for RecordedCopy { version, source, target_id, .. } in copies {
            known.add(Identity::new(version, source.kind, &source.id), target_id);
        }
        let mut back = self.copies_between(target, source);
        back.sort_by_key(|copy| Reverse((copy.target_id.is_same_as(&copy.source.id), copy.verified_at, copy.ended_at)));
        for RecordedCopy { version, source: original, target_id, .. } in back {
            known.add_original(Identity::new(version, original.kind, &target_id), original.id);
        }
        known
    }

    fn copies_between(&self, source: &Endpoint, target: &Endpoint) -> Vec<RecordedCopy> {
        let copies = self.content.copies.iter().filter(|(key, _)| key.model.is_between(source, target));
        copies.filter_map(|(_, copy)| copy.recorded_copy()).collect()
    }

    /// The copies on a target, and of a source if one is given.
    #[must_use]
    pub(crate) fn copies_on(&self, target: &Endpoint, source: Option<&Endpoint>) -> Vec<RecordedCopy> {
        let copies = self.content.copies.iter().filter(|(key, _)| key.model.is_on(target, source));
        copies.filter_map(|(_, copy)| copy.recorded_copy()).collect()
    }

    /// When the target last showed a copy, as far as it is recorded.
    #[must_use]
    pub(crate) fn verified_at(&self, source: &Endpoint, target: &Endpoint, one: &Comparison) -> Option<Timestamp> {
        let model = ModelKey::new(source, target, one.kind, &one.source.as_ref()?.id);
        let copy = one.target.as_ref().map(|target| &target.id).or(one.copy_id.as_ref())?;
        self.content.copies.get(&Key::new(model, copy))?.verified_at()
    }

    /// Records copies that a check has shown to be the same as their sources, and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn record_checked(
        &mut self,
        source: &Endpoint,
        target: &Endpoint,
        checked: &Checked,
    ) -> Result<(), Error> {
        for one in &checked.comparisons {
            let (Some(on_source), Some(on_target), Some(training)) = (&one.source, &one.target, &one.training) else {
                continue;
            };
            let (version, _) = training;
            self.add(&Fact {
                source,
                target,
                kind: one.kind,
                source_id: &on_source.id,
                target_id: &on_target.id,
                version: version_of(*version, on_source),
                training: Some(training.clone()),
                ended_at: None,
                verified_at: checked.target_time,
                samples_agreed_at: checked.target_time.filter(|_| one.has_agreeing_samples()),
            });
        }
        self.write()
    }

    /// Records a copy that exists. The file is written at once, or later if that was done within the last second.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn record(&mut self, report: &Report) -> Result<(), Error> {
        if let Some(fact) = fact(report) {
            self.missing.extend(report.missing_copies.iter().map(|id| fact.key_of(id)));
            self.add(&fact);
        }
        if self.written.is_some_and(|written| written.elapsed() < WRITE_INTERVAL) {
            return Ok(());
        }
        self.write_unless_failed()
    }

    /// Writes what the file does not have yet, unless that has failed before.
    ///
    /// # Errors
    /// As those of [`Manifest::write`].
    pub(crate) fn write_unless_failed(&mut self) -> Result<(), Error> {
        if self.has_failed { Ok(()) } else { self.write() }
    }

    fn add(&mut self, fact: &Fact<'_>) {
        let key = fact.key();
        self.recorded.insert(key.clone());
        // A replacement deletes it.
        if is_staging(fact.target_id) {
            return;
        }
        let known = self.pending.get(&key).or_else(|| self.content.copies.get(&key));
        let record = fact.record(known);
        if known != Some(&record) {
            self.pending.insert(key, record);
        }
    }

    /// Writes what the file does not have yet.
    ///
    /// # Errors
    /// When the file cannot be written. It stays as it was.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        let is_unchanged = self.pending.is_empty() && self.missing.is_empty();
        if is_unchanged && self.recorded.is_empty() {
            return Ok(());
        }
        self.written = Some(Instant::now());
        let written = if is_unchanged { Ok(()) } else { self.merge_and_write(false) };
        // Only now does a killed command need no journal to find these copies.
        let ended = written.and_then(|()| match &self.journal {
            Some(journal) => Ok(journal.end_recorded(&self.recorded)?),
            None => Ok(()),
        });
        let written = ended.map(|()| self.recorded.clear());
        self.has_failed = written.is_err();
        written.map_err(|error| {
            let what = format!("the manifest {} cannot be written; the copies are not affected", self.path.display());
            Error::new(ErrorKind::Unforeseen, what)
                .with_source(error)
                .with_remedy("run the same command again with --if-exists skip, which records the copies that exist")
        })
    }

    /// Reads what other commands have recorded in the meantime, adds what is new, and writes the file, under a lock.
    fn merge_and_write(&mut self, check: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _lock = files::lock(&self.path)?;
        let old = read(&self.path)?;
        let (old_text, mut content) = match old {
            Some((text, content)) => (Some(text), content),
            None => (None, self.content.clone()),
        };
        content.copies.retain(|key, _| !self.missing.contains(key));
        content.copies.extend(self.pending.clone());
        let text = content.to_json();
        match old_text {
            Some(old_text) if check => files::check_writable(&self.path, &old_text)?,
            Some(old_text) if old_text == text => {}
            _ => files::write(&self.path, &text)?,
        }
        self.content = content;
        self.pending.clear();
        self.missing.clear();
        Ok(())
    }
}

/// The text and the content of a manifest. None where there is no file.
fn read(path: &Path) -> Result<Option<(String, Content)>, Error> {
    let about = |error: Error| {
        let what = format!("the manifest {} {error}", path.display());
        error.with_message(what)
    };
    let text = files::read(path).map_err(|error| {
        Error::settings(
            format!("the manifest {} cannot be read", path.display()),
            "give the path of a manifest, or of a new file",
        )
        .with_source(error)
    })?;
    text.map(|text| Content::from_json(&text).map(|content| (text, content)).map_err(about)).transpose()
}

/// What a report says of a copy that exists.
fn fact(report: &Report) -> Option<Fact<'_>> {
    let exists = matches!(report.result, Ok(Outcome::Copied | Outcome::Replaced | Outcome::AlreadyThere));
    exists.then_some(())?;
    Some(Fact {
        source: report.source.as_ref()?,
        target: report.target.as_ref()?,
        kind: report.kind?,
        source_id: report.source_model_id.as_ref()?,
        target_id: report.target_model_id.as_ref()?,
        version: report.api_version?,
        training: report.training.clone(),
        ended_at: report.ended_at,
        verified_at: report.verified_at,
        samples_agreed_at: None,
    })
}
