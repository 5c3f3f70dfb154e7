//! `frcopy authorize`: the target's half of a copy between parties that share no keys, and its taking back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::api::version::ApiVersion;
use crate::authorization_file::AuthorizationFile;
use crate::copy::{self, AuthorizePlan, Event};
use crate::error::Error;
use crate::model::Kind;
use crate::resource::Resource;
use clap::{ArgGroup, Args};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{Format, KindArg, OutputArgs, TargetAddressArgs, TargetArgs};
use super::authorization_file::NewFile;
use super::progress::{Progress, Verbosity};
use super::settings::STDIN;
use super::{authorization_file, ci, exit_code, report, settings};

/// Gives leave to copy one model into the target resource, for somebody who has the source's credential and not the
/// target's.
///
/// The id that is reserved goes to stdout. The file holds the service's authorization: whoever has it can copy one model
/// into the target, once. It lives for 24 hours in v2.1 and for one hour later.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, group(
    ArgGroup::new("doing").required(true).args(["out", "revoke"])
))]
pub(crate) struct AuthorizeArgs {
    /// Id that the copy will have (v3.0 and later); v2.1 chooses it itself
    #[arg(value_name = "TARGET_MODEL_ID", conflicts_with = "revoke")]
    target_model_id: Option<String>,

    /// New file for the authorization, which only its owner may read; - for stdout, in the place of the id
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Give back what the authorization in this file has reserved; it must not be in use
    #[arg(long, value_name = "FILE", conflicts_with_all = ["api_version", "kind", "description", "tags"])]
    revoke: Option<PathBuf>,

    /// API version that the model is copied with: its own
    #[arg(long, value_name = "VERSION", default_value = "4.0", help_heading = "Copy")]
    api_version: String,

    /// A model or a classifier, which is copied from v4.0 on
    #[arg(long, value_enum, default_value_t = KindArg::Model, help_heading = "Copy")]
    kind: KindArg,

    /// Description of the copy (v3.0 and later)
    #[arg(long, value_name = "TEXT", help_heading = "Copy")]
    description: Option<String>,

    /// Tag of the copy (v3.0 and later), repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE", help_heading = "Copy")]
    tags: Vec<String>,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    address: TargetAddressArgs,

    /// For the whole command
    #[arg(long, value_name = "DURATION", default_value = "5m", allow_hyphen_values = true, help_heading = "Copy")]
    timeout: String,

    #[command(flatten)]
    output: OutputArgs,
}

const USAGE: &str = "\
frcopy authorize [OPTIONS] <TARGET_MODEL_ID> --out <FILE>
       frcopy authorize [OPTIONS] --api-version 2.1 --out <FILE>
       frcopy authorize [OPTIONS] --revoke <FILE>";

const EXAMPLES: &str = "\
Examples:
  frcopy authorize my-model --out leave.json             # on the target's side
  frcopy copy my-model --authorization leave.json        # on the source's side
  frcopy authorize --revoke leave.json                   # on the target's side, if it was not used
  frcopy authorize --api-version 2.1 --out leave.json    # v2.1 chooses the id";

pub(crate) fn run(args: &AuthorizeArgs) -> anyhow::Result<ExitCode> {
    match (&args.out, &args.revoke) {
        (_, Some(path)) => run_revoke(args, path),
        (Some(path), None) => run_authorize(args, path),
        // clap has asked for one of the two.
        (None, None) => Ok(ExitCode::FAILURE),
    }
}

