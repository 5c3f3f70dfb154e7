//! `frcopy wait`: polls copies that are already running.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use crate::api::version::ApiVersion;
use crate::copy::{
    self, CopyOptions, Event, Observer, OpenOperations, Report, WaitPlan, WatchPlan, finish_each, wait, wait_for_each,
    watch,
};
use crate::error::{Error, ErrorKind};
use crate::manifest::Manifest;
use crate::model::Kind;
use crate::operation::OperationUrl;
use crate::resource::Endpoint;
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::args::{KindArg, OutputArgs, PollArgs};
use super::ci::Results;
use super::config::ConfigArgs;
use super::console::{self, Console, CopyReporter};
use super::input::{parse, process_environment};
use super::side::{FromArg, SideSettings, Sides, SourceArgs, TargetArgs, ToArg, check_stdin};
use super::side_names::SideNames;
use super::{ci, copy_result, exit_code, runner};

/// Polls copies that are already running: after a deadline, an interrupt or a lost connection.
///
/// The printed URL and the source's credential are enough. With the target's endpoint and credential as well, the copy is
/// verified on the target. Nothing is deleted there.
///
/// Where the start request got no answer, there is no URL: --target-model-id watches the target alone.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The operations to poll, all of one source: the Operation-Location that frcopy printed
    #[arg(value_name = "OPERATION_URL", required_unless_present_any = ["target_model_id", "manifest"])]
    operations: Vec<String>,

    /// Poll every operation between source and target that the journal of this manifest names and no process polls; what
    /// succeeds is recorded
    #[arg(long, value_name = "PATH", conflicts_with_all = ["operations", "target_model_id", "no_verify"])]
    manifest: Option<PathBuf>,

    #[command(flatten)]
    watch: WatchArgs,

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

    #[command(flatten)]
    poll: PollArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// A copy whose operation is not known.
#[derive(Debug, Args)]
#[command(next_help_heading = "Without an operation")]
struct WatchArgs {
    /// Read this model of the target until it is ready; needs --api-version
    #[arg(long, value_name = "ID", conflicts_with = "operations", requires = "api_version")]
    target_model_id: Option<String>,

    /// The API version of the copy
    #[arg(long, value_name = "VERSION", requires = "target_model_id")]
    api_version: Option<String>,

    /// What the copy is of
    #[arg(long, value_enum, requires = "target_model_id", default_value = "model")]
    kind: KindArg,
}

/// What to wait for.
enum Plan {
    Operation(Box<WaitPlan>),
    Operations(Vec<WaitPlan>),
    TargetModel(Box<WatchPlan>),
    Manifest(Vec<copy::Plan>, Box<Manifest>),
}

pub(super) fn run(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Copies, &error)),
    };
    match plan {
        Plan::Operation(plan) => {
            run_one(args, sides(&plan), async |observer, cancel| wait(&plan, observer, cancel).await)
        }
        Plan::TargetModel(plan) => run_one(args, SideNames::of(None, &plan.target), async |observer, cancel| {
            watch(&plan, observer, cancel).await
        }),
        Plan::Operations(plans) => {
            let names =
                plans.iter().enumerate().map(|(at, plan)| (sides(plan), format!("operation {}", at + 1))).collect();
            let work = async |several: &Several<'_>, cancel: &CancellationToken| {
                let on_event = |index, event: Event<'_>| several.show(index, &event);
                wait_for_each(&plans, &on_event, &|index, report| several.ended(index, report), cancel).await
            };
            run_several(args, names, None, work)
        }
        Plan::Manifest(plans, manifest) => {
            let sides = |plan: &copy::Plan| SideNames::of(&plan.options.source, &plan.options.target);
            let names = plans.iter().map(|plan| (sides(plan), plan.model_id.to_string())).collect();
            let work = async |several: &Several<'_>, cancel: &CancellationToken| {
                let on_event = |index, event: Event<'_>| several.show(index, &event);
                finish_each(&plans, &on_event, &|index, report| several.ended(index, report), cancel).await
            };
            run_several(args, names, Some(*manifest), work)
        }
    }
}

fn sides(plan: &WaitPlan) -> SideNames {
    SideNames::of(&plan.source, plan.target.as_ref())
}

