//! `frcopy copy` for several models: progress, results and the summary.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::process::ExitCode;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::cli::args::Format;
use crate::cli::ci::Results;
use crate::cli::console::{self, Console, CopyReporter, Verbosity};
use crate::cli::status::{is_running, name, was_not_begun};
use crate::cli::{ci, copy_result, exit_code, runner};
use crate::copy::{BatchEvent, BatchPlan, Outcome, Report, Summary, copy_batches, dry_run_batches};
use crate::error::{Error, ErrorKind};
use crate::inventory::shortage;
use crate::manifest::{Manifest, WRITE_INTERVAL};
use crate::model::{Kind, ModelId};
use crate::resource::Side;
use crate::resource_name::ResourceName;
use tokio::time::{Instant, sleep};

use super::args::{CopyArgs, IfExistsArg};

/// The most ids of excluded models that are printed.
const MAX_NAMED: usize = 5;

pub(super) fn run(args: &CopyArgs, plans: &[BatchPlan], manifest: Option<Manifest>) -> anyhow::Result<ExitCode> {
    let verbosity = args.output.verbosity();
    let began = Instant::now();
    let faults = RefCell::new(Vec::new());
    let work = async |console: &Console, cancel: &_| {
        let shared = SharedReporter {
            console,
            verbosity,
            format: args.output.format,
            manifest: RefCell::new(manifest),
            faults: &faults,
            targets: plans.len(),
            tally: RefCell::default(),
        };
        let of_source = BatchReporter::new(&shared, None);
        // With one target, each line is about it.
        let name = |plan: &BatchPlan| plan.options.target.name.clone().filter(|_| plans.len() > 1);
        let of_targets: Vec<_> = plans.iter().map(|plan| BatchReporter::new(&shared, name(plan))).collect();
        let observer = |target: Option<usize>, event: BatchEvent<'_>| {
            target.and_then(|target| of_targets.get(target)).unwrap_or(&of_source).show(&event);
        };
        if args.options.dry_run {
            return dry_run_batches(plans, &observer, cancel).await;
        }
        let summaries = tokio::select! {
            summaries = copy_batches(plans, &observer, cancel) => summaries,
            never = of_source.write_manifest() => match never {},
        };
        of_source.change_manifest(Manifest::write);
        summaries
    };
    runner::until_signal(verbosity, Results::Copies, work, |summaries, signal| {
        if verbosity >= Verbosity::Normal {
            for line in summary_lines(plans, &summaries, began, args.options.if_exists) {
                console::line(&line);
            }
        }
        let mut shortages = Vec::new();
        for (plan, summary) in plans.iter().zip(&summaries) {
            let short = self::shortages(summary);
            let name = plan.options.target.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            for error in &short {
                console::error_of(&name, error);
            }
            shortages.extend(short);
        }
        let reports = || summaries.iter().flat_map(|summary| &summary.reports);
        let unpublished = console::unpublished(ci::publish_copies(reports()));
        let failures = reports().filter_map(|report| report.result.as_ref().err());
        let rejected = summaries.iter().flat_map(rejected_credentials);
        let others = shortages.iter().chain(rejected).chain(&unpublished);
        exit_code::from_errors(failures.chain(others).chain(&*faults.borrow()), signal)
    })
}

/// What the batches of all targets share.
struct SharedReporter<'c> {
    console: &'c Console,
    verbosity: Verbosity,
    format: Format,
    manifest: RefCell<Option<Manifest>>,
    /// Errors that belong to no copy: an unreadable listing, a manifest that cannot be written.
    faults: &'c RefCell<Vec<Error>>,
    targets: usize,
    tally: RefCell<Tally>,
}

/// Reports the events of a batch: a moving line for each running copy, and a line for each finished one.
struct BatchReporter<'c> {
    shared: &'c SharedReporter<'c>,
    console: &'c Console,
    /// The name of the target, if there are several.
    target: Option<ResourceName>,
    reporters: RefCell<HashMap<(Kind, ModelId), CopyReporter<'c>>>,
}

/// The number of copies in each state.
#[derive(Debug, Default)]
struct Tally {
    selected: usize,
    finished: usize,
    failed: usize,
    running: usize,
}

impl<'c> BatchReporter<'c> {
    fn new(shared: &'c SharedReporter<'c>, target: Option<ResourceName>) -> Self {
        Self { shared, console: shared.console, target, reporters: RefCell::default() }
    }
}

