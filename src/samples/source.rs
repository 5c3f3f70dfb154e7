//! What the source reads in the samples: each document is analyzed twice, however many targets are compared with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::{OnceCell, Semaphore};

use super::analyze::Analyzer;
use super::folder::SampleFile;
use super::{MAX_MIB_AT_ONCE, Pair};
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::document::{Document, Reading};
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::text::UntrustedText;

/// The source, and the readings that a target still needs.
pub(crate) struct SampledSource<'a> {
    pub(super) client: &'a Client<'a>,
    /// How many targets are compared with it.
    targets: usize,
    /// Limits the documents in memory.
    pub(super) memory: Semaphore,
    read: RefCell<BTreeMap<Key, Uses>>,
}

/// A document of a model, analyzed with a version.
type Key = (Kind, ApiVersion, ModelId, UntrustedText);

/// The readings of a document, and how many targets have asked for them.
type Uses = (Rc<TwoReadings>, usize);

/// The readings of one document. An analysis that failed is not repeated for another target: it may have been billed.
#[derive(Default)]
pub(super) struct TwoReadings {
    first: OnceCell<Result<Rc<Reading>, Error>>,
    again: OnceCell<Result<Rc<Reading>, Error>>,
}

impl<'a> SampledSource<'a> {
    /// The source of so many targets.
    pub(crate) fn new(client: &'a Client<'a>, targets: usize) -> Self {
        Self { client, targets, memory: Semaphore::new(MAX_MIB_AT_ONCE), read: RefCell::default() }
    }

    /// The readings of a document, for one target. After the last target they are not kept.
    pub(super) fn readings(&self, pair: &Pair, file: &SampleFile) -> Rc<TwoReadings> {
        let key = (pair.kind, pair.version, pair.source.clone(), file.name.clone());
        let mut read = self.read.borrow_mut();
        let (readings, uses) = read.entry(key.clone()).or_default();
        *uses += 1;
        let (readings, is_last) = (Rc::clone(readings), *uses >= self.targets);
        if is_last {
            read.remove(&key);
        }
        readings
    }
}

impl TwoReadings {
    /// The first reading. The others are worth nothing without it.
    ///
    /// # Errors
    /// Why the source has not read the document.
    pub(super) async fn first(
        &self,
        source: &Analyzer<'_>,
        document: &Document,
        undeleted: &mut Vec<Error>,
    ) -> Result<Rc<Reading>, Error> {
        read_once(&self.first, source, document, undeleted).await
    }

    /// The second reading.
    ///
    /// # Errors
    /// As those of the first one.
    pub(super) async fn again(
        &self,
        source: &Analyzer<'_>,
        document: &Document,
        undeleted: &mut Vec<Error>,
    ) -> Result<Rc<Reading>, Error> {
        read_once(&self.again, source, document, undeleted).await
    }
}

/// Analyzes a document, unless another target has had it analyzed. That a result was not deleted is said once.
async fn read_once(
    reading: &OnceCell<Result<Rc<Reading>, Error>>,
    source: &Analyzer<'_>,
    document: &Document,
    undeleted: &mut Vec<Error>,
) -> Result<Rc<Reading>, Error> {
    let analysis = async {
        let analyzed = source.analyze(document).await;
        undeleted.extend(analyzed.undeleted);
        analyzed.reading.map(Rc::new)
    };
    reading.get_or_init(|| analysis).await.as_ref().map(Rc::clone).map_err(Error::duplicate)
}
