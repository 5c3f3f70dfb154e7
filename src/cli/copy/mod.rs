//! `frcopy copy`: copies one model or several, or shows with `--dry-run` what a copy would do.

mod args;
mod batch;
mod board;
mod estimate;
mod plan;

use std::path::Path;
use std::process::ExitCode;

use crate::copy::{Observer, Plan, Report, copy, copy_delegated, dry_run, dry_run_delegated};
use crate::error::Error;
use crate::manifest::Manifest;
use tokio_util::sync::CancellationToken;

use super::ci::Results;
use super::runner;
use super::side_names::SideNames;
pub(super) use args::CopyArgs;
use plan::CopyPlan;

pub(super) fn run(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.options.authorization {
        return run_delegated(args, path);
    }
    match plan::plan(args) {
        Ok((CopyPlan::One(plan), manifest)) => run_one(args, &plan, manifest),
        Ok((CopyPlan::Batches(plans), manifest)) => batch::run(args, &plans, manifest),
        Err(error) => Ok(runner::refuse_with(Results::Copies, &error)),
    }
}

fn run_one(args: &CopyArgs, plan: &Plan, manifest: Option<Manifest>) -> anyhow::Result<ExitCode> {
    let work = async |observer: Observer<'_>, cancel: &CancellationToken| {
        if args.options.dry_run { dry_run(plan, observer, cancel).await } else { copy(plan, observer, cancel).await }
    };
    let sides = SideNames::of(&plan.options.source, &plan.options.target);
    runner::one_copy(&args.output, sides, work, |report| record(manifest?, report).err())
}

fn record(mut manifest: Manifest, report: &Report) -> Result<(), Error> {
    manifest.record(report)
}

/// Copies with an authorization file, which was issued for its target.
fn run_delegated(args: &CopyArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let plan = match plan::delegated_plan(args, path) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Copies, &error)),
    };
    let sides = SideNames::of(&plan.source, None);
    let work = async |observer: Observer<'_>, cancel: &CancellationToken| {
        if args.options.dry_run {
            dry_run_delegated(&plan, observer, cancel).await
        } else {
            copy_delegated(plan, observer, cancel).await
        }
    };
    runner::one_copy(&args.output, sides, work, |_| None)
}
