//! What people read on stderr: progress, warnings, errors.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::copy::Event;
use crate::error::{Error, ErrorKind};
use crate::model::{Model, ModelId};
use crate::operation::{OperationStatus, OperationUrl};
use crate::resource::Side;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::ci;
use super::error_text;
use super::event_text;
use super::request_log;
use super::screen::{Screen, print};
use super::side_names::SideNames;

/// A model that expires sooner than this gets a warning.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is said of a model that a preview version trained.
pub(super) const RETIRED: &str = "trained with a preview version, which has ended: train it again";

/// How much is printed on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    /// Errors and urgent warnings.
    Quiet,
    /// Each step and the result.
    Normal,
    /// Each request.
    Requests,
    /// Each decision.
    Everything,
}

impl Verbosity {
    pub(super) fn new(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Normal,
            (false, 1) => Self::Requests,
            (false, _) => Self::Everything,
        }
    }
}

/// Prints one line.
pub(super) fn line(text: &str) {
    print(text);
}

/// Reports an error: what happened, why, what to do, and the request id. In CI also as an annotation.
pub(super) fn error(error: &Error) {
    report_error("", error);
}

/// Reports an error about one model of several.
pub(super) fn error_for(name: &str, error: &Error) {
    report_error(&format!("{name}: "), error);
}

/// Reports an error after the name of what it is about, which ends with `: ` or is empty.
pub(super) fn error_of(name: &str, error: &Error) {
    report_error(name, error);
}

fn report_error(name: &str, error: &Error) {
    ci::error(&error_text::print_error(&format!("{name}{error}"), error));
}

/// Reports an error that has no remedy of its own, such as a defect of frcopy.
pub(super) fn plain_error(text: &str) {
    error_text::print_plain(text);
}

/// Reports a warning before the command has a [`Console`].
pub(super) fn warning(text: &str) {
    warn(text, Some(&print));
}

/// Every warning goes through here: to people, unless they asked for silence, and always to the CI system.
fn warn(text: &str, print: Option<&dyn Fn(&str)>) {
    if let Some(print) = print {
        print(&format!("warning: {text}"));
    }
    ci::warning(text);
}

/// Reports that results could not be passed to the CI system, and returns the error for the exit code.
pub(super) fn unpublished(published: Result<(), Error>) -> Option<Error> {
    published.inspect_err(error).err()
}

/// The error of a list with entries in an unknown format: it is not known what they are.
pub(super) fn unreadable_entries(resource: &str, count: usize) -> Error {
    Error::new(ErrorKind::Unforeseen, format!("{resource} lists {count} models in an unknown format"))
        .with_remedy("update frcopy, or copy these models by other means")
}

/// Counts of results, without those that are zero.
pub(super) fn counts<'w>(total: usize, parts: impl IntoIterator<Item = (usize, &'w str)>) -> String {
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    let parts = if parts.is_empty() { "nothing".into() } else { parts.join(", ") };
    let models = if total == 1 { "model or classifier" } else { "models and classifiers" };
    format!("of {total} {models}: {parts}")
}

/// Stderr while a command runs.
pub(super) struct Console {
    verbosity: Verbosity,
    screen: Screen,
}

/// Reports the events of one copy.
pub(super) struct CopyReporter<'c> {
    console: &'c Console,
    sides: SideNames,
    /// The name of the model, if the command copies several.
    name: Option<String>,
    /// The line that shows the progress.
    progress: Progress,
    last_status: RefCell<String>,
    warned_of_status: Cell<bool>,
}

/// Where a copy shows its progress.
enum Progress {
    /// In the spinner: it is the only copy.
    Spinner,
    /// In a line of the batch, which asks for it.
    Row(RefCell<RowState>),
}

/// What one copy of several does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RowState {
    /// The last step, or why the copy waits.
    pub(super) text: String,
    /// Whether it waits for its turn, and has not begun.
    pub(super) is_waiting: bool,
    /// The version whose starts are limited per minute, where the copy waits for such a start.
    pub(super) waits_for_minute: Option<ApiVersion>,
    /// When the next start is allowed, if that is known.
    pub(super) next_start: Option<Instant>,
}

