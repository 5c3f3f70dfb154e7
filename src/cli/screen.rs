//! Stderr: lines that stay, and on a terminal moving lines below them.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::Style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::wrapping::wrapped;
use crate::text::{clean_line, without_commands};

/// The number of lines of a terminal that does not tell it.
const FALLBACK_HEIGHT: usize = 24;
/// A narrower terminal gets lines of this width all the same.
const MIN_WIDTH: usize = 30;

/// Stderr. Writing a line pauses the moving lines, so that they do not mix.
#[derive(Clone)]
pub(super) struct Screen {
    lines: MultiProgress,
    spinner: ProgressBar,
    /// One moving line for each copy that is shown, above the spinner.
    rows: Arc<Mutex<Vec<ProgressBar>>>,
}

impl Screen {
    /// Moving lines are drawn if they are requested and stderr is a terminal that can show them.
    pub(super) fn new(may_move: bool) -> Self {
        let is_animated = may_move && supports_animation();
        let target = if is_animated { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let spinner = lines.add(ProgressBar::no_length());
        let screen = Self { lines, spinner, rows: Arc::default() };
        screen.animate(&screen.spinner, "{spinner} {elapsed_precise} {wide_msg}");
        screen
    }

    /// Shows a text in the last moving line, which belongs to the whole command.
    pub(super) fn show(&self, text: &str) {
        self.spinner.set_message(clean_line(text));
    }

    /// Removes the moving lines.
    pub(super) fn finish(&self) {
        self.set_rows(&[]);
        self.spinner.finish_and_clear();
    }

    /// Shows these moving lines above the spinner.
    pub(super) fn set_rows(&self, texts: &[String]) {
        if !self.is_animated() {
            return;
        }
        let texts: Vec<_> = texts.iter().map(|text| clean_line(text)).collect();
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        while rows.len() > texts.len() {
            let Some(row) = rows.pop() else { break };
            row.finish_and_clear();
            self.lines.remove(&row);
        }
        while rows.len() < texts.len() {
            let row = self.lines.insert_before(&self.spinner, ProgressBar::no_length());
            row.set_style(
                ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            rows.push(row);
        }
        for (row, text) in rows.iter().zip(&texts).filter(|(row, text)| row.message() != **text) {
            row.set_message(text.clone());
        }
    }

    /// The number of lines of the terminal.
    pub(super) fn height() -> usize {
        console::Term::stderr().size_checked().map_or(FALLBACK_HEIGHT, |(lines, _)| lines.into())
    }

    fn animate(&self, bar: &ProgressBar, template: &str) {
        if self.is_animated() {
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    pub(super) fn is_animated(&self) -> bool {
        !self.lines.is_hidden()
    }

    /// Runs `write` while the moving lines are paused.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.lines.suspend(write)
    }

    /// Writes a line that stays.
    pub(super) fn print(&self, text: &str) {
        self.suspend(|| print(text));
    }
}

/// The number of columns of stdout, if it is a terminal.
pub(super) fn stdout_width() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| columns.into())
}

/// Writes a line to stderr. It may repeat arguments and values of files as they came.
pub(super) fn print(text: &str) {
    write(&clean_line(text));
}

/// Writes a line behind a coloured label, and wraps it on a terminal.
pub(super) fn print_labelled(label: &str, style: Style, text: &str) {
    let text = clean_line(text);
    let indent = label.len() + 2;
    let text = terminal_width().map_or_else(|| text.clone(), |width| wrapped(&text, indent, width));
    write(&format!("{style}{label}:{style:#} {text}"));
}

/// Writes lines that have colours already.
pub(super) fn print_coloured(text: &str) {
    write(&text.trim_end().lines().map(without_commands).collect::<Vec<_>>().join("\n"));
}

/// Every text for people goes through here, with colours if stderr shows them. A stderr without a reader does not stop a
/// copy.
fn write(clean: &str) {
    let _ = writeln!(anstream::stderr(), "{clean}");
}

/// The width of the terminal that stderr is; none for a file or a pipe, whose lines are not wrapped.
fn terminal_width() -> Option<usize> {
    let columns = io::stderr().is_terminal().then(|| console::Term::stderr().size_checked())?;
    columns.map(|(_, columns)| usize::from(columns).max(MIN_WIDTH))
}

/// `NO_COLOR`, `CI` and `TERM=dumb` turn moving lines off.
fn supports_animation() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_set("CI") && !is_dumb
}
