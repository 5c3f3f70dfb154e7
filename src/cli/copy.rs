//! `frcopy copy`: one model or many, for good or as a rehearsal.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use frcopy::api::Capacity;
use frcopy::copy::{
    self, ManyEvent, ManyPlan, Observer, Outcome, Plan, Success, Summary, copy_authorized, copy_many, rehearse,
    rehearse_authorized, rehearse_many,
};
use frcopy::error::{Error, ErrorKind};
use frcopy::inventory::shortage;
use frcopy::model::{Kind, ModelId};
use frcopy::resource::Side;
use frcopy::stop::Stop;
use tokio::time::Instant;

use super::args::{CopyArgs, Format, IfExistsArg};
use super::id_map::IdMap;
use super::progress::{Progress, Verbosity, Voice};
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
        Ok((Order::Many(plan), id_map)) => run_many(args, &plan, id_map),
        Err(error) => Ok(super::refuse(&error)),
    }
}

/// Everything that can be refused before the first request.
fn begin(args: &CopyArgs) -> Result<(Order, Option<IdMap>), Error> {
    let order = settings::order(args, &settings::process_environment)?;
    let Some(path) = &args.how.id_map else { return Ok((order, None)) };
    let id_map = IdMap::read(path, &order.terms().source.endpoint, &order.terms().target.endpoint)?;
    let order = order.with_known_copies(id_map.known_copies());
    if args.how.dry_run {
        return Ok((order, None));
    }
    id_map.begin()?;
    Ok((order, Some(id_map)))
}

fn run_one(args: &CopyArgs, plan: &Plan, id_map: Option<IdMap>) -> anyhow::Result<ExitCode> {
    let work = async |observer: Observer<'_>, stop: &Stop| {
        if args.how.dry_run { rehearse(plan, observer, stop).await } else { copy::copy(plan, observer, stop).await }
    };
    super::see_copy_through(&args.output, work, |outcome| id_map?.note(outcome).err())
}

fn run_authorized(args: &CopyArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let plan = match settings::authorized_plan(args, path, &settings::process_environment) {
        Ok(plan) => plan,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let work = async |observer: Observer<'_>, stop: &Stop| {
        if args.how.dry_run {
            rehearse_authorized(&plan, observer, stop).await
        } else {
            copy_authorized(&plan, observer, stop).await
        }
    };
    super::see_copy_through(&args.output, work, |_| None)
}

fn run_many(args: &CopyArgs, plan: &ManyPlan, id_map: Option<IdMap>) -> anyhow::Result<ExitCode> {
    let verbosity = Verbosity::new(args.output.quiet, args.output.verbose);
    let began = Instant::now();
    let faults = RefCell::new(Vec::new());
    let work = async |progress: &Progress, stop: &_| {
        let board = Board {
            progress,
            verbosity,
            format: args.output.format,
            id_map: RefCell::new(id_map),
            faults: &faults,
            voices: RefCell::default(),
            tally: RefCell::default(),
        };
        let observer = |event: ManyEvent<'_>| board.show(&event);
        if args.how.dry_run {
            rehearse_many(plan, &observer, stop).await
        } else {
            copy_many(plan, &observer, stop).await
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
        let unpublished = report::handed_on(ci::copies(&summary.outcomes));
        let failures = summary.outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
        let beside = shortages.iter().chain(refused(&summary)).chain(&unpublished);
        exit_code::of(failures.chain(beside).chain(&*faults.borrow()), signal)
    })
}

/// What a person, or a log, sees of many copies: a moving line for each one that is under way, or a line for each one
/// that has ended.
struct Board<'p> {
    progress: &'p Progress,
    verbosity: Verbosity,
    format: Format,
    id_map: RefCell<Option<IdMap>>,
    /// What went wrong beside the copies: a list that cannot be read, an id map that cannot be written.
    faults: &'p RefCell<Vec<Error>>,
    voices: RefCell<HashMap<(Kind, ModelId), Voice<'p>>>,
    tally: RefCell<Tally>,
}

/// How many copies are where.
#[derive(Debug, Default)]
struct Tally {
    selected: usize,
    ended: usize,
    failed: usize,
}

