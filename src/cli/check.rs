//! `frcopy check`: compares source and target.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::check::{CheckEvent, CheckPlan, Comparison, Verdict, check, nothing_to_compare};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::selection::Selection;
use clap::{ArgAction, Args};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::args::{Format, PatternArgs, ScopeArgs};
use super::ci::Results;
use super::config::ConfigArgs;
use super::console::{self, Console, RETIRED, Verbosity};
use super::dates::days_left;
use super::exit_code::{self, Code};
use super::input::{parse, parse_ids, parse_long_duration, parse_timeout, process_environment, unique};
use super::json::EndOfLife;
use super::side::{FromArg, Sides, SourceArgs, TargetArgs, ToArg, check_stdin};
use super::{ci, json, runner};

/// Compares source and target: what a failover would miss.
///
/// One line per model goes to stdout: = same, + only on the source, - only on the target, * differs, ! could not be read.
/// Two models are the same if they come from the same training. Copies of v2.1 models have other ids; they are paired by
/// name and dates. A model that has expired, or that a preview version trained, counts as a difference.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// Only these models and classifiers [default: all]
    #[arg(value_name = "MODEL_ID", conflicts_with_all = ["include", "exclude"])]
    model_ids: Vec<String>,

    #[command(flatten)]
    patterns: PatternArgs,

    #[command(flatten)]
    scope: ScopeArgs,

    #[command(flatten)]
    from: FromArg,

    #[command(flatten)]
    to: ToArg,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    target: TargetArgs,

    /// Ignore models that only the target has
    #[arg(long, help_heading = "Check")]
    one_way: bool,

    /// Also report models that expire within this time, such as 60d; exit 9 if there are any, as if any has expired
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Check")]
    expiring_within: Option<String>,

    /// Ids of the copies (v3.0 and later), if a template made them, such as '{id}-v2'
    #[arg(long, value_name = "TEMPLATE", help_heading = "Check")]
    target_model_id: Option<String>,

    /// JSON file that records the copies, written by frcopy copy --manifest
    #[arg(long, value_name = "PATH", help_heading = "Check")]
    manifest: Option<PathBuf>,

    /// Deadline of the whole command
    #[arg(long, value_name = "DURATION", default_value = "30m", allow_hyphen_values = true, help_heading = "Check")]
    timeout: String,

    /// Format of stdout: a sign and an id, or one line of JSON per model
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Nothing on stdout and only errors on stderr; the exit code is the result
    #[arg(short, long, conflicts_with_all = ["verbose", "format"], help_heading = "Output")]
    quiet: bool,

    /// One line per request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy check
  frcopy check --from east --to west
  frcopy check --one-way --expiring-within 60d
  frcopy check --output json | jq 'select(.sign != \"=\").source.modelId'

Exit codes: 0 every line is =, 5 there is nothing to compare,
  9 source and target differ, or a model has expired;
  frcopy help exit-codes explains all of them";

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let (plan, expiring_within) = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Check, &error)),
    };
    let verbosity = Verbosity::new(args.quiet, args.verbose);
    let unread = Cell::new(0);
    let work = async |console: &Console, cancel: &CancellationToken| {
        console.step("reading the source and the target");
        let observer = |event: CheckEvent<'_>| {
            if let CheckEvent::Unread { count, .. } = event {
                unread.set(unread.get() + count);
            }
            show_event(console, &event);
        };
        let comparisons = check(&plan, &observer, cancel).await?;
        // After a signal the comparison is incomplete.
        if cancel.is_cancelled() { Err(Error::interrupted("interrupted")) } else { Ok(comparisons) }
    };
    runner::until_signal(verbosity, Results::Check, work, |mut comparisons, signal| {
        comparisons.retain(|one| !(args.one_way && matches!(one.verdict, Verdict::OnlyOnTarget)));
        let expiring = Expiring { within: expiring_within, now: Timestamp::now() };
        let found = show(args, &plan, &comparisons, &expiring, verbosity);
        let nothing = (comparisons.is_empty() && unread.get() == 0).then(nothing_to_compare);
        nothing.iter().for_each(console::error);
        // Models that could not be read were not compared.
        let in_sync = !found && unread.get() == 0 && nothing.is_none();
        let lines = comparisons.iter().map(|one| json_line(one, &plan, &expiring));
        let published = ci::publish_check(in_sync, lines, comparisons.iter().filter_map(|one| row(one, &expiring)));
        let unpublished = console::unpublished(published);
        if in_sync || nothing.is_some() {
            exit_code::from_errors(nothing.iter().chain(&unpublished), signal)
        } else {
            Code::Differs.into()
        }
    })
}

