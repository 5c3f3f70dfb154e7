//! `frcopy list`: what one resource has, as a table for people, lines of JSON or bare ids for scripts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::api::version::ApiVersion;
use crate::client::{CallContext, Connection};
use crate::error::Error;
use crate::inventory::{Inventory, Listed, Scope};
use crate::model::{Model, Readiness};
use crate::resource::Resource;
use crate::selection::{Patterns, Selection};
use crate::text::UntrustedText;
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{Format, PatternArgs, ScopeArgs, SourceArgs, TargetArgs};
use super::progress::{Progress, Verbosity};
use super::{report, settings};

/// Lists the custom models and classifiers of one resource.
///
/// Prebuilt models, which every resource has, are left out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// Which resource
    #[arg(value_enum, value_name = "SIDE")]
    side: SideArg,

    #[command(flatten)]
    patterns: PatternArgs,

    #[command(flatten)]
    scope: ScopeArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    target: TargetArgs,

    /// For the whole command
    #[arg(long, value_name = "DURATION", default_value = "5m", allow_hyphen_values = true)]
    timeout: String,

    /// What goes to stdout: a table, or a line of JSON for each model
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Ids only
    #[arg(short, long, conflicts_with = "format", help_heading = "Output")]
    quiet: bool,

    /// A line for each request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy list source
  frcopy list target --include 'invoices-*' --output json
  frcopy list source -q --kind classifier";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SideArg {
    Source,
    Target,
}

pub(crate) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.quiet && args.verbose == 0, args.verbose);
    super::see_through(
        verbosity,
        async |progress, cancel| read(&plan, progress, cancel).await,
        |listed, _| {
            show(args, &listed, &plan.resource);
            ExitCode::SUCCESS
        },
    )
}

struct Plan {
    resource: Resource,
    scope: Scope,
    patterns: Patterns,
    timeout: std::time::Duration,
}

fn plan(args: &ListArgs) -> Result<Plan, Error> {
    let environment = &settings::process_environment;
    Ok(Plan {
        resource: match args.side {
            SideArg::Source => settings::source(&args.source, environment)?,
            SideArg::Target => settings::target(&args.target, environment)?,
        },
        scope: settings::scope(&args.scope)?,
        patterns: settings::patterns(&args.patterns)?,
        timeout: settings::parse_duration("--timeout", &args.timeout)?,
    })
}

async fn read(plan: &Plan, progress: &Progress, cancel: &CancellationToken) -> Result<Vec<Listed>, Error> {
    let context = CallContext::new(plan.timeout, cancel, |error, wait| progress.waiting(error, wait));
    let client = Connection::http(&plan.resource)?.client(context);
    progress.step(&format!("listing the {}", plan.resource.side));
    let mut inventory = Inventory::read(&client, plan.scope).await?;
    progress.warn_of_unread(plan.resource.side, inventory.unreadable);
    let selection = Selection::Matching(plan.patterns.clone());
    selection.check(&inventory.models(), &format!("the {}", plan.resource.side))?;
    inventory.listed.retain(|listed| selection.picks(&listed.model));
    if inventory.listed.is_empty() {
        progress.note(&format!("the {} has no custom models and classifiers", plan.resource.side));
    }
    Ok(inventory.listed)
}

fn show(args: &ListArgs, listed: &[Listed], resource: &Resource) {
    let now = Timestamp::now();
    match args.format {
        Format::Json => report::results(listed.iter().map(|listed| json(listed, resource))),
        Format::Text if args.quiet => report::results(listed.iter().map(|listed| listed.model.id.to_string())),
        Format::Text => report::results(table(listed, now)),
    }
}

const HEAD: [&str; 6] = ["MODEL ID", "KIND", "API", "CREATED", "EXPIRES", "DESCRIPTION"];

fn table(listed: &[Listed], now: Timestamp) -> impl Iterator<Item = String> {
    let head = (!listed.is_empty()).then(|| HEAD.map(str::to_owned));
    let mut rows: Vec<_> = head.into_iter().collect();
    rows.extend(listed.iter().map(|listed| row(listed, now)));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..HEAD.len()).map(|column| width(column).unwrap_or_default()).collect();
    rows.into_iter().map(move |row| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    })
}

fn row(Listed { version, model }: &Listed, now: Timestamp) -> [String; HEAD.len()] {
    let day = |date: Timestamp| date.strftime("%Y-%m-%d").to_string();
    [
        model.id.to_string(),
        model.kind.to_string(),
        trained_with(*version, model),
        model.created.map(day).unwrap_or_default(),
        model.expires.map(|date| format!("{} ({})", day(date), expiry(date, now))).unwrap_or_default(),
        words(model),
    ]
}

/// In how many days a model stops working.
pub(crate) fn expiry(expires: Timestamp, now: Timestamp) -> String {
    match now.duration_until(expires).as_hours() {
        ..0 => "expired".into(),
        hours @ 0..48 => format!("in {hours} hours"),
        hours => format!("in {} days", hours / 24),
    }
}

/// The version that trained a model: its number, or for a preview the date that the service gives.
fn trained_with(version: ApiVersion, model: &Model) -> String {
    let Some(date) = &model.api_version else { return version.to_string() };
    date.raw().parse::<ApiVersion>().map_or_else(|_| date.to_string(), |version| version.to_string())
}

/// What its owner says of it; in v2.1 its name, and whether it can be used.
fn words(model: &Model) -> String {
    let said = model.name.as_ref().or(model.description.as_ref()).map(ToString::to_string).unwrap_or_default();
    match &model.readiness {
        Readiness::Ready => said,
        other => format!("({}) {said}", status(other)),
    }
}

fn status(readiness: &Readiness) -> Cow<'_, str> {
    match readiness {
        Readiness::Ready => "ready".into(),
        Readiness::Creating => "creating".into(),
        Readiness::Invalid => "invalid".into(),
        Readiness::Unknown(status) => status.to_string().into(),
    }
}

/// A line of `--output json`. Fields are added, never changed; what is absent is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    endpoint: String,
    kind: String,
    model_id: &'a str,
    api_version: String,
    status: Cow<'a, str>,
    name: Option<&'a UntrustedText>,
    description: Option<&'a UntrustedText>,
    tags: &'a BTreeMap<UntrustedText, UntrustedText>,
    created_at: Option<String>,
    modified_at: Option<String>,
    expires_at: Option<String>,
}

fn json(Listed { version, model }: &Listed, resource: &Resource) -> String {
    let date = |date: Timestamp| format!("{date:.0}");
    let json = Json {
        schema: "frcopy.model/1",
        endpoint: resource.endpoint.to_string(),
        kind: model.kind.to_string(),
        model_id: model.id.as_str(),
        api_version: trained_with(*version, model),
        status: status(&model.readiness),
        name: model.name.as_ref(),
        description: model.description.as_ref(),
        tags: &model.tags,
        created_at: model.created.map(date),
        modified_at: model.modified.map(date),
        expires_at: model.expires.map(date),
    };
    // Strings cannot fail to be written.
    serde_json::to_string(&json).unwrap_or_default()
}
