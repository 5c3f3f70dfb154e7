//! The lines of an error for people: one per part, wrapped at words on a terminal.

use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};

use super::screen::print;
use crate::error::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Green.on_default().bold();
/// A narrower terminal gets lines of this width all the same.
const MIN_WIDTH: usize = 30;

/// Prints what happened, why, what to do, and the request id. Returns the same as text.
pub(super) fn print_error(what: &str, error: &Error) -> String {
    let width = terminal_width();
    print_part("error", ERROR, what, width);
    let mut text = what.to_owned();
    let causes = error.causes().map(|cause| ("cause", Style::new(), cause.to_string()));
    let remedy = error.remedy().map(|remedy| ("help", HELP, remedy.to_owned()));
    let request_id = error.request_id().map(|id| ("request id", Style::new(), id.to_string()));
    for (label, style, detail) in causes.chain(remedy).chain(request_id) {
        print_part(label, style, &detail, width);
        text = text + "\n" + label + ": " + &detail;
    }
    text
}

/// Prints an error that has no other parts.
pub(super) fn print_plain(text: &str) {
    print_part("error", ERROR, text, terminal_width());
}

fn print_part(label: &str, style: Style, text: &str, width: Option<usize>) {
    let indent = label.len() + 2;
    let text = width.map_or_else(|| text.to_owned(), |width| wrapped(text, indent, width));
    print(&format!("{style}{label}:{style:#} {text}"));
}

/// The width of the terminal that stderr is; none for a file or a pipe, whose lines are not wrapped.
fn terminal_width() -> Option<usize> {
    let columns = io::stderr().is_terminal().then(|| console::Term::stderr().size_checked())?;
    columns.map(|(_, columns)| usize::from(columns).max(MIN_WIDTH))
}

/// A text in lines of at most this width, the first one behind a label. A command at its end stays whole, to be copied.
pub(super) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    if indent + text.chars().count() <= width {
        return text.to_owned();
    }
    let (words, command) = match text.split_once(": frcopy ") {
        Some((words, command)) => (format!("{words}:"), Some(format!("frcopy {command}"))),
        None => (text.to_owned(), None),
    };
    let margin = format!("\n{}", " ".repeat(indent));
    let (mut result, mut column) = (String::new(), indent);
    for word in words.split(' ') {
        let length = word.chars().count();
        if !result.is_empty() && column + 1 + length > width {
            result += &margin;
            column = indent;
        } else if !result.is_empty() {
            result.push(' ');
            column += 1;
        }
        result += word;
        column += length;
    }
    command.map_or_else(|| result.clone(), |command| format!("{result}{margin}{command}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_breaks_between_words_and_is_indented() {
        assert_eq!(wrapped("short", 7, 80), "short");
        assert_eq!(wrapped("one two three four five", 6, 16), "one two\n      three four\n      five");
        let url = "https://contoso.cognitiveservices.azure.com/x";
        assert_eq!(wrapped(&format!("see {url} now"), 6, 20), format!("see\n      {url}\n      now"));
    }

    #[test]
    fn a_command_at_the_end_stays_on_one_line() {
        let text = "wait for it before you run the command again: frcopy wait --target-model-id a --api-version v4.0";
        let lines = wrapped(text, 6, 50);
        assert!(lines.ends_with("\n      frcopy wait --target-model-id a --api-version v4.0"), "{lines}");
    }
}
