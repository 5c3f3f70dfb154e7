//! When a batch ends what waits: the target cannot be reached, or no copy was let in with the credentials. Each further
//! copy would end in the same way. What has reserved an id goes on.

use super::batch::Batch;
use super::batch_event::BatchEvent;
use super::batch_queue::{Candidate, Queue};
use super::journal::CopyOf;
use super::report::Report;
use super::run::recorder;
use crate::error::{Error, ErrorKind};

/// How many copies are refused before the credentials count as wrong. One such answer may be a mistake.
const REFUSALS: usize = 3;

impl Batch<'_> {
    /// Ends what has not reserved an id, if it is useless to try it. Returns the reports of what has not begun.
    pub(super) fn give_up_if_useless(&self, queue: &mut Queue, ended: &[Report]) -> Vec<Report> {
        if let Err(error) = self.target.check_reachable().and_then(|()| check_credentials(ended)) {
            // It is set once.
            let _ = self.shared.given_up.set(error);
        }
        let Some(error) = self.shared.given_up.get() else { return Vec::new() };
        let untried = queue.remove(|candidate| candidate.found.is_ok() && !self.is_open(candidate));
        untried.iter().map(|candidate| self.untried(candidate, error.duplicate())).collect()
    }

    /// Reports the end of a copy, and before the first one that was not tried, why.
    pub(super) fn end(&self, report: &Report) {
        if let Some(error) = self.shared.given_up.get().filter(|_| !report.begun)
            && !self.is_given_up_reported.replace(true)
        {
            (self.observer)(BatchEvent::GivenUp(error));
        }
        (self.observer)(BatchEvent::Ended(report));
    }

    /// Whether an earlier run has begun the copy, and may have started it.
    fn is_open(&self, candidate: &Candidate) -> bool {
        let plan = self.plan_for(candidate);
        let copy = CopyOf {
            source: &plan.options.source.endpoint,
            target: &plan.options.target.endpoint,
            kind: candidate.found.as_ref().ok().map(|found| found.kind),
            source_id: &plan.model_id,
            target_id: plan.new_model_id(),
        };
        self.plan.options.journal.has_open(&copy)
    }

    fn untried(&self, candidate: &Candidate, error: Error) -> Report {
        let report = recorder(&self.plan_for(candidate)).with(|report| report.begun = false).finish(Err(error));
        self.end(&report);
        report
    }
}

/// Checks that not every copy was refused because of the credentials.
fn check_credentials(ended: &[Report]) -> Result<(), Error> {
    let Some(last) = ended.last().and_then(refusal) else { return Ok(()) };
    if ended.len() < REFUSALS || !ended.iter().all(|report| refusal(report).is_some()) {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Credentials, format!("not tried: the first {} were all refused", ended.len()));
    let remedy = last.remedy().unwrap_or("check the credentials of both resources").to_owned();
    Err(error.with_source(last.duplicate()).with_remedy(remedy))
}

/// Why a copy was refused because of the credentials. One with an operation was let in on both sides.
fn refusal(report: &Report) -> Option<&Error> {
    let error = report.result.as_ref().err().filter(|_| report.operation.is_none());
    error.filter(|error| error.kind() == ErrorKind::Credentials)
}
