//! `frcopy copy`: one model or many, for good or as a rehearsal.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::copy::{
    self, BatchEvent, BatchPlan, Observer, Outcome, Plan, Report, Summary, copy_batch, copy_delegated, dry_run,
    dry_run_batch, dry_run_delegated,
};
use crate::error::{Error, ErrorKind};
use crate::inventory::shortage;
use crate::model::{Kind, ModelId};
use crate::resource::Side;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::args::{CopyArgs, Format, IfExistsArg};
use super::id_map::IdMap;
use super::progress::{CopyReporter, Progress, Verbosity};
use super::settings::{self, Order};
use super::{ci, exit_code, report};

/// How many ids of models that are left out are named.
const MOST_NAMED: usize = 5;

pub(crate) fn run(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.how.authorization {
        return run_authorized(args, path);
    }
    match begin(args) {
        Ok((Order::One(plan), id_map)) => run_one(args, &plan, id_map),
        Ok((Order::Many(plan), id_map)) => run_batch(args, &plan, id_map),
        Err(error) => Ok(super::refuse(&error)),
    }
}

/// Everything that can be refused before the first request.
fn begin(args: &CopyArgs) -> Result<(Order, Option<IdMap>), Error> {
    let order = settings::order(args, &settings::process_environment)?;
    let Some(path) = &args.how.id_map else { return Ok((order, None)) };
    let id_map = IdMap::read(path, &order.options().source.endpoint, &order.options().target.endpoint)?;
    let order = order.with_known_copies(id_map.known_copies());
    if args.how.dry_run {
        return Ok((order, None));
    }
    id_map.begin()?;
    Ok((order, Some(id_map)))
}

fn run_one(args: &CopyArgs, plan: &Plan, id_map: Option<IdMap>) -> anyhow::Result<ExitCode> {
    let work = async |observer: Observer<'_>, cancel: &CancellationToken| {
        if args.how.dry_run { dry_run(plan, observer, cancel).await } else { copy::copy(plan, observer, cancel).await }
    };
    super::run_copy(&args.output, work, |outcome| id_map?.note(outcome).err())
}

fn run_authorized(args: &CopyArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let plan = match settings::delegated_plan(args, path, &settings::process_environment) {
        Ok(plan) => plan,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let work = async |observer: Observer<'_>, cancel: &CancellationToken| {
        if args.how.dry_run {
            dry_run_delegated(&plan, observer, cancel).await
        } else {
            copy_delegated(plan, observer, cancel).await
        }
    };
    super::run_copy(&args.output, work, |_| None)
}

fn run_batch(args: &CopyArgs, plan: &BatchPlan, id_map: Option<IdMap>) -> anyhow::Result<ExitCode> {
    let verbosity = Verbosity::new(args.output.quiet, args.output.verbose);
    let began = Instant::now();
    let faults = RefCell::new(Vec::new());
    let work = async |progress: &Progress, cancel: &_| {
        let reporter = BatchReporter {
            progress,
            verbosity,
            format: args.output.format,
            id_map: RefCell::new(id_map),
            faults: &faults,
            reporters: RefCell::default(),
            tally: RefCell::default(),
        };
        let observer = |event: BatchEvent<'_>| reporter.show(&event);
        if args.how.dry_run {
            dry_run_batch(plan, &observer, cancel).await
        } else {
            copy_batch(plan, &observer, cancel).await
        }
    };
    super::see_through(verbosity, work, |summary, signal| {
        if verbosity >= Verbosity::Normal {
            for line in summary_lines(&summary, began, args.how.if_exists) {
                report::say(&line);
            }
        }
        let shortages = shortages(&summary);
        for error in &shortages {
            report::error(error);
        }
        let unpublished = report::handed_on(ci::copies(&summary.reports));
        let failures = summary.reports.iter().filter_map(|outcome| outcome.result.as_ref().err());
        let beside = shortages.iter().chain(refused(&summary)).chain(&unpublished);
        exit_code::of(failures.chain(beside).chain(&*faults.borrow()), signal)
    })
}

/// What a person, or a log, sees of many copies: a moving line for each one that is under way, or a line for each one
/// that has ended.
struct BatchReporter<'p> {
    progress: &'p Progress,
    verbosity: Verbosity,
    format: Format,
    id_map: RefCell<Option<IdMap>>,
    /// What went wrong beside the copies: a list that cannot be read, an id map that cannot be written.
    faults: &'p RefCell<Vec<Error>>,
    reporters: RefCell<HashMap<(Kind, ModelId), CopyReporter<'p>>>,
    tally: RefCell<Tally>,
}

/// How many copies are where.
#[derive(Debug, Default)]
struct Tally {
    selected: usize,
    ended: usize,
    failed: usize,
}

