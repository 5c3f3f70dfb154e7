//! `frcopy check`: what a failover would miss, with the signs of rclone's check.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::check::{CheckEvent, CheckPlan, Comparison, Verdict, check};
use crate::error::{Error, ErrorKind};
use crate::model::Model;
use crate::resource::Endpoint;
use crate::text::UntrustedText;
use clap::{ArgAction, Args};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{Format, PatternArgs, ScopeArgs, SourceArgs, TargetArgs};
use super::id_map::IdMap;
use super::list::expiry;
use super::progress::{Progress, Verbosity};
use super::{ci, exit_code, report, settings};

/// Compares source and target: what a failover would miss.
///
/// A line for each model goes to stdout: = same, + only on the source, - only on the target, * differs, ! could not be
/// read. Same means the same training; ids differ in v2.1 by design, where name and dates pair the models.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Only these models and classifiers [default: all]
    #[arg(value_name = "MODEL_ID", conflicts_with_all = ["include", "exclude"])]
    pub(crate) model_ids: Vec<String>,

    #[command(flatten)]
    pub(crate) patterns: PatternArgs,

    #[command(flatten)]
    pub(crate) scope: ScopeArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// What only the target has is no difference
    #[arg(long, help_heading = "Check")]
    one_way: bool,

    /// Also report models that will expire, such as 60d; exit 9 when there are any
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Check")]
    expiring_within: Option<String>,

    /// File that says which copy belongs to which v2.1 model, as frcopy copy --id-map writes it
    #[arg(long, value_name = "PATH", help_heading = "Check")]
    id_map: Option<PathBuf>,

    /// For the whole command
    #[arg(long, value_name = "DURATION", default_value = "30m", allow_hyphen_values = true, help_heading = "Check")]
    pub(crate) timeout: String,

    /// What goes to stdout: a sign and an id, or a line of JSON for each model
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Nothing on stdout and only errors on stderr: the exit code says it all
    #[arg(short, long, conflicts_with_all = ["verbose", "format"], help_heading = "Output")]
    quiet: bool,

    /// A line for each request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy check
  frcopy check --one-way --expiring-within 60d
  frcopy check --output json | jq -r 'select(.sign != \"=\") | .source.modelId'

Exit codes: 0 every line is =, 9 source and target differ; the others as those of frcopy copy";

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let (plan, expiring_within) = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.quiet, args.verbose);
    let unread = Cell::new(0);
    let work = async |progress: &Progress, cancel: &CancellationToken| {
        progress.step("listing the source and the target");
        let observer = |event: CheckEvent<'_>| {
            if let CheckEvent::Unread { count, .. } = event {
                unread.set(unread.get() + count);
            }
            tell(progress, &event);
        };
        let comparisons = check(&plan, &observer, cancel).await?;
        // What was not read because of a signal was not compared.
        if cancel.is_cancelled() { Err(Error::new(ErrorKind::Interrupted, "interrupted")) } else { Ok(comparisons) }
    };
    super::see_through(verbosity, work, |mut comparisons, signal| {
        comparisons.retain(|one| !(args.one_way && matches!(one.verdict, Verdict::OnlyOnTarget)));
        let expiring = Expiring { within: expiring_within, now: Timestamp::now() };
        let found = show(args, &plan, &comparisons, &expiring, verbosity);
        // What nobody can read nobody has compared.
        let in_sync = !found && unread.get() == 0;
        let lines = comparisons.iter().map(|one| json(one, &plan, &expiring));
        let unpublished = report::handed_on(ci::comparisons(in_sync, lines, comparisons.iter().filter_map(row)));
        if in_sync { exit_code::of(&unpublished, signal) } else { exit_code::of_differences() }
    })
}

fn plan(args: &CheckArgs) -> Result<(CheckPlan, Option<Duration>), Error> {
    let mut plan = settings::check_plan(args, &settings::process_environment)?;
    if let Some(path) = &args.id_map {
        plan.known_copies = IdMap::read_existing(path, &plan.source.endpoint, &plan.target.endpoint)?.known_copies();
    }
    let within = args.expiring_within.as_deref();
    let within = within.map(|text| settings::parse_long_duration("--expiring-within", text)).transpose()?;
    Ok((plan, within))
}

fn tell(progress: &Progress, event: &CheckEvent<'_>) {
    match event {
        CheckEvent::Waiting { error, wait } => progress.waiting(error, *wait),
        CheckEvent::Unread { side, count } => progress.warn_of_unread(*side, *count),
        CheckEvent::Spare { count } => {
            progress.note(&format!("the target has {count} more copies of v2.1 models that have one"));
        }
        CheckEvent::NotReady { side, count } => {
            progress.note(&format!("left out, because they are not ready: {count} models of the {side}"));
        }
    }
}

/// Which models are about to stop working.
struct Expiring {
    within: Option<Duration>,
    now: Timestamp,
}

impl Expiring {
    /// The date, where it is near.
    fn of(&self, one: &Comparison) -> Option<Timestamp> {
        let within = SignedDuration::try_from(self.within?).ok()?;
        expires(one).filter(|date| self.now.duration_until(*date) <= within)
    }
}

