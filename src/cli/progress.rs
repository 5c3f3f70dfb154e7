//! What a person sees on stderr while a copy is under way: a spinner on a terminal, plain lines elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::api::Capacity;
use crate::copy::Event;
use crate::error::Error;
use crate::model::{Model, ModelId};
use crate::operation::{OperationStatus, OperationUrl};
use crate::resource::Side;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use tracing_subscriber::fmt::MakeWriter;

use super::ci;

/// A model that stops working sooner than this is worth a warning.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// What is being done, and how it ended.
    Normal,
    /// A line for each request.
    Requests,
    /// Every decision.
    Everything,
}

impl Verbosity {
    pub(crate) fn new(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Normal,
            (false, 1) => Self::Requests,
            (false, _) => Self::Everything,
        }
    }
}

/// Everything that is said on stderr while a command runs.
pub(crate) struct Progress {
    verbosity: Verbosity,
    screen: Screen,
}

/// What is said of one copy.
pub(crate) struct CopyReporter<'p> {
    progress: &'p Progress,
    /// Where it is one of many: which one.
    name: Option<String>,
    /// The line on a terminal that shows how far it is.
    bar: ProgressBar,
    last_status: RefCell<String>,
    warned_of_status: Cell<bool>,
}

impl Progress {
    pub(crate) fn start(verbosity: Verbosity) -> Self {
        let screen = Screen::new(verbosity);
        if verbosity >= Verbosity::Requests {
            let most = if verbosity == Verbosity::Requests { tracing::Level::INFO } else { tracing::Level::DEBUG };
            tracing_subscriber::fmt()
                .with_max_level(most)
                .with_target(false)
                .with_level(false)
                .without_time()
                // A stderr that nobody reads must not end the process.
                .log_internal_errors(false)
                .with_writer(screen.clone())
                .init();
        }
        Self { verbosity, screen }
    }

    /// The reporter of the only copy.
    pub(crate) fn reporter(&self) -> CopyReporter<'_> {
        self.reporter_on(None, self.screen.spinner.clone())
    }

    /// The reporter of one copy of many, with a line of its own.
    pub(crate) fn reporter_of(&self, name: String) -> CopyReporter<'_> {
        let bar = self.screen.add_line(&name);
        self.reporter_on(Some(name), bar)
    }

    fn reporter_on(&self, name: Option<String>, bar: ProgressBar) -> CopyReporter<'_> {
        CopyReporter { progress: self, name, bar, last_status: RefCell::default(), warned_of_status: Cell::new(false) }
    }

    /// The first signal; the second one is not waited for.
    pub(crate) fn stopping(&self) {
        self.note("stopping; the same signal again ends it at once");
    }

    /// Clears the terminal of everything that moves.
    pub(crate) fn finish(&self) {
        self.screen.spinner.finish_and_clear();
    }

    /// Shows something while nothing moves.
    pub(crate) fn with_still_screen(&self, show: impl FnOnce()) {
        self.screen.lines.suspend(show);
    }

    /// Says that a list names things that nobody can read, and so nobody can copy or compare.
    pub(crate) fn warn_of_unread(&self, side: Side, unread: usize) {
        if unread > 0 {
            self.note(&format!(
                "warning: the {side} lists {unread} models in a form that is not known; they are left out"
            ));
        }
    }

    /// One line for each step, or the spinner's text.
    pub(crate) fn step(&self, text: &str) {
        if self.screen.is_animated() {
            self.screen.spinner.set_message(text.to_owned());
        } else {
            self.note(text);
        }
    }

    /// A line that stays, on a terminal as well: whoever loses the terminal needs it.
    pub(crate) fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.screen.line(text);
        }
    }

    /// The text of the spinner, and nothing where there is none.
    pub(crate) fn total(&self, text: String) {
        self.screen.spinner.set_message(text);
    }

    /// A request that concerns no single copy will be sent again.
    pub(crate) fn waiting(&self, error: &Error, wait: Duration) {
        self.step(&will_send_again(error, wait));
    }
}

