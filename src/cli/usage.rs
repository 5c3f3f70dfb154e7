//! Parses the command line, and shows what is wrong with it without repeating what may be a key.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use super::args::Cli;
use super::ci;

/// The arguments, or the exit code after help, version or an error was shown.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A reader that has gone away does not make it an error.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let text = without_keys(&error.render().ansi().to_string());
        let _ = write!(anstream::stderr(), "{text}");
        ci::wrong_usage(&without_keys(&error.render().to_string()));
        ExitCode::from(2)
    })
}

/// Text that repeats an argument, without what may be a key: keys do get pasted in the wrong place.
pub(crate) fn without_keys(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= SHORTEST_KEY);
    words.fold(text.to_owned(), |text, key| text.replace(key, "***"))
}

/// The keys of the service are longer, and no word of frcopy's own is.
const SHORTEST_KEY: usize = 32;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_may_be_a_key_is_not_repeated() {
        let key = "0123456789abcdef0123456789abcdef";
        assert_eq!(without_keys(&format!("unexpected argument '{key}' found")), "unexpected argument '***' found");
        assert_eq!(without_keys(&format!("\u{1b}[33m--x={key}\u{1b}[0m")), "\u{1b}[33m--x=***\u{1b}[0m");
    }
}