impl BatchReporter<'_> {
    fn show(&self, event: &BatchEvent<'_>) {
        match event {
            BatchEvent::Retrying { error, wait } => self.console.waiting(error, *wait),
            // The errors of the copies repeat it.
            BatchEvent::SourceUnreachable(error) => self.console.suspend(|| console::error(error)),
            BatchEvent::MayNotFit { version, room, selected } => self.console.warning(&format!(
                "{} has room for {room} {}, and {selected} are selected: the service refuses what does not fit",
                self.target.as_ref().map_or("the target", ResourceName::as_str),
                models_of(*version)
            )),
            BatchEvent::Listing => self.console.step("reading the source"),
            BatchEvent::Unreadable { count } => {
                self.console.suspend(|| self.fault(console::unreadable_entries(Side::Source, *count)));
            }
            BatchEvent::StagingLeftOut { count } => {
                self.console.note(&format!("left out, because they are staging copies: {count}"));
            }
            BatchEvent::ResultsLeftOut { ids } => {
                self.left_out("they have the form of --target-model-id", ids);
            }
            BatchEvent::ForModelsOnly { classifiers } => self.console.warning(&format!(
                "--description and --tag apply to models only: the copies of {classifiers} classifiers get their \
                 sources' descriptions and no tags"
            )),
            BatchEvent::Selected { count, not_ready } => self.selected(*count, not_ready),
            BatchEvent::Begun { model_id, kind } => {
                let name = self.target.as_ref().map(|target| format!("{target}: ")).unwrap_or_default();
                let reporter = self.console.named_reporter(format!("{name}{model_id}"));
                self.reporters.borrow_mut().insert((*kind, (*model_id).clone()), reporter);
                self.shared.tally.borrow_mut().running += 1;
                self.show_total();
            }
            BatchEvent::OfCopy { model_id, kind, event } => {
                if let Some(reporter) = self.reporters.borrow().get(&(*kind, (*model_id).clone())) {
                    reporter.show(event);
                }
            }
            BatchEvent::Left { model_id, kind } => {
                let removed = self.reporters.borrow_mut().remove(&(*kind, (*model_id).clone()));
                self.shared.tally.borrow_mut().running -= usize::from(removed.is_some());
            }
            BatchEvent::Ended(report) => self.finished(report),
        }
    }

    fn selected(&self, count: usize, not_ready: &[ModelId]) {
        self.shared.tally.borrow_mut().selected = count * self.shared.targets;
        self.console.note(&format!("{count} models and classifiers are selected"));
        if !not_ready.is_empty() {
            self.left_out("they are not ready", not_ready);
        }
    }

    fn left_out(&self, reason: &str, ids: &[ModelId]) {
        let named: Vec<_> = ids.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        let more = if ids.len() > MAX_NAMED { " …" } else { "" };
        let count = ids.len();
        self.console.note(&format!("left out, because {reason}: {count} ({}{more})", named.join(", ")));
    }

    fn finished(&self, report: &Report) {
        {
            let mut tally = self.shared.tally.borrow_mut();
            tally.finished += 1;
            tally.failed += usize::from(report.result.is_err());
        }
        self.console.suspend(|| {
            let SharedReporter { format, verbosity, .. } = *self.shared;
            copy_result::show_named(format, report, verbosity, self.target.as_ref());
        });
        self.change_manifest(|manifest| manifest.record(report));
        self.show_total();
    }

    /// Writes what the manifest's file lacks, once a second.
    async fn write_manifest(&self) -> Infallible {
        loop {
            sleep(WRITE_INTERVAL).await;
            self.change_manifest(Manifest::write_unless_failed);
        }
    }

    fn change_manifest(&self, change: impl FnOnce(&mut Manifest) -> Result<(), Error>) {
        let changed = self.shared.manifest.borrow_mut().as_mut().map_or(Ok(()), change);
        if let Err(error) = changed {
            self.console.suspend(|| self.fault(error));
        }
    }

    fn fault(&self, error: Error) {
        console::error(&error);
        self.shared.faults.borrow_mut().push(error);
    }

    fn show_total(&self) {
        let Tally { selected, finished, failed, running } = *self.shared.tally.borrow();
        self.console.set_total(format!("{finished} of {selected} finished, {failed} failed, {running} running"));
    }
}

