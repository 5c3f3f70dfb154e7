//! The lines of an error for people: one per part, wrapped at words on a terminal.

use anstyle::{AnsiColor, Style};

use super::screen::print_labelled;
use crate::error::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Green.on_default().bold();

/// Prints what happened, why, what to do, and the request id. Returns the same as text.
pub(super) fn print_error(what: &str, error: &Error) -> String {
    print_labelled("error", ERROR, what);
    let mut text = what.to_owned();
    let causes = error.causes().map(|cause| ("cause", Style::new(), cause.to_string()));
    let remedy = error.remedy().map(|remedy| ("help", HELP, remedy.to_owned()));
    let request_id = error.request_id().map(|id| ("request id", Style::new(), id.to_string()));
    for (label, style, detail) in causes.chain(remedy).chain(request_id) {
        print_labelled(label, style, &detail);
        text = text + "\n" + label + ": " + &detail;
    }
    text
}

/// Prints an error that has no other parts.
pub(super) fn print_plain(text: &str) {
    print_labelled("error", ERROR, text);
}
