//! `frcopy wait`: polls a copy that is already running.

use std::process::ExitCode;

use crate::api::version::ApiVersion;
use crate::copy::{Observer, WaitPlan, WatchPlan, wait, watch};
use crate::error::Error;
use crate::model::Kind;
use crate::operation::OperationUrl;
use crate::resource::Endpoint;
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::args::{KindArg, OutputArgs, PollArgs};
use super::ci::Results;
use super::config::ConfigArgs;
use super::input::{parse, process_environment};
use super::runner;
use super::side::{FromArg, Sides, SourceArgs, TargetArgs, ToArg, check_stdin};

/// Polls a copy that is already running: after a deadline, an interrupt or a lost connection.
///
/// The printed URL and the source's credential are enough. With the target's endpoint and credential as well, the copy is
/// verified on the target. Nothing is deleted there.
///
/// Where the start request got no answer, there is no URL: --target-model-id watches the target alone.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The operation to poll: the Operation-Location that frcopy printed
    #[arg(value_name = "OPERATION_URL", required_unless_present = "target_model_id")]
    operation: Option<String>,

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
    #[arg(long, value_name = "ID", conflicts_with = "operation", requires = "api_version")]
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
    TargetModel(Box<WatchPlan>),
}

pub(super) fn run(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Copies, &error)),
    };
    let work = async |observer: Observer<'_>, cancel: &CancellationToken| match &plan {
        Plan::Operation(plan) => wait(plan, observer, cancel).await,
        Plan::TargetModel(plan) => watch(plan, observer, cancel).await,
    };
    runner::one_copy(&args.output, work, |_| None)
}

fn plan(args: &WaitArgs) -> Result<Plan, Error> {
    match (&args.operation, &args.watch.target_model_id, &args.watch.api_version) {
        (Some(operation), ..) => wait_plan(args, operation).map(|plan| Plan::Operation(plan.into())),
        (None, Some(id), Some(version)) => watch_plan(args, id, version).map(|plan| Plan::TargetModel(plan.into())),
        // clap requires one of them.
        (None, ..) => Err(Error::settings("there is nothing to wait for", OPERATION_REMEDY)),
    }
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

/// The URL determines the source. A different source endpoint is refused, because its key would be sent to another host.
fn wait_plan(args: &WaitArgs, operation: &str) -> Result<WaitPlan, Error> {
    let sides = Sides::new(&args.config, &process_environment);
    let mut source = sides.source(args.from.from.as_ref(), &args.source)?;
    let target = sides.target(args.to.to.as_ref(), &args.target)?;
    check_stdin(&source, &target)?;
    // Some shells keep the quotes of the printed line.
    let text = operation.trim().trim_matches(['\'', '"']);
    let url = Url::parse(text).map_err(|error| {
        Error::settings("the operation is not a URL", OPERATION_REMEDY).with_source(error.to_string())
    })?;
    let origin: Endpoint = parse(
        "the operation's URL",
        &format!("{}://{}", url.scheme(), &url[Position::BeforeUsername..Position::AfterPort]),
    )?;
    if let Some(given) = &source.endpoint
        && parse::<Endpoint>("the source endpoint", given)? != origin
    {
        return Err(Error::settings(
            format!("the operation is on {origin}, and the source endpoint is another one"),
            "give the endpoint and the key of the source that the operation is on",
        ));
    }
    source.endpoint = Some(origin.to_string());
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

/// Whether the URL is that of an operation whose version stands in its query.
fn names_version_in_query(url: &Url) -> bool {
    url.path().contains("/operations/")
}

const OPERATION_REMEDY: &str = "give the URL that frcopy printed, with /copyresults/ or /operations/ in it";