impl BatchReporter<'_> {
    fn show(&self, event: &BatchEvent<'_>) {
        match event {
            BatchEvent::Retrying { error, wait } => self.progress.waiting(error, *wait),
            BatchEvent::Listing => self.progress.step("looking at the source"),
            BatchEvent::Unreadable { count } => {
                self.progress.with_still_screen(|| self.fault(unread(Side::Source, *count)));
            }
            BatchEvent::StagingLeftOut { count } => {
                self.progress.note(&format!("left out, because they are staging copies: {count}"));
            }
            BatchEvent::Selected { count, not_ready } => self.selected(*count, not_ready),
            BatchEvent::Begun { model_id, kind } => {
                let reporter = self.progress.reporter_of(model_id.to_string());
                self.reporters.borrow_mut().insert((*kind, (*model_id).clone()), reporter);
                self.total();
            }
            BatchEvent::OfCopy { model_id, kind, event } => {
                if let Some(reporter) = self.reporters.borrow().get(&(*kind, (*model_id).clone())) {
                    reporter.show(event);
                }
            }
            BatchEvent::Left { model_id, kind } => {
                self.reporters.borrow_mut().remove(&(*kind, (*model_id).clone()));
            }
            BatchEvent::Ended(outcome) => self.ended(outcome),
        }
    }

    fn selected(&self, count: usize, not_ready: &[ModelId]) {
        self.tally.borrow_mut().selected = count;
        self.progress.note(&format!("{count} models and classifiers are selected"));
        if !not_ready.is_empty() {
            let named: Vec<_> = not_ready.iter().take(MOST_NAMED).map(ToString::to_string).collect();
            let more = if not_ready.len() > MOST_NAMED { " …" } else { "" };
            let count = not_ready.len();
            self.progress.note(&format!("left out, because they are not ready: {count} ({}{more})", named.join(", ")));
        }
    }

    fn ended(&self, outcome: &Report) {
        {
            let mut tally = self.tally.borrow_mut();
            tally.ended += 1;
            tally.failed += usize::from(outcome.result.is_err());
        }
        self.progress.with_still_screen(|| {
            report::outcome_of_batch(self.format, outcome, self.verbosity);
            let noted = self.id_map.borrow_mut().as_mut().map_or(Ok(()), |id_map| id_map.note(outcome));
            if let Err(error) = noted {
                self.fault(error);
            }
        });
        self.total();
    }

    fn fault(&self, error: Error) {
        report::error(&error);
        self.faults.borrow_mut().push(error);
    }

    fn total(&self) {
        let Tally { selected, ended, failed } = *self.tally.borrow();
        let under_way = self.reporters.borrow().len();
        self.progress.total(format!("{ended} of {selected} ended, {failed} failed, {under_way} under way"));
    }
}

/// A list that names things which nobody can read, and so nobody can copy, is not a list that was copied.
fn unread(side: Side, count: usize) -> Error {
    Error::new(ErrorKind::Unforeseen, format!("the {side} lists {count} models in a form that is not known"))
        .with_remedy("look for a newer version of frcopy, and copy them by other means until then")
}

/// How it all ended, and every failure once more in a line: the first ones have long left the screen.
fn summary_lines(summary: &Summary, began: Instant, if_exists: IfExistsArg) -> Vec<String> {
    let count =
        |is: fn(&Outcome) -> bool| summary.reports.iter().filter(|one| one.result.as_ref().is_ok_and(is)).count();
    let errors = || summary.reports.iter().filter_map(|one| Some((one, one.result.as_ref().err()?)));
    let not_begun = errors().filter(|(report, error)| report::was_not_begun(error, report)).count();
    let under_way = errors().filter(|(report, error)| report::is_under_way(error, report)).count();
    let failed = errors().count() - not_begun - under_way;
    let parts = [
        (count(|success| *success == Outcome::Copied), "copied"),
        (count(|success| *success == Outcome::Replaced), "replaced"),
        (count(|success| *success == Outcome::WouldCopy), "would be copied"),
        (count(|success| *success == Outcome::WouldReplace), "would be replaced"),
        (count(|success| *success == Outcome::AlreadyThere), "there already"),
        (under_way, "still under way"),
        (failed, "failed"),
        (not_begun, "not begun"),
    ];
    let (all, seconds) = (summary.reports.len(), began.elapsed().as_secs_f64());
    if all == 0 {
        return vec!["there is nothing to copy".into()];
    }
    let mut lines = vec![format!("{} (in {seconds:.1} s)", report::tally(all, parts))];
    let failures = errors().filter(|(report, error)| !report::was_not_begun(error, report));
    lines.extend(failures.map(|(report, error)| format!("  {}: {error}", report::name_of(report))));
    if errors().any(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        let how = if if_exists == IfExistsArg::Fail { " with --if-exists skip" } else { "" };
        lines.push(format!("to go on: the same command{how}, which follows what is under way"));
    }
    for (version, capacity) in &summary.capacities {
        let namespace = version.group_name();
        lines.push(match capacity {
            Ok(Capacity { count, limit }) => format!("the target has {count} of at most {limit} models of {namespace}"),
            Err(error) => format!("the target does not say how many models of {namespace} it may have: {error}"),
        });
    }
    lines
}

/// A target that lets nobody in will not take a copy.
fn refused(summary: &Summary) -> impl Iterator<Item = &Error> {
    let errors = summary.capacities.iter().filter_map(|(_, capacity)| capacity.as_ref().err());
    errors.filter(|error| error.kind() == ErrorKind::Credentials)
}

/// A target that has less room than the copies need would refuse some of them.
fn shortages(summary: &Summary) -> Vec<Error> {
    let needs = |group: ApiVersion| {
        let new = summary.reports.iter().filter(|one| matches!(one.result, Ok(Outcome::WouldCopy)));
        let models = new.filter(|one| one.kind == Kind::Model);
        models.filter(|one| one.api_version.is_some_and(|version| version.shares_models_with(group))).count()
    };
    let short = summary.capacities.iter().filter_map(|(version, capacity)| {
        let capacity = capacity.as_ref().ok()?;
        let may_replace = !version.wire().service_names_the_copy();
        // What is replaced needs a place for its staging copy, one at a time at least.
        let staging = summary.reports.iter().any(|one| matches!(one.result, Ok(Outcome::WouldReplace)));
        let needed = needs(*version) as u64 + u64::from(staging && may_replace);
        shortage(*capacity, needed)
    });
    short.collect()
}
