//! The samples of the models that both resources have.

use crate::client::Client;
use crate::error::Error;
use crate::samples::{Pair as SampledPair, SampledSource, SamplesOutcome, SamplesPlan};

use super::comparison::{CheckEvent, Comparison, Verdict};

/// The samples, on the source and on one target.
pub(super) struct Sampling<'a> {
    pub(super) plan: &'a SamplesPlan,
    pub(super) source: &'a SampledSource<'a>,
    pub(super) target: &'a Client<'a>,
}

impl Sampling<'_> {
    /// Analyzes the samples of the models that both have, and adds what came of it.
    pub(super) async fn run(
        &self,
        comparisons: &mut [Comparison],
        observer: &dyn Fn(CheckEvent<'_>),
    ) -> Result<(), Error> {
        let on_source: Vec<_> = comparisons.iter().filter_map(|one| Some(one.source.as_ref()?.id.clone())).collect();
        let (pairs, sampled): (Vec<_>, Vec<_>) =
            comparisons.iter_mut().filter_map(|one| Some((one.sampled_pair()?, one))).unzip();
        let extent = self.plan.extent(&pairs, &on_source)?;
        observer(CheckEvent::Sampling(&extent));
        let on_done = |done| observer(CheckEvent::Sampled { done, of: extent.documents });
        let outcomes = self.plan.run(self.source, self.target, &pairs, on_done).await;
        for (one, outcome) in sampled.into_iter().zip(outcomes) {
            one.add(outcome);
        }
        Ok(())
    }
}

impl Comparison {
    /// The two models to analyze samples with, if both are there and could be read.
    fn sampled_pair(&self) -> Option<SampledPair> {
        let Self { kind, source: Some(source), target: Some(target), version: Some(version), .. } = self else {
            return None;
        };
        let (source, target) = (source.id.clone(), target.id.clone());
        let is_read = !matches!(self.verdict, Verdict::Unread(_));
        is_read.then_some(SampledPair { kind: *kind, version: *version, source, target })
    }

    /// Whether it has samples, and both read all of them alike.
    pub(crate) fn has_agreeing_samples(&self) -> bool {
        self.samples.as_ref().is_some_and(SamplesOutcome::all_agree)
    }

    /// Adds what came of the samples to the verdict.
    fn add(&mut self, outcome: SamplesOutcome) {
        let mut found = self.verdict.differences().to_vec();
        found.extend(outcome.difference());
        if !found.is_empty() {
            found.extend(outcome.omission());
            self.verdict = Verdict::Differs(found);
        } else if let Some(error) = outcome.error() {
            self.verdict = Verdict::Unread(error);
        }
        if !matches!(self.verdict, Verdict::Same) {
            // A manifest records what is the same.
            self.training = None;
        }
        self.samples = Some(outcome);
    }
}
