//! Text that came over the wire: held as it came, shown only after sanitising.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize, Serializer};

use crate::redactor::redact;

/// The longest text of a service that is shown, in characters.
const MAX_SHOWN: usize = 1000;

/// Text from a service, a file of the service, or another program's output.
///
/// Comparisons use the text as it came. `Display`, `Debug` and `Serialize` replace secrets, control characters and characters
/// that change the direction or the length of a line, break up `##` (Azure Pipelines obeys `##vso[…]` anywhere in a
/// line), and cut off what is longer than 1000 characters. So no code can print it raw by accident.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct UntrustedText(Box<str>);

impl UntrustedText {
    /// The text as it came, for comparisons and for requests. Never print it.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<Box<str>>> From<T> for UntrustedText {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for UntrustedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&sanitize(&self.0))
    }
}

impl fmt::Debug for UntrustedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", sanitize(&self.0))
    }
}

impl Serialize for UntrustedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&sanitize(&self.0))
    }
}

/// Makes text fit for a terminal, a log and a CI system; see [`UntrustedText`].
pub(crate) fn sanitize(text: &str) -> String {
    let text = redact(text);
    let shown = text.chars().take(MAX_SHOWN).map(|c| if needs_escape(c) { ' ' } else { c });
    let mut clean = without_double_signs(shown).trim().to_owned();
    if text.chars().nth(MAX_SHOWN).is_some() {
        clean.push('…');
    }
    clean
}

/// Makes a line of our own fit for a terminal, a log and a CI system: it may repeat an argument, or a value of a file.
///
/// GitHub Actions obeys `::error::` at the start of a line, Azure Pipelines `##vso[…]` anywhere in it.
pub(crate) fn clean_line(text: &str) -> String {
    without_commands(&redact(text).replace(|c| needs_escape(c) && c != '\t', " "))
}

/// Makes a text of our own fit for them that has line breaks of its own.
pub(crate) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean_line).collect::<Vec<_>>().join("\n")
}

/// A line without the commands of CI systems.
pub(crate) fn without_commands(line: &str) -> String {
    let line = without_double_signs(line.chars());
    if line.trim_start().starts_with("::") { line.replacen("::", ": :", 1) } else { line }
}

/// Breaks up each `##`.
fn without_double_signs(text: impl Iterator<Item = char>) -> String {
    text.fold(String::new(), |mut clean, c| {
        if c == '#' && clean.ends_with('#') {
            clean.push(' ');
        }
        clean.push(c);
        clean
    })
}

/// Whether a character controls a terminal, or changes the line that it stands in.
pub(crate) fn needs_escape(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Characters that are not control characters and still rewrite the line that they stand in.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Bytes as text, two lower-case digits for each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compared_raw_and_shown_clean() {
        let text = UntrustedText::from("failed\u{0}");
        assert_ne!(text, UntrustedText::from("failed"));
        assert_eq!(text.to_string(), "failed");
        assert_eq!(text.raw(), "failed\u{0}");
    }

    #[test]
    fn no_output_form_lets_a_control_sequence_or_a_ci_command_through() {
        let text = UntrustedText::from("a\u{1b}[31m\r\n::error::b ##vso[task.setvariable]\u{202e}c");
        let shown = [text.to_string(), format!("{text:?}"), serde_json::to_string(&text).unwrap()];
        for shown in shown {
            assert!(!shown.contains(['\u{1b}', '\r', '\n', '\u{202e}']) && !shown.contains("##"), "{shown}");
        }
    }

    #[test]
    fn a_line_of_our_own_keeps_its_tabs_and_its_margin_and_loses_commands() {
        assert_eq!(clean_line("  a\tb\n::error::x ###vso[y]\u{202e}"), "  a\tb ::error::x # # #vso[y] ");
        assert_eq!(clean_line(" ::error::x"), " : :error::x");
        assert_eq!(clean_lines("a\n::error::x\n\n"), "a\n: :error::x\n\n");
    }

    #[test]
    fn a_text_that_is_longer_than_a_screen_is_cut() {
        assert_eq!(UntrustedText::from("x".repeat(5000)).to_string().chars().count(), MAX_SHOWN + 1);
    }
}
