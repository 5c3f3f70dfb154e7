//! `frcopy check`: compares source and target.

mod args;
mod end_of_life;
mod plan;

use std::cell::Cell;
use std::process::ExitCode;

use crate::check::{CheckEvent, CheckFailure, Checked, Comparison, Verdict, check, nothing_to_compare};
use crate::error::{Error, ErrorKind};
use crate::manifest::Manifest;
use crate::recorded::check_recorded;
use crate::resource::Resource;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::args::Format;
use super::ci::Results;
use super::console::{self, Console, Verbosity};
use super::exit_code::{self, Code};
use super::json::EndOfLife;
use super::{ci, json, runner, samples};
pub(super) use args::CheckArgs;
use end_of_life::Expiring;
use plan::{Plan, plan};

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
