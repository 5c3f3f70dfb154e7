//! What came of the samples of a model, in JSON.

use serde::Serialize;

use crate::error::Error;
use crate::samples::{SampleOutcome, SamplesOutcome};

/// `samples` in `frcopy.check/1`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SamplesObject<'a> {
    outcome: &'static str,
    documents: Vec<SampleObject<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SampleObject<'a> {
    file: String,
    outcome: &'static str,
    values: Option<usize>,
    differences: &'a [String],
    noise: &'a [String],
    /// Why it was not compared.
    reason: Option<String>,
    undeleted_results: usize,
}

impl<'a> SamplesObject<'a> {
    pub(super) fn new(outcome: &'a SamplesOutcome) -> Self {
        let documents: Vec<_> = outcome.documents.iter().map(SampleObject::new).collect();
        let has = |wanted: &str| documents.iter().any(|document| document.outcome == wanted);
        let word = ["differ", "notCompared", "agree"].into_iter().find(|word| has(word));
        Self { outcome: word.unwrap_or("none"), documents }
    }
}

impl<'a> SampleObject<'a> {
    fn new(sample: &'a SampleOutcome) -> Self {
        let compared = sample.compared.as_ref();
        Self {
            file: sample.file.to_string(),
            outcome: match compared {
                Ok(compared) if compared.differences.is_empty() => "agree",
                Ok(_) => "differ",
                Err(_) => "notCompared",
            },
            values: compared.ok().map(|compared| compared.places),
            differences: compared.map_or(&[], |compared| &compared.differences),
            noise: compared.map_or(&[], |compared| &compared.noise),
            reason: compared.err().map(with_causes),
            undeleted_results: sample.undeleted.len(),
        }
    }
}

/// An error and its causes, in one line.
pub(super) fn with_causes(error: &Error) -> String {
    let causes = error.causes().map(ToString::to_string);
    [error.to_string()].into_iter().chain(causes).collect::<Vec<_>>().join(": ")
}
