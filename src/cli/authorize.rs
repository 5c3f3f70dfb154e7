//! `frcopy authorize`: issues or revokes an authorization, for a copy between parties that share no credentials.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::authorization_file::AuthorizationFile;
use crate::copy::{self, AuthorizePlan, Event};
use crate::error::Error;
use crate::model::Kind;
use crate::resource::Resource;
use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use super::args::{Format, KindArg, OutputArgs};
use super::authorization_file::{self, NewFile};
use super::ci::Results;
use super::config::ConfigArgs;
use super::console::{self, Console, Verbosity};
use super::input::{STDIN, parse, parse_description, parse_tags, parse_timeout, process_environment};
use super::side::{SideSettings, Sides, TargetAddressArgs, TargetArgs, ToArg};
use super::side_names::SideNames;
use super::{ci, exit_code, json, runner};

/// Issues an authorization to copy one model into the target resource, for a person without the target's credential.
///
/// The reserved id goes to stdout. The file contains the service's authorization, which allows its holder to copy one
/// model into the target, once. It expires after 24 hours (v2.1) or one hour (v3.0 and later).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, group(
    ArgGroup::new("doing").required(true).args(["out", "revoke"])
))]
pub(super) struct AuthorizeArgs {
    /// Id of the copy (v3.0 and later); for v2.1 the service chooses it
    #[arg(value_name = "TARGET_MODEL_ID", conflicts_with = "revoke")]
    target_model_id: Option<String>,

    /// New file for the authorization, readable by its owner only; - for stdout, instead of the id
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Release the id that the authorization in this file has reserved; no copy may be using it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["api_version", "kind", "description", "tags"])]
    revoke: Option<PathBuf>,

    /// API version of the copy: the version that trained the model
    #[arg(long, value_name = "VERSION", default_value = "4.0", help_heading = "Copy")]
    api_version: String,

    /// A model or a classifier. Classifiers are copied from v4.0 on
    #[arg(long, value_enum, default_value_t = KindArg::Model, help_heading = "Copy")]
    kind: KindArg,

    /// Description of the copy (v3.0 and later)
    #[arg(long, value_name = "TEXT", help_heading = "Copy")]
    description: Option<String>,

    /// Tag of the copy (v3.0 and later); repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE", help_heading = "Copy")]
    tags: Vec<String>,

    #[command(flatten)]
    to: ToArg,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    address: TargetAddressArgs,

    /// Deadline of the whole command
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
  With the target's credential:
  frcopy authorize my-model --out authorization.json

  With the source's credential:
  frcopy copy my-model --authorization authorization.json

  With the target's credential, if the authorization was not used:
  frcopy authorize --revoke authorization.json

  For a v2.1 model, whose copy gets a new id:
  frcopy authorize --api-version 2.1 --out authorization.json";

pub(super) fn run(args: &AuthorizeArgs) -> anyhow::Result<ExitCode> {
    match (&args.out, &args.revoke) {
        (_, Some(path)) => run_revoke(args, path),
        (Some(path), None) => run_authorize(args, path),
        // clap requires one of the two.
        (None, None) => Ok(ExitCode::FAILURE),
    }
}

fn run_authorize(args: &AuthorizeArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let begun = plan(args).and_then(|plan| Ok((plan, NewFile::create(path)?)));
    let (plan, file) = match begun {
        Ok(begun) => begun,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    let verbosity = args.output.verbosity();
    let plan = &plan;
    let work = async move |console: &Console, cancel: &CancellationToken| {
        let reporter = console.copy_reporter(SideNames::of(None, &plan.target));
        let keep = |authorization: &AuthorizationFile| {
            ci::mask(&authorization.authorization.access_token);
            file.write(&authorization.to_json())
        };
        copy::authorize(plan, &|event: Event<'_>| reporter.show(&event), cancel, keep).await
    };
    runner::until_signal(verbosity, Results::None, work, |issued, signal| {
        if verbosity >= Verbosity::Normal {
            console::line(&next_step(&issued, path));
        }
        let id = issued.authorization.target_model_id.as_str();
        match args.output.format {
            // Stdout has the authorization already.
            _ if path == Path::new(STDIN) => {}
            Format::Json => json::print_line(&json::authorization("authorized", &issued, plan.target.name.as_ref())),
            Format::Text => json::print_line(id),
        }
        exit_code::from_errors(&console::unpublished(ci::publish_authorization(id)), signal)
    })
}

/// Prints what the authorization allows, and the command that uses it.
fn next_step(issued: &AuthorizationFile, path: &Path) -> String {
    let kind = issued.kind;
    let file = if path == Path::new(STDIN) { "the authorization on stdout".into() } else { path.display().to_string() };
    format!(
        "{file} allows its holder to copy one {kind} with API {} until {:.0}: frcopy copy MODEL_ID --authorization FILE",
        issued.version, issued.authorization.expires
    )
}

fn run_revoke(args: &AuthorizeArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let (authorization, target, timeout) = match revocation(args, path) {
        Ok(revocation) => revocation,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    let verbosity = args.output.verbosity();
    let work = async |console: &Console, cancel: &CancellationToken| {
        let reporter = console.copy_reporter(SideNames::of(None, &target));
        copy::revoke(&target, &authorization, timeout, &|event: Event<'_>| reporter.show(&event), cancel).await
    };
    runner::until_signal(verbosity, Results::None, work, |(), _| {
        if args.output.format == Format::Json {
            json::print_line(&json::authorization("revoked", &authorization, target.name.as_ref()));
        }
        ExitCode::SUCCESS
    })
}

fn plan(args: &AuthorizeArgs) -> Result<AuthorizePlan, Error> {
    let target = target_settings(args)?;
    let target_address = args.address.address(&target, &process_environment)?;
    let target = args.address.resource(&target, &process_environment)?;
    let plan = AuthorizePlan {
        target,
        api_version: parse("--api-version", &args.api_version)?,
        kind: Kind::from(args.kind),
        target_model_id: args.target_model_id.as_deref().map(|id| parse("the model id", id)).transpose()?,
        target_address,
        description: args.description.as_deref().map(parse_description).transpose()?,
        tags: parse_tags(&args.tags)?,
        timeout: parse_timeout(&args.timeout)?,
    };
    plan.check().map(|()| plan)
}

fn target_settings(args: &AuthorizeArgs) -> Result<SideSettings, Error> {
    Sides::new(&args.config, &process_environment).target(args.to.to.as_ref(), &args.target)
}

/// The target is that of the settings, and must be that of the file. The file alone does not determine where a key is sent:
/// another party may have changed it.
fn revocation(args: &AuthorizeArgs, path: &Path) -> Result<(AuthorizationFile, Resource, Duration), Error> {
    let authorization = authorization_file::read(path)?;
    let target = target_settings(args)?.resource()?;
    let timeout = parse_timeout(&args.timeout)?;
    if target.endpoint != authorization.target {
        return Err(Error::settings(
            format!("the authorization is for {}, and the target endpoint is another one", authorization.target),
            "give the endpoint and the credential of the target that issued the authorization",
        ));
    }
    Ok((authorization, target, timeout))
}
