//! `frcopy check`: compares the source with one target or several.

mod args;
mod end_of_life;
mod line;
mod plan;
mod result;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::check::{CheckEvent, CheckObserver, Checked, Checks, TargetCheck, Verdict, check, nothing_to_compare};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::recorded::check_recorded;
use crate::resource::{Resource, Side};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ci::Results;
use super::console::{self, Console, Verbosity};
use super::exit_code::{self, Code};
use super::signals::Signal;
use super::{ci, retirement, runner, samples};
pub(super) use args::CheckArgs;
use end_of_life::Expiring;
use plan::{Plan, plan};
use result::TargetResult;

/// What the check has shown.
struct Shown {
    /// One result per target.
    targets: Vec<Result<Checked, Error>>,
    /// Why the source was not asked, although it should have been.
    source_down: Option<Error>,
}

impl Plan {
    /// Compares each target with the source, or with the manifest where the source is not asked or unavailable.
    async fn check(&self, observer: CheckObserver<'_>, cancel: &CancellationToken) -> Result<Shown, Error> {
        let began = Instant::now();
        let Checks { source_down, targets } = check(&self.both, observer, cancel).await?;
        let source_down = match source_down {
            Some(error) if self.recorded.is_empty() => return Err(error),
            source_down => source_down,
        };
        let mut checks = targets.into_iter();
        let targets = (0..self.targets.len()).map(|position| {
            let checked = checks.next().transpose();
            async move {
                let on_target = match checked? {
                    Some(TargetCheck::Compared(checked)) => return Ok(checked),
                    Some(TargetCheck::Listed(on_target)) => Some(on_target),
                    None => None,
                };
                let plan = self.recorded.get(position).ok_or_else(nothing_to_compare)?;
                let observer = &|event: CheckEvent<'_>| observer(Some(position), event);
                check_recorded(plan, on_target, began, observer, cancel).await
            }
        });
        let mut targets: Vec<_> = join_all(targets).await;
        // The error of the only target is that of the command.
        let is_only_error = source_down.is_none() && matches!(targets.as_slice(), [Err(_)]);
        match targets.pop_if(|_| is_only_error) {
            Some(Err(error)) => Err(error),
            _ => Ok(Shown { targets, source_down }),
        }
    }

    /// Records what the check has shown to be the same.
    fn record(&self, manifest: Option<Manifest>, results: &mut [Result<Checked, Error>]) -> Option<Error> {
        let (mut manifest, source) = (manifest?, self.source.as_ref()?);
        let mut unrecorded = None;
        for (target, result) in self.targets.iter().zip(results) {
            let Ok(checked) = result else { continue };
            for one in &mut checked.comparisons {
                let is_verified = matches!(one.verdict, Verdict::Same) && checked.target_time.is_some();
                one.verified_at = if is_verified {
                    checked.target_time
                } else {
                    manifest.verified_at(&source.endpoint, &target.endpoint, one)
                };
            }
            let recorded = manifest.record_checked(&source.endpoint, &target.endpoint, checked);
            unrecorded = unrecorded.or(recorded.err());
        }
        unrecorded
    }

    /// The text of the spinner.
    fn step(&self) -> &'static str {
        match (&self.source, self.targets.len()) {
            (None, 1) => "reading the target",
            (None, _) => "reading the targets",
            (Some(_), 1) => "reading the source and the target",
            (Some(_), _) => "reading the source and the targets",
        }
    }
}

/// How many entries of the lists cannot be read.
struct Unread {
    on_source: Cell<usize>,
    on_targets: Vec<Cell<usize>>,
}

impl Unread {
    fn new(targets: usize) -> Self {
        Self { on_source: Cell::default(), on_targets: vec![Cell::default(); targets] }
    }

    fn add(&self, target: Option<usize>, event: &CheckEvent<'_>) {
        let unread = target.and_then(|position| self.on_targets.get(position)).unwrap_or(&self.on_source);
        if let CheckEvent::Unread { count, .. } = event {
            unread.set(unread.get() + count);
        }
    }

