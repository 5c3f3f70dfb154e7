//! `frcopy check`: compares source and target.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::check::{CheckEvent, CheckFailure, CheckPlan, Checked, Comparison, Verdict, check, nothing_to_compare};
use crate::error::{Error, ErrorKind};
use crate::manifest::Manifest;
use crate::model::Model;
use crate::recorded::{RecordedPlan, check_recorded};
use crate::resource::{Endpoint, Resource};
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
use super::json::{Age, EndOfLife};
use super::samples::SamplesArgs;
use super::side::{FromArg, Sides, SourceArgs, TargetArgs, ToArg, check_stdin};
use super::{ci, json, runner, samples};

/// Compares source and target: what a failover would miss.
///
/// One line per model goes to stdout: = same, + only on the source, - only on the target, * differs, ! could not be read.
/// Two models are the same if they come from the same training. Copies of v2.1 models have other ids; they are paired by
/// name and dates. A model that has expired, or that a preview version trained, counts as a difference.
/// With --samples, documents show whether both read alike: frcopy help samples.
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

    /// JSON file that records the copies, as of frcopy copy --manifest. Models that are the same are recorded as verified;
    /// when the source cannot be reached, the target is compared with the file, and the exit code is 7
    #[arg(long, value_name = "PATH", help_heading = "Check")]
    manifest: Option<PathBuf>,

    /// Compare the target with the manifest alone; the source is not asked, and its credential is not needed
    #[arg(long, requires = "manifest", help_heading = "Check")]
    target_only: bool,

    /// Exit 9 if a copy in the manifest was last verified longer ago than this, such as 26h
    #[arg(long, value_name = "DURATION", requires = "manifest", allow_hyphen_values = true, help_heading = "Check")]
    max_age: Option<String>,

    #[command(flatten)]
    samples: SamplesArgs,

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
  frcopy check --manifest models.json --target-only --max-age 26h
  frcopy check --samples documents invoices-v4
  frcopy check --output json | jq 'select(.sign != \"=\").source.modelId'

Exit codes: 0 every line is =, 5 there is nothing to compare,
  7 the source or the target cannot be reached,
  9 source and target differ, a model has expired, a copy is too old;
  frcopy help exit-codes explains all of them";

/// What is compared.
struct Plan {
    /// Source and target; none where the target alone is asked.
    both: Option<CheckPlan>,
    /// The target and the manifest.
    recorded: Option<RecordedPlan>,
    manifest: Option<Manifest>,
    target: Resource,
    limits: Limits,
}

/// What the check has shown.
struct Shown {
    checked: Checked,
    /// Why the source was not asked, although it should have been.
    source_down: Option<Error>,
}

impl Plan {
    /// Compares, and counts the entries of lists that cannot be read.
    async fn check(&self, unread: &Cell<usize>, console: &Console, cancel: &CancellationToken) -> Result<Shown, Error> {
        let observer = &|event: CheckEvent<'_>| {
            if let CheckEvent::Unread { count, .. } = event {
                unread.set(unread.get() + count);
            }
            show_event(console, &event);
        };
        let (source_down, on_target) = match &self.both {
            None => (None, None),
            Some(plan) => match (check(plan, observer, cancel).await, &self.recorded) {
                (Ok(checked), _) => return Ok(Shown { checked, source_down: None }),
                (Err(CheckFailure { error, on_target: Some(on_target) }), Some(_))
                    if error.kind() == ErrorKind::Unavailable =>
                {
                    (Some(error), Some(on_target))
                }
                (Err(failure), _) => return Err(failure.error),
            },
        };
        let Some(recorded) = &self.recorded else { return Err(nothing_to_compare()) };
        unread.set(0);
        Ok(Shown { checked: check_recorded(recorded, on_target, observer, cancel).await?, source_down })
    }
}

/// Records what the check has shown to be the same.
fn record(manifest: Option<Manifest>, ends: &Ends, checked: &mut Checked) -> Option<Error> {
    let (mut manifest, source) = (manifest?, ends.source.as_ref()?);
    for one in checked.comparisons.iter_mut().filter(|one| matches!(one.verdict, Verdict::Same)) {
        one.verified_at = checked.target_time;
    }
    manifest.record_checked(&source.endpoint, &ends.target.endpoint, checked).err()
}

