//! `frcopy copy` for several models: progress, results and the summary.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::cli::args::Format;
use crate::cli::ci::Results;
use crate::cli::console::{self, Console, CopyReporter, RowState, Verbosity};
use crate::cli::screen::Screen;
use crate::cli::side_names::SideNames;
use crate::cli::status::{is_running, name, was_not_begun};
use crate::cli::{ci, copy_result, exit_code, runner};
use crate::copy::{BatchEvent, BatchPlan, Outcome, Report, Summary, copy_batches, dry_run_batches};
use crate::error::{Error, ErrorKind};
use crate::inventory::shortage;
use crate::manifest::{Manifest, WRITE_INTERVAL};
use crate::model::{Kind, ModelId};
use crate::resource_name::ResourceName;
use tokio::time::{Instant, sleep};

use super::args::{CopyArgs, IfExistsArg};
use super::board::{self, Row, Tally};
use super::estimate;

/// How often the moving lines are drawn at most.
const DRAW_INTERVAL: Duration = Duration::from_millis(150);
/// How often the total is printed without a terminal.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);

/// When the copies that the target has already have ended.
const ESTIMATE_AFTER: Duration = Duration::from_secs(8);

/// The most ids of excluded models that are printed.
const MAX_NAMED: usize = 5;

pub(super) fn run(args: &CopyArgs, plans: &[BatchPlan], manifest: Option<Manifest>) -> anyhow::Result<ExitCode> {
    let verbosity = args.output.verbosity();
    let began = Instant::now();
    let timeout = plans.first().map(|plan| plan.options.timeout).unwrap_or_default();
    let deadline = began + timeout;
    let is_estimated_at_once = args.options.if_exists == IfExistsArg::Fail && !args.options.dry_run;
    let faults = RefCell::new(Vec::new());
    let work = async |console: &Console, cancel: &_| {
        let shared = SharedReporter {
            console,
            verbosity,
            format: args.output.format,
            manifest: RefCell::new(manifest),
            faults: &faults,
            targets: plans.len(),
            ends: deadline,
            is_estimated_at_once,
            has_manifest: args.options.manifest.is_some(),
            by_the_minute: Cell::default(),
            reporters: RefCell::default(),
            begun: Cell::default(),
            tally: Cell::default(),
            selected_at: Cell::default(),
            drawn: Cell::default(),
        };
        let sides = |plan: &BatchPlan| SideNames::of(&plan.options.source, &plan.options.target);
        let of_source =
            BatchReporter::new(&shared, SideNames::of(plans.first().map(|plan| &plan.options.source), None), None);
        // With one target, each line is about it.
        let name = |plan: &BatchPlan| plan.options.target.name.clone().filter(|_| plans.len() > 1);
        let of_targets: Vec<_> =
            plans.iter().map(|plan| BatchReporter::new(&shared, sides(plan), name(plan))).collect();
        let observer = |target: Option<usize>, event: BatchEvent<'_>| {
            target.and_then(|target| of_targets.get(target)).unwrap_or(&of_source).show(&event);
        };
        if args.options.dry_run {
            return tokio::select! {
                summaries = dry_run_batches(plans, &observer, cancel) => summaries,
                never = shared.keep_drawing() => match never {},
            };
        }
        let summaries = tokio::select! {
            summaries = copy_batches(plans, &observer, cancel) => summaries,
            never = of_source.write_manifest() => match never {},
            never = shared.estimate() => match never {},
            never = shared.keep_drawing() => match never {},
        };
        of_source.change_manifest(Manifest::write);
        summaries
    };
    runner::until_signal(verbosity, Results::Copies, work, |summaries, signal| {
        if verbosity >= Verbosity::Normal {
            for line in summary_lines(plans, &summaries, began, args) {
                console::line(&line);
            }
            let planned =
                summaries.iter().flat_map(|summary| &summary.reports).filter(|report| starts_by_the_minute(report));
            let planned = planned.filter(|report| matches!(report.result, Ok(Outcome::WouldCopy))).count();
            if let Some(text) = estimate::too_many(planned, timeout) {
                console::warning(&text);
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
    /// When the command ends.
    ends: Instant,
    /// Whether every selected model is copied, so that it is known at once how long that takes.
    is_estimated_at_once: bool,
    has_manifest: bool,
    /// How many copies with a limit of starts per minute have not ended.
    by_the_minute: Cell<usize>,
    /// The copies that have begun, each with its number in the order in which they began.
    reporters: RefCell<HashMap<CopyKey, (usize, CopyReporter<'c>)>>,
    begun: Cell<usize>,
    tally: Cell<Tally>,
    selected_at: Cell<Option<Instant>>,
    drawn: Cell<Option<Instant>>,
}

/// The copy that an event is about: the target's name if there are several, the kind, and the source's id.
type CopyKey = (Option<ResourceName>, Kind, ModelId);

/// Reports the events of a batch: a moving line for each running copy, and a line for each finished one.
struct BatchReporter<'c> {
    shared: &'c SharedReporter<'c>,
    console: &'c Console,
    sides: SideNames,
    /// The name of the target, if there are several.
    target: Option<ResourceName>,
}

impl SharedReporter<'_> {
    fn draw_if_due(&self) {
        if self.drawn.get().is_none_or(|drawn| drawn.elapsed() >= DRAW_INTERVAL) {
            self.draw();
        }
    }

    /// Draws the moving lines again and again: some of them show a time. Without a terminal, prints the total each minute.
    async fn keep_drawing(&self) -> Infallible {
        loop {
            if self.console.is_animated() {
                sleep(DRAW_INTERVAL).await;
                self.draw();
            } else {
                sleep(HEARTBEAT_INTERVAL).await;
                self.console.note(&self.total(&self.rows()));
            }
        }
    }

    /// Says whether the copies that have not ended can start before the deadline.
    fn say_estimate(&self) {
        let left = self.ends.saturating_duration_since(Instant::now());
        if let Some(text) = estimate::too_many(self.by_the_minute.get(), left) {
            self.console.warning(&text);
        }
    }

    /// Says so when the copies that the target has already have ended, unless it was said at once.
    async fn estimate(&self) -> Infallible {
        while self.selected_at.get().is_none() {
            sleep(DRAW_INTERVAL).await;
        }
        sleep(ESTIMATE_AFTER).await;
        if !self.is_estimated_at_once {
            self.say_estimate();
        }
        std::future::pending().await
    }

    fn draw(&self) {
        // Before the selection the spinner shows what is read.
        if self.console.is_animated() && self.selected_at.get().is_some() {
            let rows = self.rows();
            let total = self.total(&rows);
            self.console.set_lines(&board::rows(rows, Screen::height()), &total);
            self.drawn.set(Some(Instant::now()));
        }
    }

    /// The copies that have begun or wait for their turn, in this order.
    fn rows(&self) -> Vec<Row> {
        let reporters = self.reporters.borrow();
        let mut states: Vec<_> = reporters.iter().map(|(key, (at, reporter))| (at, key, reporter.row())).collect();
        states.sort_by_key(|(at, ..)| *at);
        let next = states.iter().filter_map(|(.., state)| state.next_start).max().filter(|next| *next > Instant::now());
        let row = |(_, key, state): (&usize, &CopyKey, RowState)| Row {
            name: named(key),
            text: match (state.waits_for_minute, next) {
                (Some(version), Some(next)) => console::next_start(version, next),
                _ => state.text,
            },
            is_waiting: state.is_waiting,
        };
        states.into_iter().map(row).collect()
    }

    fn total(&self, rows: &[Row]) -> String {
        let running = rows.iter().filter(|row| !row.is_waiting).count();
        let elapsed = self.selected_at.get().map(|at| at.elapsed()).unwrap_or_default();
        Tally { running, ..self.tally.get() }.line(elapsed)
    }
}

fn named((target, _, model_id): &CopyKey) -> String {
    target.as_ref().map_or_else(|| model_id.to_string(), |target| format!("{target}: {model_id}"))
}

impl<'c> BatchReporter<'c> {
    fn new(shared: &'c SharedReporter<'c>, sides: SideNames, target: Option<ResourceName>) -> Self {
        Self { shared, console: shared.console, sides, target }
    }
}

impl BatchReporter<'_> {
    fn show(&self, event: &BatchEvent<'_>) {
        match event {
            BatchEvent::Retrying { error, wait } => self.console.waiting(error, *wait),
            // The errors of the copies repeat it.
            BatchEvent::SourceGivenUp(error) => self.console.suspend(|| console::error(error)),
            BatchEvent::GivenUp(error) => {
                let target = self.target.as_ref().map(|target| format!("{target}: ")).unwrap_or_default();
                self.console.suspend(|| console::error_of(&format!("{target}the models that wait are "), error));
            }
            BatchEvent::MayNotFit { version, room, selected } => self.console.warning(&format!(
                "{} has room for {room} {}, and {selected} are selected: the service refuses what does not fit",
                self.sides.target,
                models_of(*version)
            )),
            BatchEvent::Listing => self.console.step(&format!("reading {}", self.sides.source)),
            BatchEvent::Unreadable { count } => {
                self.console.suspend(|| self.fault(console::unreadable_entries(&self.sides.source, *count)));
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
            BatchEvent::TemplateNotUsed { count } => self.console.note(&format!(
                "--target-model-id does not apply to {count} v2.1 {}: the target chooses the ids of their copies",
                if *count == 1 { "model" } else { "models" }
            )),
            BatchEvent::Selected { count, by_the_minute, not_ready } => {
                self.shared.by_the_minute.set(by_the_minute * self.shared.targets);
                self.selected(*count, not_ready);
                if self.shared.is_estimated_at_once {
                    self.shared.say_estimate();
                }
            }
            BatchEvent::Begun { model_id, kind } => {
                let key = self.key(*kind, model_id);
                let reporter = self.console.named_reporter(self.sides.clone(), named(&key));
                self.shared.reporters.borrow_mut().insert(key, (self.shared.begun.get(), reporter));
                self.shared.begun.set(self.shared.begun.get() + 1);
            }
            BatchEvent::OfCopy { model_id, kind, event } => {
                if let Some((_, reporter)) = self.shared.reporters.borrow().get(&self.key(*kind, model_id)) {
                    reporter.show(event);
                }
            }
            BatchEvent::Left { model_id, kind } => {
                self.shared.reporters.borrow_mut().remove(&self.key(*kind, model_id));
            }
            BatchEvent::Ended(report) => self.finished(report),
        }
        self.shared.draw_if_due();
    }

    fn key(&self, kind: Kind, model_id: &ModelId) -> CopyKey {
        (self.target.clone(), kind, model_id.clone())
    }

    fn selected(&self, count: usize, not_ready: &[ModelId]) {
        self.shared.tally.set(Tally { selected: count * self.shared.targets, ..Tally::default() });
        self.shared.selected_at.set(Some(Instant::now()));
        self.console.note(&match count {
            1 => "1 model or classifier is selected".to_owned(),
            _ => format!("{count} models and classifiers are selected"),
        });
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
        let tally = self.shared.tally.get();
        let failed = tally.failed + usize::from(report.result.is_err());
        self.shared.tally.set(Tally { finished: tally.finished + 1, failed, ..tally });
        if starts_by_the_minute(report) {
            self.shared.by_the_minute.set(self.shared.by_the_minute.get().saturating_sub(1));
        }
        self.console.suspend(|| {
            let SharedReporter { format, verbosity, has_manifest, .. } = *self.shared;
            copy_result::show_named(format, report, verbosity, self.target.as_ref(), has_manifest);
        });
        self.change_manifest(|manifest| manifest.record(report));
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
}

/// Every failure again in one line, because the first ones have scrolled away, and last the counts of each target.
fn summary_lines(plans: &[BatchPlan], summaries: &[Summary], began: Instant, args: &CopyArgs) -> Vec<String> {
    let (mut lines, mut totals) = (Vec::new(), Vec::new());
    for (plan, summary) in plans.iter().zip(summaries) {
        let name = plan.options.target.name.as_ref().filter(|_| plans.len() > 1);
        let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
        lines.extend(failure_lines(summary, &name));
        totals.push(total_line(summary, began, &name));
    }
    if summaries.iter().flat_map(errors).any(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        let option = if args.options.if_exists == IfExistsArg::Fail { " with --if-exists skip" } else { "" };
        lines.push(format!("to continue: the same command{option}, which waits for running copies"));
    }
    if let Some(path) = &args.options.manifest {
        let is_running = |(report, error): (&Report, &Error)| is_running(error, report);
        let running = plans.iter().zip(summaries).filter(|(_, summary)| errors(summary).any(is_running));
        lines.extend(running.map(|(plan, _)| copy_result::wait_for_manifest(path, &plan.options)));
    }
    for (plan, summary) in plans.iter().zip(summaries) {
        let target = &plan.options.target.label;
        lines.extend(summary.capacities.iter().map(|(version, capacity)| {
            let models = models_of(*version);
            match capacity {
                Ok(Capacity { count, limit }) => format!("{target} has {count} of at most {limit} {models}"),
                Err(error) => format!("the limit of {models} on {target} is not known: {error}"),
            }
        }));
    }
    lines.extend(totals);
    lines
}

/// Whether a copy starts at a limit per minute.
fn starts_by_the_minute(report: &Report) -> bool {
    report.api_version.is_some_and(|version| version.wire().limits_starts_per_minute())
}

fn errors(summary: &Summary) -> impl Iterator<Item = (&Report, &Error)> {
    summary.reports.iter().filter_map(|report| Some((report, report.result.as_ref().err()?)))
}

fn failure_lines(summary: &Summary, target: &str) -> impl Iterator<Item = String> {
    let failures = errors(summary).filter(|(report, _)| !was_not_begun(report));
    failures.map(move |(report, error)| format!("  {target}{}: {error}", name(report)))
}

/// The counts of one target.
fn total_line(summary: &Summary, began: Instant, target: &str) -> String {
    let (all, seconds) = (summary.reports.len(), began.elapsed().as_secs_f64());
    if all == 0 {
        return format!("{target}there is nothing to copy");
    }
    let count = |wanted: Outcome| {
        summary.reports.iter().filter(|report| report.result.as_ref().is_ok_and(|outcome| *outcome == wanted)).count()
    };
    let not_begun = errors(summary).filter(|(report, _)| was_not_begun(report)).count();
    let running = errors(summary).filter(|(report, error)| is_running(error, report)).count();
    let failed = errors(summary).count() - not_begun - running;
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
    format!("{target}{} (in {seconds:.1} s)", console::counts(all, parts))
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
