//! The arguments of `frcopy copy`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use crate::cli::args::{KindArg, OutputArgs, PollArgs};
use crate::cli::config::ConfigArgs;
use crate::cli::side::{FromArg, SourceArgs, TargetAddressArgs, TargetArgs, ToArgs, target_ids};

/// Copies models from the source resource to the target resource and waits for the verdict.
///
/// The id of each copy goes to stdout, and only if the copy exists and is ready; everything else goes to stderr. Give keys
/// in the environment or in a file: on the command line they are visible in the process list.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, group(
    ArgGroup::new("what").required(true).multiple(true).args(["model_ids", "model_id", "from_file", "all", "include"])
))]
pub(in crate::cli) struct CopyArgs {
    /// The models and classifiers to copy
    #[arg(value_name = "MODEL_ID")]
    pub(super) model_ids: Vec<String>,

    /// A model or classifier to copy, as an option; repeatable
    #[arg(long, value_name = "ID")]
    pub(super) model_id: Vec<String>,

    #[command(flatten)]
    pub(super) batch: BatchArgs,

    #[command(flatten)]
    pub(super) from: FromArg,

    #[command(flatten)]
    pub(super) to: ToArgs,

    #[command(flatten)]
    pub(super) config: ConfigArgs,

    #[command(flatten)]
    pub(super) source: SourceArgs,

    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) address: TargetAddressArgs,

    #[command(flatten)]
    pub(super) options: CopyOptionArgs,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Which models are copied, if they are not named.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct BatchArgs {
    /// Every ready model and classifier of the source, of every API version
    #[arg(long, conflicts_with_all = ["model_ids", "model_id", "from_file"])]
    pub(super) all: bool,

    /// Ids that match, such as 'invoices-*'; repeatable; v2.1 models also by name
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["model_ids", "model_id", "from_file"])]
    pub(super) include: Vec<String>,

    /// Without ids that match, for --all and --include; repeatable
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["model_ids", "model_id", "from_file"])]
    pub(super) exclude: Vec<String>,

    /// File with one id per line, - for stdin; blank lines and lines that start with # are ignored
    #[arg(long, value_name = "PATH")]
    pub(super) from_file: Option<PathBuf>,

    /// Maximum number of copies at the same time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) jobs: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Copy")]
pub(super) struct CopyOptionArgs {
    /// API version: 2.1, 3.0, 3.1, 4.0, one of the service's dates, or auto for the model's own
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    pub(super) api_version: String,

    /// Copy models or classifiers only; needed if an id is both. Classifiers are copied from v4.0 on [default: both]
    #[arg(long, value_enum)]
    pub(super) kind: Option<KindArg>,

    /// Id of the copy (v3.0 and later), or a template such as '{id}-v2' for several [default: the source's; for a model that
    /// the manifest records as a copy of one of the target, the id of that one]
    #[arg(long, value_name = "ID")]
    pub(super) target_model_id: Option<String>,

    /// Description of the copy (v3.0 and later), "" for none; not for classifiers [default: the source's]
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,

    /// Tag of the copy (v3.0 and later); repeatable; replaces all tags of the source; not for classifiers [default: the
    /// source's]
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub(super) tags: Vec<String>,

    /// Accept a copy with less protection: without the source's customer-managed key
    #[arg(long)]
    pub(super) allow_degrade: bool,

    /// If the target has the id: fail; skip a model of the same training; or replace a different one, while one of the two
    /// is always available. For v2.1, skip and replace both skip a model that has a copy
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = IfExistsArg::Fail)]
    pub(super) if_exists: IfExistsArg,

    /// JSON file that records each copy: ids, training, and when it was last verified; created and updated. PATH.journal,
    /// which is private, keeps what a crash would lose
    #[arg(long, value_name = "PATH")]
    pub(super) manifest: Option<PathBuf>,

    /// Copy with the authorization in this file, which frcopy authorize wrote for the target, - for stdin; the target's
    /// endpoint and credential are not needed
    #[arg(long, value_name = "FILE", conflicts_with_all = not_with_authorization())]
    pub(super) authorization: Option<PathBuf>,

    /// Show what would be copied and what would prevent it; only read requests are sent
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) poll: PollArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum IfExistsArg {
    Fail,
    Skip,
    Replace,
}

/// The arguments that need the target's credential, or that the authorization has fixed already.
fn not_with_authorization() -> impl Iterator<Item = String> {
    let of_copy = [
        "all",
        "include",
        "exclude",
        "from_file",
        "jobs",
        "api_version",
        "kind",
        "target_model_id",
        "description",
        "tags",
        "if_exists",
        "manifest",
        "no_verify",
    ];
    of_copy.into_iter().map(str::to_owned).chain(target_ids())
}

const USAGE: &str = "\
frcopy copy [OPTIONS] <MODEL_ID>...
       frcopy copy [OPTIONS] --all | --include <GLOB> | --from-file <PATH>";

/// No line is longer than 72 characters: manual pages indent it, and fit into 80 columns.
const EXAMPLES: &str = "\
Examples:
  With the endpoints and keys in the environment: FRCOPY_SOURCE_ENDPOINT,
  FRCOPY_SOURCE_KEY, FRCOPY_TARGET_ENDPOINT and FRCOPY_TARGET_KEY

  frcopy copy my-model
  frcopy copy --from east --to west my-model
  frcopy copy --from east --to west --to north --all --if-exists skip
  frcopy copy my-model --target-model-id my-backup --tag backup=nightly
  frcopy copy --all --if-exists skip --manifest models.json
  frcopy copy --include 'invoices-*' --if-exists replace --dry-run

  A v2.1 model, with the target's Azure resource id in RESOURCE_ID:

  frcopy copy 33f4d42c-cd2f-4e74-b990-a1aeafab5a5d --api-version 2.1 \\
      --target-region westus2 --target-resource-id $RESOURCE_ID

Exit codes (frcopy help exit-codes explains them):
  0 every copy exists and is ready   5 no such model, nothing selected
  1 fault of frcopy itself           6 the target id exists
  2 usage or settings                7 unreachable or rate limited
  3 a copy failed                    8 no verdict, may be running
  4 credentials rejected             130, 143 interrupted, terminated";
