//! Whether copies read documents like their sources: analyzes samples on both resources and compares what was read.
//!
//! Each analysis is billed. A document is analyzed twice on the source, and only if that succeeds on each target.

mod analyze;
mod compare;
mod folder;
mod source;

use std::cell::Cell;

use futures_util::StreamExt;

use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::model::{Kind, ModelId};
use crate::text::UntrustedText;
use analyze::Analyzer;
pub(crate) use compare::Compared;
use compare::{Readings, compare};
pub(crate) use folder::Samples;
use folder::{SampleFile, SamplesOfModel};
pub(crate) use source::SampledSource;

/// How many documents are analyzed at the same time.
const PARALLEL_DOCUMENTS: usize = 20;
/// How many files a sentence names.
const NAMED_FILES: usize = 5;
/// How many MiB of documents are in memory at the same time. It is more than one document may have.
const MAX_MIB_AT_ONCE: usize = 64;

/// What is tried, and how.
#[derive(Debug, Clone)]
pub(crate) struct SamplesPlan {
    /// The documents.
    pub samples: Samples,
    /// By how much confidences may differ.
    pub tolerance: f64,
}

/// A model and its copy.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// A model or a classifier.
    pub kind: Kind,
    /// A version that both resources offer.
    pub version: ApiVersion,
    /// On the source.
    pub source: ModelId,
    /// On the target.
    pub target: ModelId,
}

/// What came of the samples of a model.
#[derive(Debug, Default)]
pub(crate) struct SamplesOutcome {
    /// One for each document. None: the model has no samples.
    pub documents: Vec<SampleOutcome>,
    /// How many files of its folder are no documents.
    pub ignored: usize,
}

/// What came of one document.
#[derive(Debug)]
pub(crate) struct SampleOutcome {
    /// The name of the file.
    pub file: UntrustedText,
    /// What was compared, or why it was not.
    pub compared: Result<Compared, Error>,
    /// Why results could not be deleted.
    pub undeleted: Vec<Error>,
}

/// How many documents of how many models are analyzed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extent {
    /// Documents, each of which is analyzed twice on the source and once on the target.
    pub documents: usize,
    /// Models that have samples.
    pub models: usize,
    /// Folders that no model of the source that is compared has the id of.
    pub unused: Vec<UntrustedText>,
}

impl SamplesPlan {
    /// How much there is to analyze with the models that both resources have. `on_source` are all that the source has.
    ///
    /// # Errors
    /// When the source has models, and none of them has samples.
    pub(crate) fn extent(&self, pairs: &[Pair], on_source: &[ModelId]) -> Result<Extent, Error> {
        if !on_source.is_empty() && on_source.iter().all(|id| self.samples.of(id).is_none()) {
            return Err(self.samples.no_model_has_any());
        }
        let of_models: Vec<_> = pairs.iter().filter_map(|pair| self.samples.of(&pair.source)).collect();
        Ok(Extent {
            documents: of_models.iter().map(|samples| samples.files.len()).sum(),
            models: of_models.len(),
            unused: self.samples.folders_without(on_source.iter()),
        })
    }

    /// Analyzes the samples of all pairs on both resources; returns an outcome for each pair. `on_done` gets the number of
    /// documents that are done.
    pub(crate) async fn run(
        &self,
        source: &SampledSource<'_>,
        target: &Client<'_>,
        pairs: &[Pair],
        on_done: impl Fn(usize),
    ) -> Vec<SamplesOutcome> {
        let done = Cell::new(0);
        let of = |pair: &Pair| self.samples.of(&pair.source);
        let files =
            |(at, pair)| of(pair).into_iter().flat_map(|samples| &samples.files).map(move |file| (at, pair, file));
        let jobs = pairs.iter().enumerate().flat_map(files).map(async |(at, pair, file)| {
            let outcome = Trial { source, target, pair, tolerance: self.tolerance }.outcome(file).await;
            done.set(done.get() + 1);
            on_done(done.get());
            (at, outcome)
        });
        let outcomes: Vec<_> = futures_util::stream::iter(jobs).buffered(PARALLEL_DOCUMENTS).collect().await;
        let ignored = |pair| of(pair).map_or(0, |samples: &SamplesOfModel| samples.ignored);
        let none = |pair| SamplesOutcome { documents: Vec::new(), ignored: ignored(pair) };
        let mut of_pairs: Vec<_> = pairs.iter().map(none).collect();
        for (at, outcome) in outcomes {
            if let Some(of_pair) = of_pairs.get_mut(at) {
                of_pair.documents.push(outcome);
            }
        }
        of_pairs
    }
}