impl CopyReporter<'_> {
    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Preflight => self.step("looking at the source and the target"),
            Event::PreflightOf(side) => self.step(&format!("looking at the {side}")),
            Event::Inconclusive { error } => self.detail(&format!("going on without an answer: {error}")),
            Event::Found { version, model, .. } => {
                self.step(&format!("copying with API {version}"));
                self.warn_of_expiry(*model);
            }
            Event::Authorized { authorization, .. } => {
                self.step(&format!("authorized: the copy will be {}", authorization.target_model_id));
            }
            Event::Started { operation, .. } => self.started(operation),
            Event::Polled { status, .. } => self.status(status),
            Event::PollFailed(error) => {
                self.detail(&format!("asking again: {error}"));
                self.bar.set_message(format!("no answer for the status: {error}"));
            }
            Event::Retrying { error, wait } => self.step(&will_send_again(error, *wait)),
            Event::Verifying => self.step("checking that the target has the copy"),
            Event::NotVerified { error } => {
                self.warning(&format!("the copy succeeded, but the target does not show whether it is there: {error}"));
            }
            Event::MayBeReserved { target_model_id: None } => {
                self.line("warning: no answer came to an authorization; a blank model may stay behind on the target");
            }
            Event::MayBeReserved { target_model_id: Some(id) } => {
                self.line(&format!(
                    "warning: no answer came to an authorization; {id} may stay reserved on the target"
                ));
            }
            Event::RecoveringStart { error } => self.note(&format!("{error}; looking for what came of it")),
            Event::ReadyOnTarget { target_model_id } => {
                self.line(&format!("warning: the target has a ready model {target_model_id}, which is left alone"));
            }
            Event::StartingOver => self.note("the copy was not started; starting over with a fresh authorization"),
            Event::Released { target_model_id } => {
                self.note(&format!("given back: the target has deleted the reserved {target_model_id}"));
            }
            Event::NotVerifiable => {
                self.note("not verified: only the target's side can look there, with frcopy list target");
            }
            Event::ReservedForOtherParty { target_model_id } => self.urgent(&format!(
                "{target_model_id} may stay reserved on the target; its side gives it back with frcopy authorize --revoke"
            )),
            Event::NotReleased { target_model_id, error } => self.left_behind(target_model_id, error),
            Event::Capacity(Capacity { count, limit }) => {
                self.note(&format!("the target has {count} of at most {limit} models"));
            }
            Event::WaitingForBlanks { count } => self.note(&format!(
                "the target has {count} young v2.1 models that are still blank: waiting for what becomes of them"
            )),
            Event::Adopted { operation, .. } => {
                self.note(&format!("a copy to this id is under way already, and is followed: {operation}"));
            }
            Event::Resumed { .. } | Event::AdoptionEnded | Event::AlreadyThere { .. } | Event::Staged => {}
            Event::Staging { staging_id } => self.note(&format!("copying to {staging_id} first")),
            Event::Deleted { target_model_id } => self.note(&format!("deleted {target_model_id} from the target")),
            Event::StagingKept { staging_id } => self.warning(&format!("{staging_id} is kept on the target")),
            Event::StagingLeft { staging_id, error } => {
                self.warning(&format!("{staging_id} could not be deleted from the target: {error}"));
            }
        }
    }

    /// One line for each step, or the text of the moving line. Of many copies there would be too many lines.
    fn step(&self, text: &str) {
        if self.progress.screen.is_animated() {
            self.bar.set_message(text.to_owned());
        } else if self.name.is_some() {
            self.detail(text);
        } else {
            self.note(text);
        }
    }

    fn note(&self, text: &str) {
        if self.progress.verbosity >= Verbosity::Normal {
            self.line(text);
        }
    }

    fn detail(&self, text: &str) {
        if self.progress.verbosity >= Verbosity::Requests {
            self.line(text);
        }
    }

    fn warning(&self, text: &str) {
        self.note(&format!("warning: {text}"));
        ci::warning(text);
    }

    /// Said even where little is to be said: nobody else knows of it.
    fn urgent(&self, text: &str) {
        self.line(&format!("warning: {text}"));
        ci::warning(text);
    }

    fn line(&self, text: &str) {
        match &self.name {
            Some(name) => self.progress.screen.line(&format!("{name}: {text}")),
            None => self.progress.screen.line(text),
        }
    }

    /// A line that stays. Of many copies, those that are under way are named when the command ends before they do.
    fn started(&self, operation: &OperationUrl) {
        let text = format!("started: {operation}");
        if self.name.is_some() { self.step(&text) } else { self.note(&text) }
    }

    fn status(&self, status: &OperationStatus) {
        let text = status.to_string();
        if matches!(status, OperationStatus::Unknown(_)) && !self.warned_of_status.replace(true) {
            self.warning(&format!("the service reports the status {text:?}, which is not known; asking on"));
        }
        if *self.last_status.borrow() != text {
            self.step(&format!("status: {text}"));
            self.last_status.replace(text);
        }
    }

    fn warn_of_expiry(&self, model: Option<&Model>) {
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
        let verb = if error.is_no_such_model() { "may stay" } else { "stays" };
        self.urgent(&format!("{target_model_id} {verb} reserved on the target, without a copy: {error}"));
    }
}

/// A copy of many gives its line on the terminal back.
impl Drop for CopyReporter<'_> {
    fn drop(&mut self) {
        if self.name.is_some() {
            self.bar.finish_and_clear();
            self.progress.screen.lines.remove(&self.bar);
        }
    }
}

fn will_send_again(error: &Error, wait: Duration) -> String {
    let cause = error.causes().next().map(|cause| format!(" ({cause})")).unwrap_or_default();
    format!("{error}{cause}; sending again in {:.0} s", wait.as_secs_f64().ceil())
}

/// Stderr, shared by what moves and by lines that must not tear it.
#[derive(Clone)]
struct Screen {
    lines: MultiProgress,
    spinner: ProgressBar,
}

impl Screen {
    fn new(verbosity: Verbosity) -> Self {
        let animated = verbosity >= Verbosity::Normal && may_animate();
        let target = if animated { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let spinner = lines.add(ProgressBar::no_length());
        let screen = Self { lines, spinner };
        screen.animate(&screen.spinner, "{spinner} {elapsed_precise} {wide_msg}");
        screen
    }

    /// A line for one copy of many, above the one that all have in common.
    fn add_line(&self, name: &str) -> ProgressBar {
        let line = self.lines.insert_before(&self.spinner, ProgressBar::no_length()).with_prefix(name.to_owned());
        self.animate(&line, "  {prefix}  {wide_msg}");
        line
    }

    fn animate(&self, bar: &ProgressBar, template: &str) {
        if self.is_animated() {
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    fn is_animated(&self) -> bool {
        !self.lines.is_hidden()
    }

    /// A stderr that nobody reads any more is no reason to give up a copy.
    fn line(&self, text: &str) {
        self.lines.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }
}

/// Nothing moves where nobody looks, or where somebody asked for quiet lines.
fn may_animate() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !set("NO_COLOR") && !set("CI") && !dumb
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A stderr that nobody reads any more is no reason to give up a copy.
        self.lines.suspend(|| {
            let _ = io::stderr().lock().write_all(bytes);
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