/// The two resources; the target alone where the source was not asked.
struct Ends {
    source: Option<Resource>,
    target: Resource,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Check, &error)),
    };
    let (ends, limits) =
        (Ends { source: plan.both.as_ref().map(|both| both.source.clone()), target: plan.target.clone() }, plan.limits);
    let (manifest, is_of_both) = (plan.manifest.take(), plan.both.is_some());
    let verbosity = Verbosity::new(args.quiet, args.verbose);
    let unread = Cell::new(0);
    let work = async |console: &Console, cancel: &CancellationToken| {
        console.step(if args.target_only { "reading the target" } else { "reading the source and the target" });
        let shown = plan.check(&unread, console, cancel).await?;
        // After a signal the comparison is incomplete.
        if cancel.is_cancelled() { Err(Error::interrupted("interrupted")) } else { Ok(shown) }
    };
    runner::until_signal(verbosity, Results::Check, work, |shown, signal| {
        let Shown { mut checked, source_down } = shown;
        checked.comparisons.retain(|one| !(args.one_way && matches!(one.verdict, Verdict::OnlyOnTarget)));
        let unrecorded = if is_of_both && source_down.is_none() { record(manifest, &ends, &mut checked) } else { None };
        let Checked { comparisons, target_time } = checked;
        let expiring = Expiring { limits, now: Timestamp::now(), target_time };
        let found = show(args, &ends, &comparisons, &expiring, verbosity);
        unrecorded.iter().chain(&source_down).for_each(console::error);
        let nothing = (comparisons.is_empty() && unread.get() == 0).then(nothing_to_compare);
        nothing.iter().for_each(console::error);
        // Models that could not be read were not compared.
        let in_sync = !found && unread.get() == 0 && nothing.is_none() && source_down.is_none();
        let lines = comparisons.iter().map(|one| json_line(one, &ends, &expiring));
        let published = ci::publish_check(in_sync, lines, comparisons.iter().filter_map(|one| row(one, &expiring)));
        let unpublished = console::unpublished(published);
        if source_down.is_some() || in_sync || nothing.is_some() {
            let errors = source_down.iter().chain(&nothing).chain(&unrecorded).chain(&unpublished);
            exit_code::from_errors(errors, signal)
        } else {
            Code::Differs.into()
        }
    })
}

fn plan(args: &CheckArgs) -> Result<Plan, Error> {
    let selection = match parse_ids(args.model_ids.iter())? {
        ids if ids.is_empty() => Selection::Matching(args.patterns.patterns()?),
        ids => Selection::Ids(unique(ids)),
    };
    let duration = |option: &str, text: Option<&str>| text.map(|text| parse_long_duration(option, text)).transpose();
    let limits = Limits {
        expiring_within: duration("--expiring-within", args.expiring_within.as_deref())?,
        max_age: duration("--max-age", args.max_age.as_deref())?,
    };
    let scope = args.scope.scope()?;
    let (source, target) = resources(args)?;
    let endpoint = match &source {
        Some(source) => Some(source.endpoint.clone()),
        None => source_endpoint(args)?,
    };
    let template = args.target_model_id.as_deref().map(|text| parse("--target-model-id", text)).transpose()?;
    let manifest = args.manifest.as_deref().map(Manifest::read_existing).transpose()?;
    let timeout = parse_timeout(&args.timeout)?;
    let samples = args.samples.plan()?;
    let recorded = manifest.as_ref().map(|manifest| RecordedPlan {
        target: target.clone(),
        selection: selection.clone(),
        scope,
        copies: manifest.copies_on(&target.endpoint, endpoint.as_ref()),
        known: manifest.copies_on(&target.endpoint, None),
        timeout,
    });
    let both = source.map(|source| {
        let known = manifest.as_ref().map(|manifest| manifest.known_copies(&source.endpoint, &target.endpoint));
        CheckPlan {
            selection,
            scope,
            template,
            known_copies: known.unwrap_or_default(),
            source,
            target: target.clone(),
            samples,
            timeout,
        }
    });
    Ok(Plan { both, recorded, manifest, target, limits })
}

/// The endpoint of a source that is not asked. It selects the copies of one source.
fn source_endpoint(args: &CheckArgs) -> Result<Option<Endpoint>, Error> {
    let Some(name) = &args.from.from else { return args.source.endpoint(&process_environment) };
    let source = Sides::new(&args.config, &process_environment).source(Some(name), &args.source)?;
    source.endpoint.map(|text| parse("the source endpoint", &text)).transpose()
}

