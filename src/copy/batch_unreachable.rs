//! What happens to the models that wait for a target that cannot be reached: they are not tried, because each of them would
//! be tried for as long as the first ones. What has reserved an id goes on.

use super::batch::Batch;
use super::batch_event::BatchEvent;
use super::batch_queue::{Candidate, Queue};
use super::journal::CopyOf;
use super::report::Report;
use super::run::recorder;
use crate::error::Error;

impl Batch<'_> {
    /// Ends what has not reserved an id, if the target cannot be reached. Returns the reports of what has not begun.
    pub(super) fn give_up_if_unreachable(&self, queue: &mut Queue) -> Vec<Report> {
        if let Err(unreachable) = self.target.check_reachable() {
            // It is set once.
            let _ = self.shared.unreachable.set(unreachable);
        }
        let Some(unreachable) = self.shared.unreachable.get() else { return Vec::new() };
        let untried = queue.remove(|candidate| candidate.found.is_ok() && !self.is_open(candidate));
        untried.iter().map(|candidate| self.untried(candidate, unreachable.duplicate())).collect()
    }

    /// Reports the end of a copy, and before the first one that was not tried, why.
    pub(super) fn end(&self, report: &Report) {
        if let Some(error) = self.shared.unreachable.get().filter(|_| !report.begun)
            && !self.has_given_up.replace(true)
        {
            (self.observer)(BatchEvent::TargetUnreachable(error));
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