/// The counts of each target, and every failure again in one line: the first ones have scrolled away.
fn summary_lines(plans: &[BatchPlan], summaries: &[Summary], began: Instant, if_exists: IfExistsArg) -> Vec<String> {
    let mut lines = Vec::new();
    for (plan, summary) in plans.iter().zip(summaries) {
        let name = plan.options.target.name.as_ref().filter(|_| plans.len() > 1);
        let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
        lines.extend(lines_of(summary, began, &name));
    }
    let mut errors = summaries.iter().flat_map(|summary| &summary.reports).filter_map(|one| one.result.as_ref().err());
    if errors.any(|error| error.kind() == ErrorKind::Interrupted) {
        let option = if if_exists == IfExistsArg::Fail { " with --if-exists skip" } else { "" };
        lines.push(format!("to continue: the same command{option}, which waits for running copies"));
    }
    for (plan, summary) in plans.iter().zip(summaries) {
        let target = plan.options.target.name.as_ref().map_or("the target", ResourceName::as_str);
        lines.extend(summary.capacities.iter().map(|(version, capacity)| {
            let models = models_of(*version);
            match capacity {
                Ok(Capacity { count, limit }) => format!("{target} has {count} of at most {limit} {models}"),
                Err(error) => format!("the limit of {models} on {target} is not known: {error}"),
            }
        }));
    }
    lines
}

/// The counts of one target, and its failures.
fn lines_of(summary: &Summary, began: Instant, target: &str) -> Vec<String> {
    let count = |wanted: Outcome| {
        summary.reports.iter().filter(|report| report.result.as_ref().is_ok_and(|outcome| *outcome == wanted)).count()
    };
    let errors = || summary.reports.iter().filter_map(|report| Some((report, report.result.as_ref().err()?)));
    let not_begun = errors().filter(|(report, _)| was_not_begun(report)).count();
    let running = errors().filter(|(report, error)| is_running(error, report)).count();
    let failed = errors().count() - not_begun - running;
    let parts = [
        (count(Outcome::Copied), "copied"),
        (count(Outcome::Replaced), "replaced"),
        (count(Outcome::WouldCopy), "would be copied"),
        (count(Outcome::WouldReplace), "would be replaced"),
        (count(Outcome::AlreadyThere), "already there"),
        (running, "still running"),
        (failed, "failed"),
        (not_begun, "not begun"),
    ];
    let (all, seconds) = (summary.reports.len(), began.elapsed().as_secs_f64());
    if all == 0 {
        return vec![format!("{target}there is nothing to copy")];
    }
    let mut lines = vec![format!("{target}{} (in {seconds:.1} s)", console::counts(all, parts))];
    let failures = errors().filter(|(report, _)| !was_not_begun(report));
    lines.extend(failures.map(|(report, error)| format!("  {}: {error}", name(report))));
    lines
}

/// The models that share a limit with those of a version.
fn models_of(version: ApiVersion) -> String {
    format!("models of {}", version.group_name())
}

/// A target that rejects the credential for its limits would reject a copy as well.
fn rejected_credentials(summary: &Summary) -> impl Iterator<Item = &Error> {
    let errors = summary.capacities.iter().filter_map(|(_, capacity)| capacity.as_ref().err());
    errors.filter(|error| error.kind() == ErrorKind::Credentials)
}

/// Errors for each limit of the target that the planned copies would exceed.
fn shortages(summary: &Summary) -> Vec<Error> {
    let short = summary.capacities.iter().filter_map(|(version, capacity)| {
        let capacity = capacity.as_ref().ok()?;
        shortage(*capacity, needed(summary, *version))
    });
    short.collect()
}

/// How many more models the planned copies put into the limit that applies to a version.
fn needed(summary: &Summary, version: ApiVersion) -> u64 {
    let shares_limit = |other: ApiVersion| other.shares_models_with(version);
    let new = summary.reports.iter().filter(|report| matches!(report.result, Ok(Outcome::WouldCopy)));
    let new =
        new.filter(|report| report.kind == Some(Kind::Model) && report.api_version.is_some_and(shares_limit)).count();
    // Each replacement needs room for one staging copy at a time.
    let replaces = summary.reports.iter().any(|report| matches!(report.result, Ok(Outcome::WouldReplace)));
    new as u64 + u64::from(replaces && !version.wire().service_names_the_copy())
}