impl SamplesOutcome {
    /// In one sentence, that documents are read otherwise.
    pub(crate) fn difference(&self) -> Option<String> {
        let names: Vec<_> = self.differing().map(|one| one.file.to_string()).collect();
        let (count, all) = (names.len(), self.documents.len());
        let shown = names.iter().take(NAMED_FILES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if count > NAMED_FILES { ", …" } else { "" };
        (count > 0).then(|| format!("{count} of {all} samples are read otherwise: {shown}{more}"))
    }

    /// In one sentence, that documents were not compared.
    pub(crate) fn omission(&self) -> Option<String> {
        let count = self.errors().count();
        (count > 0).then(|| format!("{count} of {} samples were not compared", self.documents.len()))
    }

    /// Why documents were not compared, with the first cause.
    pub(crate) fn error(&self) -> Option<Error> {
        let first = self.errors().next()?;
        let error = Error::new(first.kind(), self.omission()?).with_source(first.to_string());
        Some(match first.remedy() {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        })
    }

    /// Whether there are documents, and all of them are read alike.
    pub(crate) fn all_agree(&self) -> bool {
        !self.documents.is_empty() && self.differing().next().is_none() && self.errors().next().is_none()
    }

    /// The documents that source and target read otherwise.
    fn differing(&self) -> impl Iterator<Item = &SampleOutcome> {
        let differs =
            |one: &&SampleOutcome| one.compared.as_ref().is_ok_and(|compared| !compared.differences.is_empty());
        self.documents.iter().filter(differs)
    }

    fn errors(&self) -> impl Iterator<Item = &Error> {
        self.documents.iter().filter_map(|one| one.compared.as_ref().err())
    }
}

/// One pair on two resources.
struct Trial<'a> {
    source: &'a SampledSource<'a>,
    target: &'a Client<'a>,
    pair: &'a Pair,
    tolerance: f64,
}

impl Trial<'_> {
    async fn outcome(&self, file: &SampleFile) -> SampleOutcome {
        let mut undeleted = Vec::new();
        let compared = self.compared(file, &mut undeleted).await;
        SampleOutcome { file: file.name.clone(), compared, undeleted }
    }

    async fn compared(&self, file: &SampleFile, undeleted: &mut Vec<Error>) -> Result<Compared, Error> {
        // The semaphore is never closed.
        let _memory = self.source.memory.acquire_many(file.mebibytes()?).await.ok();
        let document = file.document()?;
        let readings = self.readings(file, &document, undeleted).await?;
        let compared = compare(&readings, self.tolerance);
        // How many documents there are is one place, and says nothing of a model.
        if compared.places <= 1 && compared.differences.is_empty() {
            let what = "the source reads nothing in the sample, or nothing twice alike, so that it proves nothing";
            return Err(
                Error::new(ErrorKind::Unforeseen, what).with_remedy("replace the sample with a clearer document")
            );
        }
        Ok(compared)
    }

    /// Analyzes on the source first: what it refuses is not sent, and not billed, again.
    async fn readings(
        &self,
        file: &SampleFile,
        document: &Document,
        undeleted: &mut Vec<Error>,
    ) -> Result<Readings, Error> {
        let Pair { kind, version, source, target } = self.pair;
        let of_source = self.source.readings(self.pair, file);
        let source = Analyzer { client: self.source.client, version: *version, kind: *kind, id: source };
        let target = Analyzer { client: self.target, version: *version, kind: *kind, id: target };
        let first = of_source.first(&source, document, undeleted).await?;
        let (again, copy) = tokio::join!(of_source.again(&source, document, undeleted), target.analyze(document));
        undeleted.extend(copy.undeleted);
        Ok(Readings { source: [first, again?], target: copy.reading? })
    }
}
