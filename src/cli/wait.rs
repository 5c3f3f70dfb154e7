//! `frcopy wait`: polls a copy that is already running.

use std::process::ExitCode;

use crate::api::version::ApiVersion;
use crate::copy::{Observer, WaitPlan, wait};
use crate::error::Error;
use crate::operation::OperationUrl;
use crate::resource::Endpoint;
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::args::{OutputArgs, PollArgs};
use super::ci::Results;
use super::input::{parse, process_environment};
use super::runner;
use super::side::{SourceArgs, TargetArgs, both_sides};

/// Polls a copy that is already running: after a deadline, an interrupt or a lost connection.
///
/// The printed URL and the source's credential are enough. With the target's endpoint and credential as well, the copy is
/// verified on the target, and the blank model of a failed v2.1 copy is deleted there.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The operation to poll: the Operation-Location that frcopy printed
    #[arg(value_name = "OPERATION_URL")]
    operation: String,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    poll: PollArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(runner::refuse_with(Results::Copies, &error)),
    };
    let work = async |observer: Observer<'_>, cancel: &CancellationToken| wait(&plan, observer, cancel).await;
    runner::one_copy(&args.output, work, |_| None)
}

/// The URL determines the source. A different source endpoint is refused, because its key would be sent to another host.
fn plan(args: &WaitArgs) -> Result<WaitPlan, Error> {
    let (mut source, target) = both_sides(&args.source, &args.target, &process_environment)?;
    // Some shells keep the quotes of the printed line.
    let text = args.operation.trim().trim_matches(['\'', '"']);
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
