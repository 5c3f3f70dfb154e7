//! Reads what the user gave: the environment, files, stdin, and the values of options.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::deadline;
use crate::error::Error;
use crate::model::ModelId;
use crate::selection::{Pattern, Patterns};
use crate::text_file;
pub(super) use crate::text_file::{is_read_once, is_stdin};
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Looks up an environment variable; an empty one counts as not set.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The path that means stdin, or stdout for an output file.
pub(super) const STDIN: &str = "-";
/// The largest file of model ids that is read.
const MAX_ID_FILE: u64 = 16 * 1024 * 1024;
/// The shortest word that may be a key. The service's keys are longer, and no option of frcopy is as long.
const MIN_KEY_LENGTH: usize = 32;

/// The environment of this process.
pub(super) fn process_environment(name: &str) -> Option<String> {
    // A value that is not UTF-8 is refused later, under the name of its variable.
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.trim().is_empty())
}

/// The names of the variables of this process.
pub(super) fn process_variables() -> Vec<String> {
    std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
}

/// Reads a whole file, or stdin, up to a size limit and until the deadline of the command.
pub(super) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    text_file::read_text(path, limit, deadline::left())
}

/// Replaces every word that may be a key. For messages that repeat an argument: a key may have been pasted in its place.
pub(super) fn without_keys(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= MIN_KEY_LENGTH);
    words.fold(text.to_owned(), |text, key| text.replace(key, "***"))
}

/// Parses a value, and names the option or variable in the error.
pub(super) fn parse<T: FromStr<Err = Error>>(what: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| about(what, &error))
}

/// Names the option or variable that an error is about. The value is not repeated, because it may be a key.
pub(super) fn about(what: &str, error: &Error) -> Error {
    let named = Error::settings(format!("{what} is not usable: {error}"), error.remedy().unwrap_or_default());
    match error.causes().next() {
        Some(cause) => named.with_source(cause.to_string()),
        None => named,
    }
}

/// Parses model ids from the command line.
pub(super) fn parse_ids<'a>(texts: impl Iterator<Item = &'a String> + Clone) -> Result<Vec<ModelId>, Error> {
    let is_only = texts.clone().count() == 1;
    let parse_id = |text: &String| {
        let what = if is_only { "the model id".into() } else { format!("the model id {:?}", without_keys(text)) };
        parse(&what, text)
    };
    texts.map(parse_id).collect()
}

/// Reads model ids from a file: one per line; blank lines and lines that start with `#` are ignored.
pub(super) fn read_ids(path: &Path) -> Result<Vec<ModelId>, Error> {
    let file = without_keys(&path.to_string_lossy());
    let text = read_text(path, MAX_ID_FILE).map_err(|error| {
        Error::settings(
            format!("the ids cannot be read from {file}"),
            "check that the file exists, is readable and has one id per line",
        )
        .with_source(error)
    })?;
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parse_id = |(at, line): (usize, &str)| {
        parse(&format!("the model id {:?} in line {} of {file}", without_keys(line), at + 1), line)
    };
    let ids: Vec<_> = lines.map(parse_id).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        return Err(Error::settings(format!("there is no id in {file}"), "write one id per line"));
    }
    Ok(ids)
}

/// Removes duplicates and keeps the order.
pub(super) fn unique(ids: Vec<ModelId>) -> Vec<ModelId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

/// Parses the patterns of `--include` and `--exclude`.
pub(super) fn parse_patterns(include: &[String], exclude: &[String]) -> Result<Patterns, Error> {
    let parse_all = |option: &str, texts: &[String]| {
        let parsed = texts.iter().map(|text| parse(&format!("{option} {:?}", without_keys(text)), text));
        parsed.collect::<Result<Vec<Pattern>, _>>()
    };
    Ok(Patterns { include: parse_all("--include", include)?, exclude: parse_all("--exclude", exclude)? })
}

/// Parses the `KEY=VALUE` of each `--tag`.
pub(super) fn parse_tags(tags: &[String]) -> Result<Option<BTreeMap<String, String>>, Error> {
    let mut parsed = BTreeMap::new();
    for tag in tags {
        let (name, value) = tag.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Error::settings(
                format!("--tag {:?} is not a tag", without_keys(tag)),
                "write a tag as KEY=VALUE, such as --tag backup=nightly",
            )
        })?;
        if parsed.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Error::settings(
                format!("--tag {:?} is given twice", without_keys(name)),
                "give each tag one value",
            ));
        }
    }
    Ok(Some(parsed).filter(|tags| !tags.is_empty()))
}

/// Checks the length of `--description`.
pub(super) fn parse_description(text: &str) -> Result<String, Error> {
    const MAX_LENGTH: usize = 4096;
    match text.chars().count() {
        0..=MAX_LENGTH => Ok(text.to_owned()),
        length => Err(Error::settings(
            format!("--description has {length} characters"),
            format!("shorten it to at most {MAX_LENGTH} characters"),
        )),
    }
}

/// Parses a duration that may be zero.
#[cfg(feature = "emulator")]
pub(super) fn parse_pause(option: &str, text: &str) -> Result<Duration, Error> {
    parse_duration_from(Duration::ZERO, option, text)
}

/// Parses `--timeout`, and subtracts the time that the process has taken already.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, Error> {
    Ok(parse_duration("--timeout", text)?.saturating_sub(deadline::elapsed()))
}

/// Parses a duration of at least one millisecond.
pub(super) fn parse_duration(option: &str, text: &str) -> Result<Duration, Error> {
    parse_duration_from(MIN_DURATION, option, text)
}

/// Parses a duration that may be given in days.
pub(super) fn parse_long_duration(option: &str, text: &str) -> Result<Duration, Error> {
    let days_are_24_hours = SpanRelativeTo::days_are_24_hours();
    let span = text.parse::<Span>().ok().and_then(|span| span.to_duration(days_are_24_hours).ok());
    span.and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(|| {
        Error::settings(
            format!("{option} {:?} is not a duration", without_keys(text)),
            "give a number with its unit, in days or less: 60d, 36h",
        )
    })
}

fn parse_duration_from(min: Duration, option: &str, text: &str) -> Result<Duration, Error> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let in_days = || {
        let span = text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(span).ok()
    };
    if parsed.or_else(in_days).is_some_and(|duration| duration > MAX_DURATION) {
        return Err(Error::settings(
            format!("{option} {:?} is longer than 24h", without_keys(text)),
            "give at most 24h: the service forgets an operation after that time",
        ));
    }
    parsed.filter(|duration| *duration >= min).ok_or_else(|| {
        Error::settings(
            format!("{option} {:?} is not a duration", without_keys(text)),
            format!("give a number with its unit, from {}ms to 24h: 500ms, 90s, 1h30m", min.as_millis()),
        )
    })
}

const MIN_DURATION: Duration = Duration::from_millis(1);
/// The service forgets an operation after 24 hours.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_may_be_a_key_is_not_repeated() {
        let key = "0123456789abcdef0123456789abcdef";
        assert_eq!(without_keys(&format!("unexpected argument '{key}' found")), "unexpected argument '***' found");
        assert_eq!(without_keys(&format!("\u{1b}[33m--x={key}\u{1b}[0m")), "\u{1b}[33m--x=***\u{1b}[0m");
    }
}