impl Console {
    /// Starts the spinner, and the log of requests if it is wanted.
    pub(super) fn start(verbosity: Verbosity) -> Self {
        let screen = Screen::new(verbosity >= Verbosity::Normal);
        if verbosity >= Verbosity::Requests {
            let level = if verbosity == Verbosity::Requests { tracing::Level::INFO } else { tracing::Level::DEBUG };
            request_log::start(level, screen.clone());
        }
        Self { verbosity, screen }
    }

    /// The reporter of a command's only copy.
    pub(super) fn copy_reporter(&self, sides: SideNames) -> CopyReporter<'_> {
        self.reporter_on(sides, None, Progress::Spinner)
    }

    /// The reporter of one of several copies.
    pub(super) fn named_reporter(&self, sides: SideNames, name: String) -> CopyReporter<'_> {
        self.reporter_on(sides, Some(name), Progress::Row(RefCell::default()))
    }

    fn reporter_on(&self, sides: SideNames, name: Option<String>, progress: Progress) -> CopyReporter<'_> {
        CopyReporter {
            console: self,
            sides,
            name,
            progress,
            last_status: RefCell::default(),
            warned_of_status: Cell::new(false),
        }
    }

    /// Reports that the first signal arrived.
    pub(super) fn stopping(&self) {
        self.note("stopping; the same signal again stops at once");
    }

    /// Removes the moving lines.
    pub(super) fn finish(&self) {
        self.screen.finish();
    }

    /// Runs `print` while the moving lines are paused.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.screen.suspend(print);
    }

    /// Reports a step: in the spinner on a terminal, else as a line.
    pub(super) fn step(&self, text: &str) {
        if self.screen.is_animated() {
            self.screen.show(text);
        } else {
            self.note(text);
        }
    }

    /// Shows progress on a terminal, and nothing elsewhere.
    pub(super) fn progress(&self, text: &str) {
        if self.screen.is_animated() {
            self.screen.show(text);
        }
    }

    /// Prints a line that stays, on a terminal too.
    pub(super) fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.screen.print(text);
        }
    }

    /// Reports a warning. `--quiet` hides it from people.
    pub(super) fn warning(&self, text: &str) {
        let print = |text: &str| self.screen.print(text);
        warn(text, if self.verbosity >= Verbosity::Normal { Some(&print) } else { None });
    }

    /// Reports a warning that `--quiet` does not hide, because nothing else says so.
    pub(super) fn urgent_warning(&self, text: &str) {
        warn(text, Some(&|text: &str| self.screen.print(text)));
    }

    /// Warns of models in a listing that frcopy cannot read.
    pub(super) fn warn_of_unread(&self, resource: &str, unread: usize) {
        self.warning(&format!("{resource} lists {unread} models in an unknown format; they are left out"));
    }

    /// Shows moving lines and the total below them. Without a terminal nothing is printed.
    pub(super) fn set_lines(&self, rows: &[String], total: &str) {
        self.screen.set_rows(rows);
        self.screen.show(total);
    }

    /// Whether there are moving lines.
    pub(super) fn is_animated(&self) -> bool {
        self.screen.is_animated()
    }

    /// Reports that a request of no single copy will be sent again.
    pub(super) fn waiting(&self, error: &Error, wait: Duration) {
        self.step(&will_send_again(error, wait));
    }
}