fn run_one(
    args: &WaitArgs,
    sides: SideNames,
    work: impl AsyncFnOnce(Observer<'_>, &CancellationToken) -> Report,
) -> anyhow::Result<ExitCode> {
    runner::one_copy(&args.output, sides, work, |_| None)
}

/// The display of several copies.
struct Several<'c> {
    console: &'c Console,
    output: &'c OutputArgs,
    reporters: RefCell<Vec<Option<CopyReporter<'c>>>>,
    manifest: RefCell<Option<Manifest>>,
    faults: &'c RefCell<Vec<Error>>,
}

impl Several<'_> {
    fn show(&self, index: usize, event: &Event<'_>) {
        if let Some(Some(reporter)) = self.reporters.borrow().get(index) {
            reporter.show(event);
        }
    }

    fn ended(&self, index: usize, report: &Report) {
        if let Some(reporter) = self.reporters.borrow_mut().get_mut(index) {
            *reporter = None;
        }
        self.console
            .suspend(|| copy_result::show_named(self.output.format, report, self.output.verbosity(), None, false));
        self.change_manifest(|manifest| manifest.record(report));
    }

    fn change_manifest(&self, change: impl FnOnce(&mut Manifest) -> Result<(), Error>) {
        if let Err(error) = self.manifest.borrow_mut().as_mut().map_or(Ok(()), change) {
            self.console.suspend(|| console::error(&error));
            self.faults.borrow_mut().push(error);
        }
    }
}

fn run_several(
    args: &WaitArgs,
    names: Vec<(SideNames, String)>,
    manifest: Option<Manifest>,
    work: impl AsyncFnOnce(&Several<'_>, &CancellationToken) -> Vec<Report>,
) -> anyhow::Result<ExitCode> {
    let faults = RefCell::default();
    let work = async |console: &Console, cancel: &CancellationToken| {
        let reporters = names.into_iter().map(|(sides, name)| Some(console.named_reporter(sides, name))).collect();
        let several = Several {
            console,
            output: &args.output,
            reporters: RefCell::new(reporters),
            manifest: RefCell::new(manifest),
            faults: &faults,
        };
        let reports = work(&several, cancel).await;
        several.change_manifest(Manifest::write);
        Ok(reports)
    };
    runner::until_signal(args.output.verbosity(), Results::Copies, work, |reports, signal| {
        let unpublished = console::unpublished(ci::publish_copies(&reports));
        let failures = reports.iter().filter_map(|report| report.result.as_ref().err());
        exit_code::from_errors(failures.chain(&unpublished).chain(&*faults.borrow()), signal)
    })
}

fn plan(args: &WaitArgs) -> Result<Plan, Error> {
    if let Some(path) = &args.manifest {
        return manifest_plan(args, path);
    }
    match (&*args.operations, &args.watch.target_model_id, &args.watch.api_version) {
        ([operation], ..) => wait_plan(args, operation).map(|plan| Plan::Operation(plan.into())),
        ([], Some(id), Some(version)) => watch_plan(args, id, version).map(|plan| Plan::TargetModel(plan.into())),
        // clap requires one of them.
        ([], ..) => Err(Error::settings("there is nothing to wait for", OPERATION_REMEDY)),
        ([first, others @ ..], ..) => {
            let first = wait_plan(args, first)?;
            let others = others.iter().map(|operation| {
                let (origin, operation) = parse_operation(operation)?;
                if origin == first.source.endpoint {
                    return Ok(WaitPlan { operation, ..first.clone() });
                }
                Err(Error::settings(
                    format!("the operations are on {} and on {origin}", first.source.endpoint),
                    "wait for the operations of each source with a command of its own",
                ))
            });
            let others: Vec<_> = others.collect::<Result<_, _>>()?;
            Ok(Plan::Operations(std::iter::once(first).chain(others).collect()))
        }
    }
}

/// The open operations of a journal between the two resources.
fn manifest_plan(args: &WaitArgs, path: &Path) -> Result<Plan, Error> {
    let (source, target) = both_sides(args)?;
    let mut manifest = Manifest::read_existing(path)?;
    let options = CopyOptions {
        journal: manifest.open_for_copies()?,
        poll_interval: args.poll.poll_interval()?,
        timeout: args.poll.timeout()?,
        ..CopyOptions::new(source.resource()?, target.resource()?)
    };
    let OpenOperations { copies, without_operation } =
        options.journal.open_operations(&options.source.endpoint, &options.target.endpoint)?;
    if without_operation > 0 {
        console::warning(&format!(
            "{without_operation} unfinished copies have no known operation: the copy command finishes them"
        ));
    }
    if copies.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the journal names no operation between source and target")
            .with_remedy("check the endpoints; every copy that was begun has ended, or another process polls it"));
    }
    let options = Rc::new(options);
    let plans = copies.into_iter().map(|(kind, model_id, target_model_id)| copy::Plan {
        options: Rc::clone(&options),
        model_id,
        kind: Some(kind),
        target_model_id,
    });
    Ok(Plan::Manifest(plans.collect(), Box::new(manifest)))
}