    /// In the lists of a target and of the source, which were compared.
    fn count(&self, target: usize) -> usize {
        self.on_source.get() + self.on_targets.get(target).map_or(0, Cell::get)
    }
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Check, &error)),
    };
    let manifest = plan.manifest.take();
    let unread = Unread::new(plan.targets.len());
    let work = async |console: &Console, cancel: &CancellationToken| {
        console.step(plan.step());
        let observer = |target: Option<usize>, event: CheckEvent<'_>| {
            unread.add(target, &event);
            let target = target.and_then(|position| plan.targets.get(position));
            show_event(console, target, plan.targets.len() > 1, &event);
        };
        let shown = plan.check(&observer, cancel).await?;
        // After a signal the comparison is incomplete.
        if cancel.is_cancelled() { Err(Error::interrupted("interrupted")) } else { Ok(shown) }
    };
    let verbosity = Verbosity::new(args.quiet, args.verbose);
    runner::until_signal(verbosity, Results::Check, work, |shown, signal| {
        let Shown { mut targets, source_down } = shown;
        let unrecorded = if source_down.is_none() { plan.record(manifest, &mut targets) } else { None };
        let now = Timestamp::now();
        let results = targets.into_iter().zip(&plan.targets).enumerate().map(|(position, (result, target))| {
            let target_time = result.as_ref().ok().and_then(|checked| checked.target_time);
            TargetResult {
                source: plan.source.as_ref(),
                target,
                is_recorded: plan.source.is_none() || source_down.is_some(),
                is_one_of_several: plan.targets.len() > 1,
                comparisons: result.map(|checked| checked.comparisons),
                unread: unread.count(position),
                expiring: Expiring { limits: plan.limits, now, target_time },
            }
            .selected(args.one_way)
        });
        let results: Vec<_> = results.collect();
        finish(args, &results, &Troubles { source_down, unrecorded }, signal)
    })
}

/// What went wrong besides the comparison of a target.
struct Troubles {
    /// The source was not asked, although it should have been.
    source_down: Option<Error>,
    /// The manifest was not written.
    unrecorded: Option<Error>,
}

/// Shows and publishes the results.
fn finish(args: &CheckArgs, results: &[TargetResult<'_>], troubles: &Troubles, signal: Option<Signal>) -> ExitCode {
    let Troubles { source_down, unrecorded } = troubles;
    if !args.quiet {
        if source_down.is_some() {
            console::line("the source is not available: its copies are compared with what the manifest records");
        }
        for note in retirement_notes(results) {
            console::line(&note);
        }
    }
    for result in results {
        result.show(args);
    }
    source_down.iter().chain(unrecorded).for_each(console::error);
    let errors = || results.iter().filter_map(TargetResult::error).chain(source_down);
    let differs = results.iter().any(TargetResult::differs);
    let lines = results.iter().flat_map(TargetResult::json_lines);
    let in_sync = !differs && errors().next().is_none();
    let unpublished =
        console::unpublished(ci::publish_check(in_sync, lines, results.iter().flat_map(TargetResult::rows)));
    // What a target lacks is known, whatever the trouble with another one is. Nothing is known of a source that is down.
    if differs && source_down.is_none() {
        Code::Differs.into()
    } else {
        exit_code::from_errors(errors().chain(unrecorded).chain(&unpublished), signal)
    }
}

/// What is said once of models that end with their API version, on whichever target they are.
fn retirement_notes(results: &[TargetResult<'_>]) -> Vec<String> {
    let models = results.iter().flat_map(TargetResult::models_and_versions);
    let models: BTreeMap<_, _> = models.collect();
    retirement::notes(models.into_values(), Timestamp::now()).collect()
}

fn show_event(console: &Console, target: Option<&Resource>, has_several: bool, event: &CheckEvent<'_>) {
    let name = target.and_then(|target| target.name.as_ref());
    let one_of_several = name.filter(|_| has_several);
    let resource = |side: Side| match (side, name) {
        (Side::Target, Some(name)) => name.to_string(),
        (side, _) => format!("the {side}"),
    };
    match event {
        CheckEvent::Waiting { error, wait } => console.waiting(error, *wait),
        CheckEvent::Unread { side, count } => console.warn_of_unread(&resource(*side), *count),
        CheckEvent::Recorded { sources } => {
            match sources.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice() {
                [] => console.warning(&format!("the manifest records no such copies on {}", resource(Side::Target))),
                [_] => {}
                several => console.note(&format!(
                    "{} has copies of several sources, of which --from selects one: {}",
                    resource(Side::Target),
                    several.join(", ")
                )),
            }
        }
        CheckEvent::Spare { count } => {
            console.note(&format!("{} has {count} additional copies of v2.1 models", resource(Side::Target)));
        }
        CheckEvent::Sampling(extent) => samples::announce(console, extent, one_of_several),
        CheckEvent::Sampled { done, of } => {
            let label = one_of_several.map(|name| format!("{name}: ")).unwrap_or_default();
            console.progress(&format!("{label}analyzed {done} of {of} samples"));
        }
        CheckEvent::NotReady { side, count } => {
            console.note(&format!("left out, because they are not ready: {count} models of {}", resource(*side)));
        }
    }
}