impl Board<'_> {
    fn show(&self, event: &ManyEvent<'_>) {
        match event {
            ManyEvent::Waiting { error, wait } => self.progress.waiting(error, *wait),
            ManyEvent::Listing => self.progress.step("looking at the source"),
            ManyEvent::Unread { count } => {
                self.progress.with_still_screen(|| self.fault(unread(Side::Source, *count)));
            }
            ManyEvent::StagingLeftOut { count } => {
                self.progress.note(&format!("left out, because they are staging copies: {count}"));
            }
            ManyEvent::Selected { count, not_ready } => self.selected(*count, not_ready),
            ManyEvent::Begun { model_id, kind } => {
                let voice = self.progress.voice_of(model_id.to_string());
                self.voices.borrow_mut().insert((*kind, (*model_id).clone()), voice);
                self.total();
            }
            ManyEvent::OfCopy { model_id, kind, event } => {
                if let Some(voice) = self.voices.borrow().get(&(*kind, (*model_id).clone())) {
                    voice.show(event);
                }
            }
            ManyEvent::Left { model_id, kind } => {
                self.voices.borrow_mut().remove(&(*kind, (*model_id).clone()));
            }
            ManyEvent::Ended(outcome) => self.ended(outcome),
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

    fn ended(&self, outcome: &Outcome) {
        {
            let mut tally = self.tally.borrow_mut();
            tally.ended += 1;
            tally.failed += usize::from(outcome.result.is_err());
        }
        self.progress.with_still_screen(|| {
            report::outcome_of_many(self.format, outcome, self.verbosity);
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
        let under_way = self.voices.borrow().len();
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
        |is: fn(&Success) -> bool| summary.outcomes.iter().filter(|one| one.result.as_ref().is_ok_and(is)).count();
    let errors = || summary.outcomes.iter().filter_map(|one| Some((&one.record, one.result.as_ref().err()?)));
    let not_begun = errors().filter(|(record, error)| report::was_not_begun(error, record)).count();
    let under_way = errors().filter(|(record, error)| report::is_under_way(error, record)).count();
    let failed = errors().count() - not_begun - under_way;
    let parts = [
        (count(|success| *success == Success::Copied), "copied"),
        (count(|success| *success == Success::Replaced), "replaced"),
        (count(|success| *success == Success::WouldCopy), "would be copied"),
        (count(|success| *success == Success::WouldReplace), "would be replaced"),
        (count(|success| *success == Success::AlreadyThere), "there already"),
        (under_way, "still under way"),
        (failed, "failed"),
        (not_begun, "not begun"),
    ];
    let (all, seconds) = (summary.outcomes.len(), began.elapsed().as_secs_f64());
    if all == 0 {
        return vec!["there is nothing to copy".into()];
    }
    let mut lines = vec![format!("{} (in {seconds:.1} s)", report::tally(all, parts))];
    let failures = errors().filter(|(record, error)| !report::was_not_begun(error, record));
    lines.extend(failures.map(|(record, error)| format!("  {}: {error}", report::name_of(record))));
    if errors().any(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        let how = if if_exists == IfExistsArg::Fail { " with --if-exists skip" } else { "" };
        lines.push(format!("to go on: the same command{how}, which follows what is under way"));
    }
    for (version, capacity) in &summary.capacities {
        let namespace = if version.has_document_models() { "v3.0 and later" } else { "v2.1" };
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
    let needs = |of: bool| {
        let new = summary.outcomes.iter().filter(|one| matches!(one.result, Ok(Success::WouldCopy)));
        let models = new.filter(|one| one.record.kind == Kind::Model);
        models.filter(|one| one.record.api_version.is_some_and(|version| version.has_document_models() == of)).count()
    };
    let short = summary.capacities.iter().filter_map(|(version, capacity)| {
        let capacity = capacity.as_ref().ok()?;
        let of_document_models = version.has_document_models();
        // What is replaced needs a place for its staging copy, one at a time at least.
        let staging = summary.outcomes.iter().any(|one| matches!(one.result, Ok(Success::WouldReplace)));
        let needed = needs(of_document_models) as u64 + u64::from(staging && of_document_models);
        shortage(*capacity, needed)
    });
    short.collect()
}
