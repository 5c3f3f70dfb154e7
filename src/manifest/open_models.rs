//! The models of one resource that unfinished copies may need: those of the open entries of journals.

use std::path::PathBuf;

use jiff::Timestamp;

use super::Manifest;
use super::journal::FileJournal;
use super::lines::OpenEntry;
use crate::copy::DATE_ROUNDING;
use crate::error::Error;
use crate::model::{Kind, Model, ModelId};
use crate::resource::Endpoint;

/// The models of one resource that open entries are about.
#[derive(Debug, Default)]
pub(crate) struct OpenModels(Vec<OpenModel>);

#[derive(Debug)]
struct OpenModel {
    kind: Kind,
    source_id: ModelId,
    copy: CopyId,
    journal: PathBuf,
}

#[derive(Debug)]
enum CopyId {
    Known(ModelId),
    /// The service chooses it (v2.1), and no answer has named it. The copy was created after this time, by the target's
    /// clock.
    ChosenAfter(Option<Timestamp>),
}

impl OpenModels {
    /// Reads the journals of manifests, and changes nothing in them.
    ///
    /// # Errors
    /// When one is not a manifest, or its journal cannot be read.
    pub(crate) fn read(manifests: &[PathBuf], target: &Endpoint) -> Result<Self, Error> {
        let mut models = Vec::new();
        for manifest in manifests {
            // A mistyped path would look like one without a journal.
            Manifest::read_existing(manifest)?;
            let journal = FileJournal::beside(manifest);
            // No copy needs an id that could not be released.
            for entry in journal.open_entries()?.into_iter().filter(|entry| entry.unreleased.is_none()) {
                models.extend(OpenModel::of(&entry, target, &journal)?);
            }
        }
        Ok(Self(models))
    }

    /// Why a blank model is kept. None where no open entry can be about it.
    pub(crate) fn need_blank(&self, model: &Model) -> Option<String> {
        self.reason(|open| match &open.copy {
            CopyId::Known(id) => id.is_same_as(&model.id),
            CopyId::ChosenAfter(since) => {
                since.zip(model.created).is_none_or(|(since, created)| created >= since - DATE_ROUNDING)
            }
        })
    }

    /// Why a staging copy is kept. None where no open entry is about it or about the model that it replaces.
    pub(crate) fn need_staging_copy(&self, kind: Kind, ids: &[&ModelId]) -> Option<String> {
        self.reason(|open| match &open.copy {
            CopyId::Known(id) => open.kind == kind && ids.contains(&id),
            CopyId::ChosenAfter(_) => false,
        })
    }

    fn reason(&self, is_about: impl Fn(&OpenModel) -> bool) -> Option<String> {
        let OpenModel { kind, source_id, journal, .. } = self.0.iter().find(|open| is_about(open))?;
        let journal = journal.display();
        Some(format!(
            "the unfinished copy of {kind} {source_id} in {journal} may need it; run its command again, which ends it"
        ))
    }
}

impl OpenModel {
    /// The model of an entry, if it is on this resource.
    fn of(entry: &OpenEntry, target: &Endpoint, journal: &FileJournal) -> Result<Option<Self>, Error> {
        let copy = entry.copy_id().map_err(|error| journal.unusable(error))?;
        let copy = copy.map_or(CopyId::ChosenAfter(entry.target_time), CopyId::Known);
        // An id that the service has chosen is unique. Another endpoint may be another address of the same resource.
        let is_unique = matches!(&copy, CopyId::Known(id) if id.is_uuid());
        let model =
            || Self { kind: entry.kind, source_id: entry.source_id.clone(), copy, journal: journal.path().to_owned() };
        Ok((is_unique || entry.target == *target).then(model))
    }
}