fn run_authorize(args: &AuthorizeArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let begun = plan(args).and_then(|plan| Ok((plan, NewFile::create(path)?)));
    let (plan, file) = match begun {
        Ok(begun) => begun,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.output.quiet, args.output.verbose);
    let plan = &plan;
    let work = async move |progress: &Progress, cancel: &CancellationToken| {
        let reporter = progress.reporter();
        let keep = |handover: &AuthorizationFile| {
            ci::mask(&handover.authorization.access_token);
            file.write(&handover.to_json())
        };
        copy::authorize(plan, &|event: Event<'_>| reporter.show(&event), cancel, keep).await
    };
    super::see_through(verbosity, work, |handover, signal| {
        if verbosity >= Verbosity::Normal {
            report::say(&handed_out(&handover, path));
        }
        let id = handover.authorization.target_model_id.as_str();
        match args.output.format {
            // There the authorization stands already.
            _ if path == Path::new(STDIN) => {}
            Format::Json => report::result(&json("authorized", &handover)),
            Format::Text => report::result(id),
        }
        exit_code::of(&report::handed_on(ci::authorized(id)), signal)
    })
}

fn handed_out(handover: &AuthorizationFile, path: &Path) -> String {
    let kind = handover.kind;
    let file = if path == Path::new(STDIN) { "what stands on stdout".into() } else { path.display().to_string() };
    format!(
        "whoever has {file} can copy one {kind} with API {} until {:.0}: frcopy copy MODEL_ID --authorization FILE",
        handover.version, handover.authorization.expires
    )
}

fn run_revoke(args: &AuthorizeArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let (handover, target, timeout) = match revocation(args, path) {
        Ok(revocation) => revocation,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let verbosity = Verbosity::new(args.output.quiet, args.output.verbose);
    let work = async |progress: &Progress, cancel: &CancellationToken| {
        let reporter = progress.reporter();
        copy::revoke(&target, &handover, timeout, &|event: Event<'_>| reporter.show(&event), cancel).await
    };
    super::see_through(verbosity, work, |(), _| {
        if args.output.format == Format::Json {
            report::result(&json("revoked", &handover));
        }
        ExitCode::SUCCESS
    })
}

fn plan(args: &AuthorizeArgs) -> Result<AuthorizePlan, Error> {
    let environment = &settings::process_environment;
    let (target, target_address) = settings::target_with_address(&args.target, &args.address, environment)?;
    let plan = AuthorizePlan {
        target,
        api_version: settings::parse::<ApiVersion>("--api-version", &args.api_version)?,
        kind: Kind::from(args.kind),
        target_model_id: args.target_model_id.as_deref().map(|id| settings::parse("the model id", id)).transpose()?,
        target_address,
        description: args.description.as_deref().map(settings::check_description).transpose()?,
        tags: settings::parse_tags(&args.tags)?,
        timeout: settings::parse_duration("--timeout", &args.timeout)?,
    };
    plan.check().map(|()| plan)
}

/// The file says which resource it is about; a setting that says otherwise is refused.
fn revocation(args: &AuthorizeArgs, path: &Path) -> Result<(AuthorizationFile, Resource, std::time::Duration), Error> {
    let environment = &settings::process_environment;
    let handover = authorization_file::read(path)?;
    let target = settings::target_at(&args.target, &handover.target, environment)?;
    let timeout = settings::parse_duration("--timeout", &args.timeout)?;
    if target.endpoint != handover.target {
        return Err(Error::settings(
            format!("the authorization is of {}, and the target endpoint is another one", handover.target),
            "give the target that has made the authorization, with its credential",
        ));
    }
    Ok((handover, target, timeout))
}

/// The object of `--output json`. Fields are added, never changed; what is absent is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    status: &'static str,
    kind: String,
    api_version: String,
    target: Target<'a>,
    expires_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    endpoint: String,
    model_id: &'a str,
}

fn json(status: &'static str, handover: &AuthorizationFile) -> String {
    let AuthorizationFile { target, version, kind, authorization, .. } = handover;
    let json = Json {
        schema: "frcopy.authorize/1",
        status,
        kind: kind.to_string(),
        api_version: version.to_string(),
        target: Target { endpoint: target.to_string(), model_id: authorization.target_model_id.as_str() },
        expires_at: format!("{:.0}", authorization.expires),
    };
    // Strings cannot fail to be written.
    serde_json::to_string(&json).unwrap_or_default()
}
