//! Argument groups that several commands share. This file knows no command.

use std::time::Duration;

use crate::api::version::ApiVersion;
use crate::error::Error;
use crate::inventory::Scope;
use crate::model::Kind;
use crate::selection::Patterns;
use clap::{ArgAction, Args, ValueEnum};

use super::console::Verbosity;
use super::input::{parse, parse_duration, parse_patterns, parse_timeout};

/// The part of a resource that a command reads.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct ScopeArgs {
    /// Models or classifiers only [default: both]
    #[arg(long, value_enum)]
    kind: Option<KindArg>,

    /// API version: 2.1, 3.0, 3.1, 4.0, one of the service's dates, or auto for all of them
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    api_version: String,
}

impl ScopeArgs {
    pub(super) fn scope(&self) -> Result<Scope, Error> {
        let scope = Scope { api_version: parse_api_version(&self.api_version)?, kind: self.kind.map(Kind::from) };
        if let Some(version) = scope.api_version.filter(|version| !version.wire().has(Kind::Classifier))
            && scope.kind == Some(Kind::Classifier)
        {
            return Err(Error::settings(
                format!("{version} has no classifiers"),
                "leave out --api-version, or give one from 3.1 on",
            ));
        }
        Ok(scope)
    }
}

/// Patterns that select models by id.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct PatternArgs {
    /// Only ids that match, such as 'invoices-*'; repeatable; v2.1 models also by name
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Without ids that match; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
}

impl PatternArgs {
    pub(super) fn patterns(&self) -> Result<Patterns, Error> {
        parse_patterns(&self.include, &self.exclude)
    }
}

/// How a copy operation is polled.
#[derive(Debug, Args)]
#[command(next_help_heading = "Copy")]
pub(super) struct PollArgs {
    /// Skip verification on the target
    #[arg(long)]
    pub(super) no_verify: bool,

    /// Deadline of the whole command, such as 90s, 30m or 1h30m
    #[arg(long, value_name = "DURATION", default_value = "30m", allow_hyphen_values = true)]
    timeout: String,

    /// Delay between two status polls
    #[arg(long, value_name = "DURATION", default_value = "1s", allow_hyphen_values = true)]
    poll_interval: String,
}

impl PollArgs {
    pub(super) fn timeout(&self) -> Result<Duration, Error> {
        parse_timeout(&self.timeout)
    }

    pub(super) fn poll_interval(&self) -> Result<Duration, Error> {
        parse_duration("--poll-interval", &self.poll_interval)
    }
}

/// What a copy prints.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Format of stdout: the ids of the copies, or one line of JSON for each
    #[arg(long = "output", value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,

    /// Only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// One line per request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

impl OutputArgs {
    pub(super) fn verbosity(&self) -> Verbosity {
        Verbosity::new(self.quiet, self.verbose)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KindArg {
    Model,
    Classifier,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Model => Self::Model,
            KindArg::Classifier => Self::Classifier,
        }
    }
}

/// Parses `--api-version`, where `auto` means the model's own version.
pub(super) fn parse_api_version(text: &str) -> Result<Option<ApiVersion>, Error> {
    if text.trim() == "auto" { Ok(None) } else { parse("--api-version", text).map(Some) }
}