/// When the first of the two stops working.
fn expires(one: &Comparison) -> Option<Timestamp> {
    [&one.source, &one.target].into_iter().flatten().filter_map(|model| model.expires).min()
}

/// Shows it all, and says whether there is anything to be done.
fn show(
    args: &CheckArgs,
    plan: &CheckPlan,
    comparisons: &[Comparison],
    expiring: &Expiring,
    verbosity: Verbosity,
) -> bool {
    match args.format {
        Format::Json => report::results(comparisons.iter().map(|one| json(one, plan, expiring))),
        Format::Text if args.quiet => {}
        Format::Text => report::results(comparisons.iter().map(|one| format!("{} {}", sign(&one.verdict), id(one)))),
    }
    let differing = comparisons.iter().filter(|one| !matches!(one.verdict, Verdict::Same)).count();
    let about_to_expire = comparisons.iter().filter(|one| expiring.of(one).is_some()).count();
    for one in comparisons {
        if let Verdict::Unread(error) = &one.verdict {
            report::error_of(&name(one), error);
        }
    }
    if verbosity >= Verbosity::Normal {
        for one in comparisons {
            explain(one, expiring);
        }
        report::say(&summary(comparisons, about_to_expire));
    }
    differing + about_to_expire > 0
}

/// What a summary says of it, unless both sides are the same.
fn row(one: &Comparison) -> Option<[String; 3]> {
    let what = match &one.verdict {
        Verdict::Same => return None,
        Verdict::OnlyOnSource => "only on the source".into(),
        Verdict::OnlyOnTarget => "only on the target".into(),
        Verdict::Differs(found) => found.join("; "),
        Verdict::Unread(error) => error.to_string(),
    };
    Some([sign(&one.verdict).to_string(), name(one), what])
}

fn sign(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Same => '=',
        Verdict::OnlyOnSource => '+',
        Verdict::OnlyOnTarget => '-',
        Verdict::Differs(_) => '*',
        Verdict::Unread(_) => '!',
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "same",
        Verdict::OnlyOnSource => "onlyOnSource",
        Verdict::OnlyOnTarget => "onlyOnTarget",
        Verdict::Differs(_) => "differs",
        Verdict::Unread(_) => "unread",
    }
}

/// The source's id, where there is one.
fn id(one: &Comparison) -> &str {
    one.source.as_ref().or(one.target.as_ref()).map_or("", |model| model.id.as_str())
}

fn name(one: &Comparison) -> String {
    format!("{} {}", one.kind, id(one))
}

/// Why two differ, and which will expire.
fn explain(one: &Comparison, expiring: &Expiring) {
    let name = name(one);
    if let Verdict::Differs(found) = &one.verdict {
        for found in found {
            report::say(&format!("{name}: {found}"));
        }
    }
    if let Some(date) = expiring.of(one) {
        let is_over = date <= expiring.now;
        report::say(&if is_over {
            format!("{name}: expired on {date:.0}")
        } else {
            format!("{name}: expires {date:.0} ({})", expiry(date, expiring.now))
        });
    }
}

fn summary(comparisons: &[Comparison], about_to_expire: usize) -> String {
    let parts =
        [('=', "same"), ('+', "only on the source"), ('-', "only on the target"), ('*', "different"), ('!', "unread")];
    let count = |wanted: char| comparisons.iter().filter(|one| sign(&one.verdict) == wanted).count();
    let parts = parts.map(|(sign, what)| (count(sign), what)).into_iter().chain([(about_to_expire, "about to expire")]);
    report::tally(comparisons.len(), parts)
}

/// A line of `--output json`. Fields are added, never changed; what is absent is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    sign: char,
    verdict: &'static str,
    kind: String,
    source: JsonSide<'a>,
    target: JsonSide<'a>,
    differences: &'a [String],
    expires_at: Option<String>,
    expires_soon: bool,
    error: Option<report::JsonError<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonSide<'a> {
    endpoint: String,
    model_id: Option<&'a str>,
    name: Option<&'a UntrustedText>,
}

impl<'a> JsonSide<'a> {
    fn of(endpoint: &Endpoint, model: Option<&'a Model>) -> Self {
        let model_id = model.map(|model| model.id.as_str());
        Self { endpoint: endpoint.to_string(), model_id, name: model.and_then(|model| model.name.as_ref()) }
    }
}

fn json(one: &Comparison, plan: &CheckPlan, expiring: &Expiring) -> String {
    let json = Json {
        schema: "frcopy.check/1",
        sign: sign(&one.verdict),
        verdict: word(&one.verdict),
        kind: one.kind.to_string(),
        source: JsonSide::of(&plan.source.endpoint, one.source.as_ref()),
        target: JsonSide::of(&plan.target.endpoint, one.target.as_ref()),
        differences: if let Verdict::Differs(found) = &one.verdict { found } else { &[] },
        expires_at: expires(one).map(|date| format!("{date:.0}")),
        expires_soon: expiring.of(one).is_some(),
        error: if let Verdict::Unread(error) = &one.verdict { Some(report::json_error(error)) } else { None },
    };
    // Strings cannot fail to be written.
    serde_json::to_string(&json).unwrap_or_default()
}
