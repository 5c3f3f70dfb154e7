//! The values of the options that make resources fail: who, when, and what.

use std::time::Duration;

use crate::emulator::{Outage, OutageTime};
use crate::error::Error;
use crate::resource_name::is_side;
use jiff::SignedDuration;

use crate::cli::input::{parse_pause, without_keys};

/// Most resources of an emulator.
const MAX_RESOURCES: usize = 20;
/// The longest name of a resource.
const MAX_NAME: usize = 24;

/// Parses `--resources`: a number, or the names.
pub(super) fn parse_resources(text: &str) -> Result<Resources, String> {
    if let Ok(number) = text.parse::<usize>() {
        return if (1..=MAX_RESOURCES).contains(&number) {
            Ok(Resources::Number(number))
        } else {
            Err(format!("{number} is not in 1..={MAX_RESOURCES}"))
        };
    }
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    for (index, name) in names.iter().enumerate() {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_part);
        if !is_name || name.len() > MAX_NAME {
            return Err(format!("{name:?} is not a name: give up to {MAX_NAME} of a-z, 0-9 and -, the first a letter"));
        }
        if is_side(name) {
            return Err(format!("{name} is the name of a side of a copy: give another name"));
        }
        if names.iter().take(index).any(|other| other == name) {
            return Err(format!("{name} is given twice"));
        }
    }
    if names.len() > MAX_RESOURCES {
        return Err(format!("{} is more than {MAX_RESOURCES}", names.len()));
    }
    Ok(Resources::Names(names))
}

/// The value of `--resources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resources {
    /// So many, with the usual names.
    Number(usize),
    /// One for each name.
    Names(Vec<String>),
}

impl Resources {
    /// The names that were given.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Number(_) => &[],
            Self::Names(names) => names,
        }
    }
}

/// Checks that a resource exists.
pub(super) fn check_name(option: &str, name: &str, names: &[String]) -> Result<String, Error> {
    if names.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let what = format!("{option} {:?} is not the name of a resource", without_keys(name));
    Err(Error::settings(what, format!("choose from {}", names.join(", "))))
}

/// What stands before the file that an outage lasts as long as.
const WHILE: &str = "while=";

/// Parses `--down` or `--hang`: `NAME`, `NAME@FROM..TO`, `NAME@FROM..`, `NAME@..TO` or `NAME@while=FILE`.
pub(super) fn parse_outage(option: &str, text: &str, names: &[String]) -> Result<Outage, Error> {
    let (name, time) = text.split_once('@').map_or((text, None), |(name, time)| (name, Some(time)));
    let resource = check_name(option, name, names)?;
    let Some(time) = time else { return Ok(Outage::between(&resource, Duration::ZERO, None)) };
    if let Some(file) = time.strip_prefix(WHILE).filter(|file| !file.is_empty()) {
        return Ok(Outage { resource, when: OutageTime::WhileExists(file.into()) });
    }
    let usage = || {
        let what = format!("{option} {:?} does not name a time", without_keys(text));
        Error::settings(what, format!("write it as {name}@FROM..TO, such as {name}@10s..40s, or as {name}@{WHILE}FILE"))
    };
    let (from, until) = time.split_once("..").ok_or_else(usage)?;
    let parse =
        |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| parse_pause(option, text)).transpose();
    let (from, until) = (parse(from)?.unwrap_or_default(), parse(until)?);
    if until.is_some_and(|until| until <= from) {
        return Err(usage());
    }
    Ok(Outage::between(&resource, from, until))
}

/// Parses `--clock-skew`: `NAME=DURATION`, or a duration for all resources.
pub(super) fn parse_clock_skew(text: &str, names: &[String]) -> Result<Vec<(String, SignedDuration)>, Error> {
    const OPTION: &str = "--clock-skew";
    let (skewed, duration) = match text.split_once('=') {
        Some((name, duration)) => (vec![check_name(OPTION, name, names)?], duration),
        None => (names.to_vec(), text),
    };
    let sign = if duration.starts_with('-') { -1 } else { 1 };
    let length = parse_pause(OPTION, duration.trim_start_matches(['-', '+']))?;
    let skew = SignedDuration::try_from(length).unwrap_or_default() * sign;
    Ok(skewed.into_iter().map(|name| (name, skew)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["source", "target"].map(str::to_owned).to_vec()
    }

    #[test]
    fn resources_are_a_number_or_names() {
        assert_eq!(parse_resources("3"), Ok(Resources::Number(3)));
        let names = ["east", "west", "north-2"].map(str::to_owned).to_vec();
        assert_eq!(parse_resources("east,west, north-2"), Ok(Resources::Names(names)));
        for text in ["0", "21", "", "east,", "East", "2east", "a b", "east,east", "../x", &"x".repeat(25)] {
            assert!(parse_resources(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_outage_names_a_resource_and_a_time() {
        let parse = |text: &str| parse_outage("--down", text, &names()).map_err(|error| error.to_string());
        let outage = |from: u64, until: Option<u64>| {
            let until = until.map(Duration::from_secs);
            Ok(Outage::between("source", Duration::from_secs(from), until))
        };
        assert_eq!(parse("source"), outage(0, None));
        assert_eq!(parse("source@10s..40s"), outage(10, Some(40)));
        assert_eq!(parse("source@10s.."), outage(10, None));
        assert_eq!(parse("source@..1m"), outage(0, Some(60)));
        let when = OutageTime::WhileExists("../source.down".into());
        assert_eq!(parse("source@while=../source.down"), Ok(Outage { resource: "source".into(), when }));
        for text in
            ["moon", "moon@while=x", "source@while=", "source@10s", "source@40s..10s", "source@soon..40s", "@1s..2s"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_clock_skew_is_of_one_or_of_all_resources() {
        let parse = |text: &str| parse_clock_skew(text, &names()).map_err(|error| error.to_string());
        let skew = |name: &str, seconds| (name.to_owned(), SignedDuration::from_secs(seconds));
        assert_eq!(parse("target=5m"), Ok(vec![skew("target", 300)]));
        assert_eq!(parse("-90s"), Ok(vec![skew("source", -90), skew("target", -90)]));
        assert!(parse("moon=1s").is_err() && parse("soon").is_err());
    }
}