fn plan(args: &CheckArgs) -> Result<(CheckPlan, Option<Duration>), Error> {
    let sides = Sides::new(&args.config, &process_environment);
    let source = sides.source(args.from.from.as_ref(), &args.source)?;
    let target = sides.target(args.to.to.as_ref(), &args.target)?;
    check_stdin(&source, &target)?;
    let selection = match parse_ids(args.model_ids.iter())? {
        ids if ids.is_empty() => Selection::Matching(args.patterns.patterns()?),
        ids => Selection::Ids(unique(ids)),
    };
    let mut plan = CheckPlan {
        selection,
        scope: args.scope.scope()?,
        known_copies: BTreeMap::new(),
        template: args.target_model_id.as_deref().map(|text| parse("--target-model-id", text)).transpose()?,
        source: source.resource()?,
        target: target.resource()?,
        timeout: parse_timeout(&args.timeout)?,
    };
    if plan.source.endpoint == plan.target.endpoint && plan.template.is_none() {
        return Err(Error::settings(
            "source and target are the same resource",
            "give the endpoint of the resource that should have the copies as the target, or --target-model-id",
        ));
    }
    if let Some(path) = &args.manifest {
        let manifest = Manifest::read_existing(path)?;
        plan.known_copies = manifest.known_copies(&plan.source.endpoint, &plan.target.endpoint);
    }
    let within = args.expiring_within.as_deref();
    let within = within.map(|text| parse_long_duration("--expiring-within", text)).transpose()?;
    Ok((plan, within))
}

fn show_event(console: &Console, event: &CheckEvent<'_>) {
    match event {
        CheckEvent::Waiting { error, wait } => console.waiting(error, *wait),
        CheckEvent::Unread { side, count } => console.warn_of_unread(*side, *count),
        CheckEvent::Spare { count } => {
            console.note(&format!("the target has {count} additional copies of v2.1 models"));
        }
        CheckEvent::NotReady { side, count } => {
            console.note(&format!("left out, because they are not ready: {count} models of the {side}"));
        }
    }
}

/// The line of `--output json`.
fn json_line(one: &Comparison, plan: &CheckPlan, expiring: &Expiring) -> String {
    json::comparison(one, plan, &expiring.end_of_life(one))
}

/// Which models have expired, or expire soon.
struct Expiring {
    within: Option<Duration>,
    now: Timestamp,
}

impl Expiring {
    fn end_of_life(&self, one: &Comparison) -> EndOfLife {
        let within = self.within.and_then(|within| SignedDuration::try_from(within).ok());
        let expires = expires(one);
        let is = |condition: &dyn Fn(SignedDuration) -> bool| {
            expires.is_some_and(|date| condition(self.now.duration_until(date)))
        };
        EndOfLife {
            expires,
            is_soon: is(&|left| within.is_some_and(|within| left <= within)),
            is_past: is(&|left| !left.is_positive()),
            is_retired: both(one).any(Model::is_retired),
        }
    }