impl CopyReporter<'_> {
    /// Reports an event of the copy.
    pub(super) fn show(&self, event: &Event<'_>) {
        let SideNames { source, target } = &self.sides;
        match event {
            Event::Preflight => self.step(&format!("reading {source} and {target}")),
            Event::PreflightOf(Side::Source) => self.step(&format!("reading {source}")),
            Event::PreflightOf(_) => self.step(&format!("reading {target}")),
            Event::Inconclusive { error } => self.detail(&format!("continuing without an answer: {error}")),
            Event::Found { version, model, .. } => {
                self.step(&format!("copying with API {version}"));
                self.warn_of_end_of_life(*model);
            }
            Event::Authorized { authorization, .. } => {
                self.step(&format!("authorized: the id of the copy is {}", authorization.target_model_id));
            }
            Event::Started { operation, .. } => self.started(operation),
            Event::Polled { status, .. } => self.status(status),
            Event::PollFailed(error) => {
                self.detail(&format!("polling again: {error}"));
                self.set_progress(format!("no answer to the poll: {error}"));
            }
            Event::Retrying { error, wait } => self.step(&will_send_again(error, *wait)),
            Event::Verifying => self.step(&format!("verifying that {target} has the copy")),
            Event::NotVerified { error } => {
                self.warning(&format!("the copy succeeded, but it could not be verified on {target}: {error}"));
            }
            Event::TrainedAgain { model, .. } => self.warning(&event_text::trained_again(model.is_some(), source)),
            Event::IdMayBeReserved { target_model_id, is_recorded } => {
                let next = if *is_recorded { ", unless the next run with the same --manifest releases it" } else { "" };
                self.urgent_warning(&format!(
                    "an authorize request got no usable answer; {target_model_id} may remain reserved on {target} for up to \
                     an hour{next}"
                ));
            }
            Event::BlankModelsMayRemain { candidates, requests } => {
                self.urgent_warning(&event_text::blank_models_may_remain(candidates, *requests, target));
            }
            Event::BlankLeft { target_model_id } => self.urgent_warning(&format!(
                "the blank model {target_model_id} of the failed copy remains on {target}; delete it if it is not needed"
            )),
            Event::RecoveringStart { error } => self.note(&format!("{error}; looking for the copy")),
            Event::ReadyOnTarget { target_model_id } => {
                self.urgent_warning(&format!("{target} has a ready model {target_model_id}; it is not deleted"));
            }
            Event::StartingOver => self.note("the copy was not started; starting again with a new authorization"),
            Event::Released { target_model_id } => {
                self.note(&format!("released: {target} has deleted the reserved {target_model_id}"));
            }
            Event::NotVerifiable => {
                self.note("not verified: this needs the target's credential, with frcopy list target");
            }
            Event::ReservedForOtherParty { target_model_id } => self.urgent_warning(&format!(
                "{target_model_id} may remain reserved on {target}; release it there with frcopy authorize --revoke"
            )),
            Event::UsedByOther { target_model_id } => self.urgent_warning(&format!(
                "a copy to {target_model_id} on {} is running or has just ended, so the id was not deleted",
                self.sides.target
            )),
            Event::NotReleased { target_model_id, error } => self.left_behind(target_model_id, error),
            Event::SeemsExpired { expires } => self.warning(&format!(
                "the authorization expired at {expires:.0}, by this machine's clock; the service decides"
            )),
            Event::NamedByOtherParty { target_model_id } => {
                self.note(&format!("the authorization is for the id {target_model_id}, which the copy gets"));
            }
            Event::Capacity(Capacity { count, limit }) => {
                self.note(&format!("{target} has {count} of at most {limit} models"));
            }
            Event::WaitingForBlanks { count } => self.note(&format!(
                "{target} has {count} recent v2.1 models that are still blank: waiting for their copies"
            )),
            Event::Adopted { operation, .. } => {
                self.note(&format!("a copy to this id is already running, and is polled: {operation}"));
            }
            Event::Continued { target_model_id, operation, .. } => self.note(&match operation {
                Some(operation) => format!("continuing the copy {target_model_id} of an earlier command: {operation}"),
                None => format!("continuing the copy {target_model_id} of an earlier command"),
            }),
            Event::WaitingForOther => self.note("another process with the same manifest copies it; waiting"),
            Event::Waiting { version, until } => self.waiting(*version, *until),
            Event::LeftQueue => self.begin(),
            Event::NotTried
            | Event::Resumed { .. }
            | Event::AdoptionEnded
            | Event::RepeatInconclusive
            | Event::AlreadyThere { .. }
            | Event::Staged => {}
            Event::ReplacesNewer { target_model_id, theirs, ours } => self.warning(&format!(
                "{target_model_id} of {target} was trained later ({theirs:.0}) than the model that replaces it ({ours:.0})"
            )),
            Event::Staging { staging_id } => self.note(&format!("copying to {staging_id} first")),
            Event::Deleted { target_model_id } => self.note(&format!("deleted {target_model_id} from {target}")),
            Event::CopyMissing { target_model_id } => {
                self.warning(&format!("the manifest records the copy {target_model_id}, which {target} does not have"));
            }
            Event::StagingKept { staging_id } => self.warning(&format!("{staging_id} is kept on {target}")),
            Event::StagingLeft { staging_id, error } => {
                self.warning(&format!("{staging_id} could not be deleted from {target}: {error}"));
            }
        }
    }

    /// Reports a step. With several copies and no terminal, only `--verbose` prints steps.
    fn step(&self, text: &str) {
        if self.console.screen.is_animated() {
            self.set_progress(text.to_owned());
        } else if self.name.is_some() {
            self.detail(text);
        } else {
            self.note(text);
        }
    }

    /// Notes that the copy has its turn. That it still waits for its start comes after the authorization.
    fn begin(&self) {
        if self.console.screen.is_animated() {
            self.set_progress("authorizing the copy".into());
        }
    }

    fn set_progress(&self, text: String) {
        match &self.progress {
            Progress::Spinner => self.console.screen.show(&text),
            Progress::Row(row) => drop(row.replace(RowState { text, ..RowState::default() })),
        }
    }

    /// Notes that the copy waits. A single copy shows it only if the time is known.
    fn waiting(&self, version: ApiVersion, until: Option<Instant>) {
        match &self.progress {
            Progress::Spinner => {
                if let Some(until) = until {
                    self.console.screen.show(&next_start(version, until));
                }
            }
            Progress::Row(row) => {
                let is_limited = version.wire().limits_starts_per_minute();
                let text = "waiting for its turn".to_owned();
                let waits_for_minute = is_limited.then_some(version);
                row.replace(RowState { text, is_waiting: true, waits_for_minute, next_start: until });
            }
        }
    }

    /// What the copy does, if it is one of several.
    pub(super) fn row(&self) -> RowState {
        match &self.progress {
            Progress::Spinner => RowState::default(),
            Progress::Row(row) => row.borrow().clone(),
        }
    }

    fn note(&self, text: &str) {
        self.console.note(&self.named(text));
    }

    fn detail(&self, text: &str) {
        if self.console.verbosity >= Verbosity::Requests {
            self.note(text);
        }
    }

    fn warning(&self, text: &str) {
        self.console.warning(&self.named(text));
    }

    fn urgent_warning(&self, text: &str) {
        self.console.urgent_warning(&self.named(text));
    }

    fn named(&self, text: &str) -> String {
        self.name.as_ref().map_or_else(|| text.to_owned(), |name| format!("{name}: {text}"))
    }

    /// Reports the operation of the only copy as a line that stays. Several copies are named at the end instead.
    fn started(&self, operation: &OperationUrl) {
        let text = format!("started: {operation}");
        if self.name.is_some() { self.step(&text) } else { self.note(&text) }
    }

    fn status(&self, status: &OperationStatus) {
        let text = status.to_string();
        if matches!(status, OperationStatus::Unknown(_)) && !self.warned_of_status.replace(true) {
            self.warning(&format!("the service reports the unknown status {text:?}; polling continues"));
        }
        if *self.last_status.borrow() != text {
            self.step(&format!("status: {text}"));
            self.last_status.replace(text);
        }
    }

    fn warn_of_end_of_life(&self, model: Option<&Model>) {
        if model.is_some_and(Model::is_retired) {
            self.warning(&format!("the model was {RETIRED}"));
        }
        let Some(expires) = model.and_then(|model| model.expires) else { return };
        let left = Timestamp::now().duration_until(expires);
        if left.is_negative() {
            self.warning(&format!("the model expired on {expires:.0}; a copy keeps that date"));
        } else if left < EXPIRES_SOON {
            let days = left.as_hours() / 24;
            self.warning(&format!("the model expires in {days} days, on {expires:.0}; a copy keeps that date"));
        }
    }

    fn left_behind(&self, target_model_id: &ModelId, error: &Error) {
        let verb = if error.is_no_such_model() { "may remain" } else { "remains" };
        self.urgent_warning(&format!(
            "{target_model_id} {verb} reserved on {}, without a copy: {error}",
            self.sides.target
        ));
    }
}

/// When a start is allowed that waits for a limit per minute.
pub(super) fn next_start(version: ApiVersion, at: Instant) -> String {
    let seconds = at.saturating_duration_since(Instant::now()).as_secs_f64().ceil();
    format!("{version}: next start in {seconds:.0} s")
}

fn will_send_again(error: &Error, wait: Duration) -> String {
    let cause = error.causes().next().map(|cause| format!(" ({cause})")).unwrap_or_default();
    format!("{error}{cause}; sending again in {:.0} s", wait.as_secs_f64().ceil())
}