fn watch_plan(args: &WaitArgs, id: &str, version: &str) -> Result<WatchPlan, Error> {
    let api_version: ApiVersion = parse("--api-version", version)?;
    let kind = Kind::from(args.watch.kind);
    if !api_version.wire().copies(kind) {
        return Err(Error::settings(
            format!("{api_version} does not copy {kind}s"),
            "give the API version and the kind that frcopy printed",
        ));
    }
    Ok(WatchPlan {
        target: Sides::new(&args.config, &process_environment).target(args.to.to.as_ref(), &args.target)?.resource()?,
        api_version,
        kind,
        target_model_id: parse("--target-model-id", id)?,
        timeout: args.poll.timeout()?,
        poll_interval: args.poll.poll_interval()?,
    })
}

fn both_sides(args: &WaitArgs) -> Result<(SideSettings, SideSettings), Error> {
    let sides = Sides::new(&args.config, &process_environment);
    let source = sides.source(args.from.from.as_ref(), &args.source)?;
    let target = sides.target(args.to.to.as_ref(), &args.target)?;
    check_stdin([&source, &target])?;
    Ok((source, target))
}

/// The URL determines the source. A different source endpoint is refused, because its key would be sent to another host.
fn wait_plan(args: &WaitArgs, operation: &str) -> Result<WaitPlan, Error> {
    let (mut source, target) = both_sides(args)?;
    let (origin, operation) = parse_operation(operation)?;
    if let Some(given) = &source.endpoint
        && parse::<Endpoint>("the source endpoint", given)? != origin
    {
        return Err(Error::settings(
            format!("the operation is on {origin}, and the source endpoint is another one"),
            "give the endpoint and the key of the source that the operation is on",
        ));
    }
    source.endpoint = Some(origin.to_string());
    let has_target = target.endpoint.is_some();
    Ok(WaitPlan {
        operation,
        verify: !args.poll.no_verify,
        poll_interval: args.poll.poll_interval()?,
        source: source.resource()?,
        target: has_target.then(|| target.resource()).transpose()?,
        timeout: args.poll.timeout()?,
    })
}

/// The operation of a URL, and the resource that it is on.
fn parse_operation(operation: &str) -> Result<(Endpoint, OperationUrl), Error> {
    // Some shells keep the quotes of the printed line.
    let text = operation.trim().trim_matches(['\'', '"']);
    let url = Url::parse(text).map_err(|error| {
        Error::settings("the operation is not a URL", OPERATION_REMEDY).with_source(error.to_string())
    })?;
    let origin: Endpoint = parse(
        "the operation's URL",
        &format!("{}://{}", url.scheme(), &url[Position::BeforeUsername..Position::AfterPort]),
    )?;
    let operation = OperationUrl::new(text, &origin).map_err(|error| {
        Error::settings("the operation is not usable", OPERATION_REMEDY).with_source(error.to_string())
    })?;
    if ApiVersion::of_operation(&operation).is_none() {
        return Err(Error::settings("the URL is not that of a copy operation", OPERATION_REMEDY));
    }
    // Without it each poll would be answered with 404.
    if names_version_in_query(&url)
        && !url.query_pairs().any(|(name, value)| name == "api-version" && !value.is_empty())
    {
        return Err(Error::settings(
            "the operation's URL has no api-version",
            "give the whole URL that frcopy printed, in single quotes",
        ));
    }
    Ok((origin, operation))
}

/// Whether the URL is that of an operation whose version stands in its query.
fn names_version_in_query(url: &Url) -> bool {
    url.path().contains("/operations/")
}

const OPERATION_REMEDY: &str = "give the URL that frcopy printed, with /copyresults/ or /operations/ in it";
