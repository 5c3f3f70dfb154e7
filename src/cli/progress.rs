//! What a person sees on stderr while a copy is under way: a spinner on a terminal, plain lines elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use frcopy::copy::Event;
use frcopy::error::{Error, Finding};
use frcopy::model::{Model, ModelId};
use frcopy::operation::OperationStatus;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use tracing_subscriber::fmt::MakeWriter;

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

/// Shows events as they happen.
pub(crate) struct Progress {
    verbosity: Verbosity,
    screen: Screen,
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
        Self { verbosity, screen, last_status: RefCell::default(), warned_of_status: Cell::new(false) }
    }

    pub(crate) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// The first signal; the second one is not waited for.
    pub(crate) fn stopping(&self) {
        self.note("stopping; the same signal again ends it at once");
    }

    /// Clears the spinner.
    pub(crate) fn finish(&self) {
        self.screen.spinner.finish_and_clear();
    }

    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Looking => self.step("looking at the source and the target"),
            Event::Inconclusive { error } => self.detail(&format!("going on without an answer: {error}")),
            Event::Found { version, model } => {
                self.step(&format!("copying with API {version}"));
                self.warn_of_expiry(*model);
            }
            Event::Authorized { target_model_id } => {
                self.step(&format!("authorized: the copy will be {target_model_id}"));
            }
            Event::Started { operation } => self.note(&format!("started: {operation}")),
            Event::Status(status) => self.status(status),
            Event::StatusUnknown(error) => {
                self.detail(&format!("asking again: {error}"));
                self.screen.message(&format!("no answer for the status: {error}"));
            }
            Event::Waiting { error, wait } => self.waiting(error, *wait),
            Event::Verifying => self.step("checking that the target has the copy"),
            Event::NotVerified { error } => {
                self.warning(&format!("the copy succeeded, but the target does not show whether it is there: {error}"));
            }
            Event::MayBeReserved { target_model_id: None } => {
                self.screen
                    .line("warning: no answer came to an authorization; a blank model may stay behind on the target");
            }
            Event::MayBeReserved { target_model_id: Some(id) } => {
                self.screen.line(&format!(
                    "warning: no answer came to an authorization; {id} may stay reserved on the target"
                ));
            }
            Event::Searching { error } => {
                self.note(&format!("{error}; looking for what came of it"));
            }
            Event::FoundOnTarget { target_model_id } => {
                self.screen
                    .line(&format!("warning: the target has a ready model {target_model_id}, which is left alone"));
            }
            Event::StartingOver => self.note("the copy was not started; starting over with a fresh authorization"),
            Event::GivenBack { target_model_id } => {
                self.note(&format!("given back: the target has deleted the reserved {target_model_id}"));
            }
            Event::LeftBehind { target_model_id, error } => self.left_behind(target_model_id, error),
        }
    }

    /// One line for each step, or the spinner's text.
    fn step(&self, text: &str) {
        if self.screen.is_animated() {
            self.screen.message(text);
        } else if self.verbosity >= Verbosity::Normal {
            self.screen.line(text);
        }
    }

    /// A line that stays, on a terminal as well: whoever loses the terminal needs it.
    fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.screen.line(text);
        }
    }

    fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Requests {
            self.screen.line(text);
        }
    }

    fn warning(&self, text: &str) {
        self.note(&format!("warning: {text}"));
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

    fn waiting(&self, error: &Error, wait: Duration) {
        let cause = error.causes().next().map(|cause| format!(" ({cause})")).unwrap_or_default();
        self.step(&format!("{error}{cause}; sending again in {:.0} s", wait.as_secs_f64().ceil()));
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

    /// Said even where little is to be said: nobody else knows of it.
    fn left_behind(&self, target_model_id: &ModelId, error: &Error) {
        let verb = if error.finding() == Finding::NoSuchModel { "may stay" } else { "stays" };
        self.screen.line(&format!("warning: {target_model_id} {verb} reserved on the target, without a copy: {error}"));
    }
}

/// Stderr, shared by the spinner and by lines that must not tear it.
#[derive(Clone)]
struct Screen {
    spinner: ProgressBar,
}

impl Screen {
    fn new(verbosity: Verbosity) -> Self {
        let animated = verbosity >= Verbosity::Normal && may_animate();
        let target = if animated { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let spinner = ProgressBar::with_draw_target(None, target);
        if animated {
            let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}");
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.enable_steady_tick(Duration::from_millis(120));
        }
        Self { spinner }
    }

    fn is_animated(&self) -> bool {
        !self.spinner.is_hidden()
    }

    fn message(&self, text: &str) {
        self.spinner.set_message(text.to_owned());
    }

    /// A stderr that nobody reads any more is no reason to give up a copy.
    fn line(&self, text: &str) {
        self.spinner.suspend(|| {
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
        self.spinner.suspend(|| {
            let _ = io::stderr().lock().write_all(bytes);
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
