//! Long lines, broken between words.

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
