//! Runs the program of `key-command`, which prints a key.

use std::io;
use std::process::Command;
use std::time::Duration;

use super::deadline;
use super::input::without_keys;
use crate::error::{Error, ErrorKind};
use crate::program::output_within;
use crate::text::sanitize;
use secrecy::SecretString;

/// The longest time for the program.
const MAX_TIME: Duration = Duration::from_secs(60);
/// The longest part of the program's error output that is shown.
const MAX_SHOWN: usize = 400;

/// The key that a program prints.
pub(super) fn run(words: &[String], what: &str) -> Result<SecretString, Error> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::settings(format!("{what} has no program"), "give it a key-command"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let program = without_keys(program);
    let limit = deadline::left().min(MAX_TIME);
    let output = output_within(&mut command, limit).map_err(|error| {
        if error.kind() == io::ErrorKind::TimedOut {
            let text = format!("{program} did not print {what} in {} s", limit.as_secs());
            let remedy = format!("check that {program} works without a terminal");
            return Error::new(ErrorKind::Unavailable, text).with_remedy(remedy);
        }
        let text = format!("{program}, which prints {what}, cannot be run");
        Error::settings(text, "check key-command, and that the program is installed").with_source(error)
    })?;
    if !output.status.success() {
        // The output may be the key. What the program says of its failure is shown without words that may be keys.
        let said = sanitize(&without_keys(&String::from_utf8_lossy(&output.stderr)));
        let said: String = said.trim().chars().take(MAX_SHOWN).collect();
        let cause = if said.is_empty() { output.status.to_string() } else { said };
        let error = Error::new(ErrorKind::Credentials, format!("{program} failed to print {what}"));
        return Err(error.with_source(cause).with_remedy(format!("check that {program} works without a terminal")));
    }
    let key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if key.is_empty() {
        let remedy = "check that the program prints the key, and only the key, to stdout";
        return Err(Error::settings(format!("{program} printed nothing for {what}"), remedy));
    }
    Ok(key.into())
}