/// Source and target; the target alone where the source is not asked.
fn resources(args: &CheckArgs) -> Result<(Option<Resource>, Resource), Error> {
    let sides = Sides::new(&args.config, &process_environment);
    let target = sides.target(args.to.to.as_ref(), &args.target)?;
    if args.target_only {
        return Ok((None, target.resource()?));
    }
    let source = sides.source(args.from.from.as_ref(), &args.source)?;
    check_stdin(&source, &target)?;
    let (source, target) = (source.resource()?, target.resource()?);
    if source.endpoint == target.endpoint && args.target_model_id.is_none() {
        return Err(Error::settings(
            "source and target are the same resource",
            "give the endpoint of the resource that should have the copies as the target, or --target-model-id",
        ));
    }
    Ok((Some(source), target))
}

fn show_event(console: &Console, event: &CheckEvent<'_>) {
    match event {
        CheckEvent::Waiting { error, wait } => console.waiting(error, *wait),
        CheckEvent::Unread { side, count } => console.warn_of_unread(*side, *count),
        CheckEvent::Spare { count } => {
            console.note(&format!("the target has {count} additional copies of v2.1 models"));
        }
        CheckEvent::Sampling(extent) => samples::announce(console, extent),
        CheckEvent::Sampled { done, of } => console.progress(&format!("analyzed {done} of {of} samples")),
        CheckEvent::NotReady { side, count } => {
            console.note(&format!("left out, because they are not ready: {count} models of the {side}"));
        }
    }
}

/// The line of `--output json`.
fn json_line(one: &Comparison, ends: &Ends, expiring: &Expiring) -> String {
    json::comparison(one, ends.source.as_ref(), &ends.target, &expiring.end_of_life(one))
}

/// What else counts as a difference.
#[derive(Clone, Copy)]
struct Limits {
    /// A model that expires within this time.
    expiring_within: Option<Duration>,
    /// A copy that was last verified longer ago.
    max_age: Option<Duration>,
}

/// Which models have expired, or expire soon, and which copies are too old.
struct Expiring {
    limits: Limits,
    now: Timestamp,
    /// By the target's own clock.
    target_time: Option<Timestamp>,
}

impl Expiring {
    fn end_of_life(&self, one: &Comparison) -> EndOfLife {
        let within = self.limits.expiring_within.and_then(|within| SignedDuration::try_from(within).ok());
        let expires = expires(one);
        let is = |condition: &dyn Fn(SignedDuration) -> bool| {
            expires.is_some_and(|date| condition(self.now.duration_until(date)))
        };
        EndOfLife {
            expires,
            is_soon: is(&|left| within.is_some_and(|within| left <= within)),
            is_past: is(&|left| !left.is_positive()),
            is_retired: both(one).any(Model::is_retired),
            age: Age { verified: one.verified_at, is_too_old: self.is_too_old(one) },
        }
    }

    /// Whether the copy was last verified longer ago than it may, by the target's clock. Where that is not known, it was.
    fn is_too_old(&self, one: &Comparison) -> bool {
        let Some(max_age) = self.limits.max_age.filter(|_| one.source.is_some()) else { return false };
        let age = self.target_time.zip(one.verified_at).map(|(now, verified)| verified.duration_until(now));
        age.is_none_or(|age| age.unsigned_abs() > max_age && age.is_positive())
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
        let too_old = end.age.is_too_old.then(|| match end.age.verified {
            Some(date) => format!("last verified {date:.0}"),
            None => "was never verified".to_owned(),
        });
        expiry.into_iter().chain(retired).chain(too_old).collect()
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
fn show(args: &CheckArgs, ends: &Ends, comparisons: &[Comparison], expiring: &Expiring, verbosity: Verbosity) -> bool {
    match args.format {
        Format::Json => json::print_lines(comparisons.iter().map(|one| json_line(one, ends, expiring))),
        Format::Text if args.quiet => {}
        Format::Text => {
            json::print_lines(comparisons.iter().map(text_line));
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

/// The line of text: the sign and the id. A recorded copy with another id has that as well: it is the one to use.
fn text_line(one: &Comparison) -> String {
    let line = format!("{} {}", json::sign(&one.verdict), id(one));
    match (&one.source_endpoint, &one.target) {
        (Some(_), Some(target)) if target.id.as_str() != id(one) => format!("{line} {}", target.id),
        _ => line,
    }
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
    samples::explain(&name, one);
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
        (ending(&|end| end.age.is_too_old), "verified too long ago"),
    ];
    let parts = parts.map(|(sign, what)| (count(sign), what)).into_iter().chain(ending);
    console::counts(comparisons.len(), parts)
}