    /// Why a model cannot be used, or not for long.
    fn reasons(&self, one: &Comparison) -> Vec<String> {
        let end = self.end_of_life(one);
        let expiry = match end.expires {
            Some(date) if end.is_past => Some(format!("expired on {date:.0}")),
            Some(date) if end.is_soon => Some(format!("expires {date:.0} ({})", days_left(date, self.now))),
            _ => None,
        };
        let retired = end.is_retired.then(|| RETIRED.to_owned());
        expiry.into_iter().chain(retired).collect()
    }
}

/// The models of a comparison.
fn both(one: &Comparison) -> impl Iterator<Item = &Model> {
    [&one.source, &one.target].into_iter().flatten()
}

/// The earlier expiry date of the two.
fn expires(one: &Comparison) -> Option<Timestamp> {
    both(one).filter_map(|model| model.expires).min()
}

/// Shows the comparisons, and returns whether there is a difference, an expiry or a retired model.
fn show(
    args: &CheckArgs,
    plan: &CheckPlan,
    comparisons: &[Comparison],
    expiring: &Expiring,
    verbosity: Verbosity,
) -> bool {
    match args.format {
        Format::Json => json::print_lines(comparisons.iter().map(|one| json_line(one, plan, expiring))),
        Format::Text if args.quiet => {}
        Format::Text => {
            json::print_lines(comparisons.iter().map(|one| format!("{} {}", json::sign(&one.verdict), id(one))));
        }
    }
    for one in comparisons {
        if let Verdict::Unread(error) = &one.verdict {
            console::error_for(&name(one), error);
        }
    }
    if verbosity >= Verbosity::Normal {
        for one in comparisons {
            explain(one, expiring);
        }
        console::line(&summary(comparisons, expiring));
    }
    comparisons.iter().any(|one| !matches!(one.verdict, Verdict::Same) || !expiring.reasons(one).is_empty())
}

/// The row in the CI summary, unless both sides are the same and can be used.
fn row(one: &Comparison, expiring: &Expiring) -> Option<[String; 3]> {
    let verdict = match &one.verdict {
        Verdict::Same => Vec::new(),
        Verdict::OnlyOnSource => vec!["only on the source".into()],
        Verdict::OnlyOnTarget => vec!["only on the target".into()],
        Verdict::Differs(found) => found.clone(),
        Verdict::Unread(error) => vec![error.to_string()],
    };
    let what: Vec<_> = verdict.into_iter().chain(expiring.reasons(one)).collect();
    (!what.is_empty()).then(|| [json::sign(&one.verdict).to_string(), name(one), what.join("; ")])
}

/// The id on the source, else the id on the target.
fn id(one: &Comparison) -> &str {
    one.source.as_ref().or(one.target.as_ref()).map_or("", |model| model.id.as_str())
}

fn name(one: &Comparison) -> String {
    format!("{} {}", one.kind, id(one))
}

/// Prints the differences of a comparison, and why its models cannot be used, or not for long.
fn explain(one: &Comparison, expiring: &Expiring) {
    let name = name(one);
    for what in one.verdict.differences().iter().chain(&expiring.reasons(one)) {
        console::line(&format!("{name}: {what}"));
    }
}

fn summary(comparisons: &[Comparison], expiring: &Expiring) -> String {
    let parts =
        [('=', "same"), ('+', "only on the source"), ('-', "only on the target"), ('*', "different"), ('!', "unread")];
    let count = |wanted: char| comparisons.iter().filter(|one| json::sign(&one.verdict) == wanted).count();
    let ends: Vec<_> = comparisons.iter().map(|one| expiring.end_of_life(one)).collect();
    let ending = |is: &dyn Fn(&&EndOfLife) -> bool| ends.iter().filter(is).count();
    let ending = [
        (ending(&|end| end.is_soon && !end.is_past), "about to expire"),
        (ending(&|end| end.is_past), "expired"),
        (ending(&|end| end.is_retired), "retired"),
    ];
    let parts = parts.map(|(sign, what)| (count(sign), what)).into_iter().chain(ending);
    console::counts(comparisons.len(), parts)
}
