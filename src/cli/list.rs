//! `frcopy list`: the models of one resource, as a table, as JSON lines or as ids.

use std::process::ExitCode;
use std::time::Duration;

use crate::client::{CallContext, Connection};
use crate::error::Error;
use crate::inventory::{Inventory, Listed, Scope};
use crate::model::{Model, Readiness};
use crate::resource::Resource;
use crate::selection::{Patterns, Selection};
use clap::{ArgAction, Args};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::args::{Format, PatternArgs, ScopeArgs};
use super::ci::Results;
use super::config::ConfigArgs;
use super::console::{self, Console, RETIRED, Verbosity};
use super::dates::days_left;
use super::input::{parse_timeout, process_environment};
use super::side::{Sides, SourceArgs, TargetArgs};
use super::{exit_code, json, retirement, runner, table};

/// Lists the custom models and classifiers of one resource.
///
/// Prebuilt models are left out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    /// source, target, or the name of a resource
    #[arg(value_name = "RESOURCE")]
    resource: String,

    #[command(flatten)]
    patterns: PatternArgs,

    #[command(flatten)]
    scope: ScopeArgs,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    target: TargetArgs,

    /// Deadline of the whole command
    #[arg(long, value_name = "DURATION", default_value = "5m", allow_hyphen_values = true)]
    timeout: String,

    /// Format of stdout: a table, or one line of JSON per model
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Print ids only
    #[arg(short, long, conflicts_with = "format", help_heading = "Output")]
    quiet: bool,

    /// One line per request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy list source
  frcopy list west
  frcopy list target --include 'invoices-*' --output json
  frcopy list source -q --kind classifier";

pub(super) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.quiet && args.verbose == 0, args.verbose);
    runner::until_signal(
        verbosity,
        Results::None,
        async |console, cancel| read(&plan, console, cancel).await,
        |Found { listed, unreadable }, signal| {
            show(args, &listed, &plan.resource);
            // The list is incomplete.
            let incomplete =
                (unreadable > 0).then(|| console::unreadable_entries(&plan.resource.label.to_string(), unreadable));
            incomplete.iter().for_each(console::error);
            exit_code::from_errors(&incomplete, signal)
        },
    )
}

/// The selected models, and how many entries of the lists cannot be read.
struct Found {
    listed: Vec<Listed>,
    unreadable: usize,
}

struct Plan {
    resource: Resource,
    scope: Scope,
    patterns: Patterns,
    timeout: Duration,
}

fn plan(args: &ListArgs) -> Result<Plan, Error> {
    Ok(Plan {
        resource: Sides::new(&args.config, &process_environment)
            .one(&args.resource, &args.source, &args.target)?
            .resource()?,
        scope: args.scope.scope()?,
        patterns: args.patterns.patterns()?,
        timeout: parse_timeout(&args.timeout)?,
    })
}

async fn read(plan: &Plan, console: &Console, cancel: &CancellationToken) -> Result<Found, Error> {
    let context = CallContext::new(plan.timeout, cancel, |error, wait| console.waiting(error, wait));
    let client = Connection::http(&plan.resource)?.client(context);
    let resource = &plan.resource.label.to_string();
    console.step(&format!("reading {resource}"));
    let mut inventory = Inventory::read(&client, plan.scope).await?;
    let selection = Selection::Matching(plan.patterns.clone());
    inventory.check_selection(&selection, resource)?;
    inventory.listed.retain(|listed| selection.picks(&listed.model));
    if inventory.listed.is_empty() && inventory.unreadable == 0 {
        console.note(&format!("{resource} has no custom models and classifiers"));
    }
    let retired = inventory.listed.iter().filter(|listed| listed.model.is_retired()).count();
    if retired > 0 {
        console.warning(&format!("{retired} models of {resource} were {RETIRED}"));
    }
    for note in retirement::notes(inventory.listed.iter().map(|listed| listed.version), Timestamp::now()) {
        console.note(&note);
    }
    Ok(Found { listed: inventory.listed, unreadable: inventory.unreadable })
}

fn show(args: &ListArgs, listed: &[Listed], resource: &Resource) {
    let now = Timestamp::now();
    match args.format {
        Format::Json => json::print_lines(listed.iter().map(|listed| json::model(listed, resource))),
        Format::Text if args.quiet => json::print_lines(listed.iter().map(|listed| listed.model.id.to_string())),
        Format::Text => table::print(HEAD, listed.iter().map(|listed| row(listed, now)).collect()),
    }
}

/// From which time on it is printed how long a model can be used.
const SOON_IN_DAYS: i64 = 90;

const HEAD: [&str; 6] = ["MODEL ID", "KIND", "API", "CREATED", "EXPIRES", "DESCRIPTION"];

fn row(Listed { version, model }: &Listed, now: Timestamp) -> [String; HEAD.len()] {
    let day = |date: Timestamp| date.strftime("%Y-%m-%d").to_string();
    [
        model.id.to_string(),
        model.kind.to_string(),
        json::trained_with(*version, model),
        model.created.map(day).unwrap_or_default(),
        model.expires.map(|date| day(date) + &left(date, now)).unwrap_or_default(),
        description(model),
    ]
}

/// The time that is left, if it is short.
fn left(expires: Timestamp, now: Timestamp) -> String {
    let is_soon = now.duration_until(expires).as_hours() < SOON_IN_DAYS * 24;
    if is_soon { format!(" ({})", days_left(expires, now)) } else { String::new() }
}

/// The description, or the name of a v2.1 model, after the status of a model that is not ready or cannot be used.
fn description(model: &Model) -> String {
    let text = model.name.as_ref().or(model.description.as_ref());
    let text = text.map(ToString::to_string).unwrap_or_default();
    match &model.readiness {
        Readiness::Ready if model.is_retired() => format!("(retired) {text}"),
        Readiness::Ready => text,
        other => format!("({}) {text}", json::readiness(other)),
    }
}
