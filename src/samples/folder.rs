//! The folder of samples: `DIR/<model id>/` has the documents of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::document::{Document, media_type};
use crate::error::{Error, ErrorKind};
use crate::model::ModelId;
use crate::text::UntrustedText;

/// The largest document that is sent, in MiB. It is read into memory.
const MAX_MIB: u64 = 50;
const BYTES_IN_MIB: u64 = 1024 * 1024;

/// The documents of each model.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    folder: PathBuf,
    models: BTreeMap<String, SamplesOfModel>,
}

/// The documents of one model.
#[derive(Debug, Clone, Default)]
pub(crate) struct SamplesOfModel {
    /// Documents, by the names of their files.
    pub files: Vec<SampleFile>,
    /// How many other files the folder has. They are not sent.
    pub ignored: usize,
}

/// One document.
#[derive(Debug, Clone)]
pub(crate) struct SampleFile {
    /// The name of the file.
    pub name: UntrustedText,
    path: PathBuf,
    media_type: &'static str,
}

impl Samples {
    /// Reads which documents there are.
    ///
    /// # Errors
    /// When the folder cannot be read, or has no document in any folder of a model.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        const FORM: &str = "give a folder that has a folder with documents for each model, named by the model's id";
        let unreadable = |path: &Path, error| {
            Error::settings(format!("the samples in {} cannot be read", path.display()), FORM).with_source(error)
        };
        let mut models = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
            let path = entry.map_err(|error| unreadable(folder, error))?.path();
            if let Some(id) = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_dir()) {
                let samples = SamplesOfModel::read(&path).map_err(|error| unreadable(&path, error))?;
                models.insert(id.to_owned(), samples);
            }
        }
        if models.values().all(|samples| samples.files.is_empty()) {
            return Err(Error::settings(format!("{} has no samples", folder.display()), FORM));
        }
        Ok(Self { folder: folder.to_owned(), models })
    }

    /// The documents of a model. None if it has no folder, or one without documents.
    pub(crate) fn of(&self, id: &ModelId) -> Option<&SamplesOfModel> {
        self.models.get(id.as_str()).filter(|samples| !samples.files.is_empty())
    }

    /// The folders that have none of these ids.
    pub(super) fn folders_without<'a>(&self, ids: impl Iterator<Item = &'a ModelId>) -> Vec<UntrustedText> {
        let ids: BTreeSet<_> = ids.map(ModelId::as_str).collect();
        let unused = self.models.keys().filter(|folder| !ids.contains(folder.as_str()));
        unused.map(|folder| folder.as_str().into()).collect()
    }

    /// The error of a check that would try no model at all.
    pub(crate) fn no_model_has_any(&self) -> Error {
        let what =
            format!("no folder in {} has the id of a model of the source that is compared", self.folder.display());
        let folders: Vec<_> = self.models.keys().map(|id| UntrustedText::from(id.as_str()).to_string()).collect();
        let shown: Vec<_> = folders.iter().take(5).map(String::as_str).collect();
        Error::new(ErrorKind::NotFound, what)
            .with_source(format!("it has the folders {}", shown.join(", ")))
            .with_remedy("name each folder after the id that the model has on the source")
    }
}

impl SamplesOfModel {
    fn read(folder: &Path) -> std::io::Result<Self> {
        let mut samples = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match media_type(&path).filter(|_| !path.is_dir()) {
                Some(media_type) => {
                    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    samples.files.push(SampleFile { name: name.into(), path, media_type });
                }
                None => samples.ignored += 1,
            }
        }
        samples.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(samples)
    }
}

impl SampleFile {
    /// The size of the file in MiB, rounded up.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or is too large.
    pub(super) fn mebibytes(&self) -> Result<u32, Error> {
        let size = fs::metadata(&self.path).map_err(|error| self.unreadable(error))?.len();
        let size = size.div_ceil(BYTES_IN_MIB);
        u32::try_from(size).ok().filter(|_| size <= MAX_MIB).ok_or_else(|| self.too_large())
    }

    /// Reads the document.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or is too large.
    pub(super) fn document(&self) -> Result<Document, Error> {
        let content = fs::read(&self.path).map_err(|error| self.unreadable(error))?;
        match content.len() as u64 {
            0 => Err(Error::settings("the sample is empty", "replace it with a document")),
            size if size > MAX_MIB * BYTES_IN_MIB => Err(self.too_large()),
            _ => Ok(Document { media_type: self.media_type, content: Bytes::from(content) }),
        }
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        let what = format!("the sample {} cannot be read", UntrustedText::from(self.path.to_string_lossy()));
        Error::settings(what, "check the permissions of the file").with_source(error)
    }

    #[expect(clippy::unused_self, reason = "an error of this file, as the others")]
    fn too_large(&self) -> Error {
        Error::settings(
            format!("the sample is larger than {MAX_MIB} MiB, the limit of frcopy"),
            "replace it with a smaller document",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_of_a_model_are_the_files_of_its_folder_that_the_service_can_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("m1/more")).unwrap();
        fs::create_dir(folder.path().join("m2")).unwrap();
        for name in ["m1/b.pdf", "m1/a.PNG", "m1/notes.txt", "readme.pdf"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let samples = Samples::read(folder.path()).unwrap();
        let of_model = samples.of(&"m1".parse().unwrap()).unwrap();
        let names: Vec<_> = of_model.files.iter().map(|file| file.name.raw()).collect();
        assert_eq!((names, of_model.ignored), (vec!["a.PNG", "b.pdf"], 2));
        assert!(samples.of(&"m2".parse().unwrap()).is_none());
    }

    #[test]
    fn a_folder_without_documents_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.pdf"), "x").unwrap();
        for folder in [folder.path(), &folder.path().join("missing"), &folder.path().join("a.pdf")] {
            assert_eq!(Samples::read(folder).unwrap_err().kind(), ErrorKind::Settings);
        }
    }

    #[test]
    fn a_document_that_is_empty_too_large_or_gone_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            SampleFile { name: name.into(), path, media_type: "application/pdf" }
        };
        fs::write(folder.path().join("empty.pdf"), "").unwrap();
        fs::File::create(folder.path().join("large.pdf")).unwrap().set_len(MAX_MIB * BYTES_IN_MIB + 1).unwrap();
        assert!(file("empty.pdf").document().unwrap_err().to_string().contains("is empty"));
        assert!(file("large.pdf").mebibytes().unwrap_err().to_string().contains("larger than 50 MiB"));
        assert!(file("gone.pdf").mebibytes().unwrap_err().to_string().contains("cannot be read"));
    }
}
