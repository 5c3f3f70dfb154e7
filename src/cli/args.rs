//! The command line as clap sees it. What the values mean is decided in `settings`.
#![expect(clippy::doc_markdown, reason = "these comments are the help text, which is read on a terminal")]

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use super::authorize::AuthorizeArgs;
use super::check::CheckArgs;
use super::completions::{CompletionsArgs, ManArgs};
use super::list::ListArgs;

/// Copies custom models between Azure Form Recognizer / Document Intelligence resources, v2.1 to v4.0.
#[derive(Debug, Parser)]
#[command(
    name = "frcopy",
    bin_name = "frcopy",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Copy(Box<CopyArgs>),
    Wait(Box<WaitArgs>),
    List(Box<ListArgs>),
    Check(Box<CheckArgs>),
    Authorize(Box<AuthorizeArgs>),
    #[cfg(feature = "emulator")]
    Emulator(EmulatorArgs),
    /// Shows the main job on this machine: a v2.1 and a v4.0 model are copied between two emulated resources.
    ///
    /// Nothing needs to be set up, nothing leaves this machine, and it takes a few seconds.
    #[cfg(feature = "emulator")]
    Demo,
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Copies models from the source resource to the target resource and waits for the verdict.
///
/// The id of each copy goes to stdout, and only when the copy is there and ready; everything else goes to stderr.
/// Keys belong into the environment or a file: on the command line they show in the process list.
#[derive(Debug, Args)]
#[command(after_help = COPY_EXAMPLES, override_usage = COPY_USAGE, group(
    ArgGroup::new("what").required(true).multiple(true).args(["model_ids", "model_id", "from_file", "all", "include"])
))]
pub(crate) struct CopyArgs {
    /// The models and classifiers to copy
    #[arg(value_name = "MODEL_ID")]
    pub(crate) model_ids: Vec<String>,

    /// One of them, as an option; repeatable
    #[arg(long, value_name = "ID")]
    pub(crate) model_id: Vec<String>,

    #[command(flatten)]
    pub(crate) many: BatchArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    #[command(flatten)]
    pub(crate) address: TargetAddressArgs,

    #[command(flatten)]
    pub(crate) how: HowArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Which models, where it is not one that is named.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct BatchArgs {
    /// Everything that the source has and that is ready: models of every API version, and classifiers
    #[arg(long, conflicts_with_all = ["model_ids", "model_id", "from_file"])]
    pub(crate) all: bool,

    /// What this matches, such as 'invoices-*'; repeatable; v2.1 models also by name
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["model_ids", "model_id", "from_file"])]
    pub(crate) include: Vec<String>,

    /// Not what this matches, of --all or --include; repeatable
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["model_ids", "model_id", "from_file"])]
    pub(crate) exclude: Vec<String>,

    /// Ids from a file, one a line, - for stdin; blank lines and lines with # are left out
    #[arg(long, value_name = "PATH")]
    pub(crate) from_file: Option<PathBuf>,

    /// How many copies are under way at the same time, at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) jobs: u8,
}

/// Follows a copy that is already under way: after a deadline, an interrupt, a lost terminal.
///
/// The URL that frcopy printed and the source's credential are enough. With the target's endpoint and credential as well,
/// the copy is verified there, and the blank model of a failed v2.1 copy is given back.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Where the copy is followed: the Operation-Location of its start
    #[arg(value_name = "OPERATION_URL")]
    pub(crate) operation: String,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    #[command(flatten)]
    pub(crate) follow: FollowArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

const COPY_USAGE: &str = "\
frcopy copy [OPTIONS] <MODEL_ID>...
       frcopy copy [OPTIONS] --all | --include <GLOB> | --from-file <PATH>";

const COPY_EXAMPLES: &str = "\
Examples:
  The endpoints and keys stand in FRCOPY_SOURCE_ENDPOINT, FRCOPY_SOURCE_KEY, FRCOPY_TARGET_ENDPOINT
  and FRCOPY_TARGET_KEY.

  frcopy copy my-model
  frcopy copy my-model --target-model-id my-model-backup --tag backup=nightly
  frcopy copy --all --if-exists skip --id-map models.json
  frcopy copy --include 'invoices-*' --exclude '*-test' --if-exists replace --dry-run
  frcopy copy 33f4d42c-cd2f-4e74-b990-a1aeafab5a5d --api-version 2.1 --target-region westus2 \\
      --target-resource-id /subscriptions/…/providers/Microsoft.CognitiveServices/accounts/contoso

Exit codes (with several models the first of 4, 2, 3, 5, 6, 7, 8, 1):
  0 every copy is there and ready  5 no such model, operation or resource
  1 anything unforeseen            6 the target id exists or is reserved
  2 usage or settings              7 not reachable, throttled or out of quota
  3 a copy failed                  8 still under way at the deadline
  4 credentials refused            130, 143 interrupted, terminated";

#[derive(Debug, Args)]
#[command(next_help_heading = "Source resource")]
pub(crate) struct SourceArgs {
    /// Endpoint of the resource that has the model [env: FRCOPY_SOURCE_ENDPOINT]
    #[arg(long = "source-endpoint", id = "source_endpoint", value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// Key of that resource; shows in the process list [env: FRCOPY_SOURCE_KEY]
    #[arg(long = "source-key", id = "source_key", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: Option<SecretArg>,

    /// File with that key, - for stdin [env: FRCOPY_SOURCE_KEY_FILE]
    #[arg(long = "source-key-file", id = "source_key_file", value_name = "PATH", conflicts_with = "source_key")]
    pub(crate) key_file: Option<PathBuf>,

    /// How it lets us in: with a key, or with tokens of Entra ID [env: FRCOPY_SOURCE_AUTH] [default: key]
    #[arg(long = "source-auth", id = "source_auth", value_enum, value_name = "HOW")]
    pub(crate) auth: Option<AuthArg>,

    /// Tenant to ask for tokens, where it is not the identity's own [env: FRCOPY_SOURCE_TENANT]
    #[arg(long = "source-tenant", id = "source_tenant", value_name = "ID")]
    pub(crate) tenant: Option<String>,

    /// File with a token that is kept fresh by others, - for stdin; or the token in FRCOPY_SOURCE_TOKEN
    /// [env: FRCOPY_SOURCE_TOKEN_FILE]
    #[arg(long = "source-token-file", id = "source_token_file", value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,

    /// Name of that resource in Azure: the Azure CLI is asked for its endpoint
    /// [env: FRCOPY_SOURCE_ACCOUNT]
    #[arg(long = "source-account", id = "source_account", value_name = "NAME", conflicts_with = "source_endpoint")]
    pub(crate) account: Option<String>,

    /// Its resource group [env: FRCOPY_SOURCE_RESOURCE_GROUP]
    #[arg(long = "source-resource-group", id = "source_resource_group", value_name = "NAME")]
    pub(crate) resource_group: Option<String>,

    /// Its subscription, where it is not that of the Azure CLI [env: FRCOPY_SOURCE_SUBSCRIPTION]
    #[arg(long = "source-subscription", id = "source_subscription", value_name = "ID")]
    pub(crate) subscription: Option<String>,

    /// Ask the Azure CLI for its key as well
    #[arg(long = "source-key-from-az", id = "source_key_from_az", conflicts_with_all = ["source_key", "source_key_file"])]
    pub(crate) key_from_az: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Target resource")]
pub(crate) struct TargetArgs {
    /// Endpoint of the resource that receives the copy [env: FRCOPY_TARGET_ENDPOINT]
    #[arg(long = "target-endpoint", id = "target_endpoint", value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// Key of that resource; shows in the process list [env: FRCOPY_TARGET_KEY]
    #[arg(long = "target-key", id = "target_key", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: Option<SecretArg>,

    /// File with that key, - for stdin [env: FRCOPY_TARGET_KEY_FILE]
    #[arg(long = "target-key-file", id = "target_key_file", value_name = "PATH", conflicts_with = "target_key")]
    pub(crate) key_file: Option<PathBuf>,

    /// How it lets us in: with a key, or with tokens of Entra ID [env: FRCOPY_TARGET_AUTH] [default: key]
    #[arg(long = "target-auth", id = "target_auth", value_enum, value_name = "HOW")]
    pub(crate) auth: Option<AuthArg>,

    /// Tenant to ask for tokens, where it is not the identity's own [env: FRCOPY_TARGET_TENANT]
    #[arg(long = "target-tenant", id = "target_tenant", value_name = "ID")]
    pub(crate) tenant: Option<String>,

    /// File with a token that is kept fresh by others, - for stdin; or the token in FRCOPY_TARGET_TOKEN
    /// [env: FRCOPY_TARGET_TOKEN_FILE]
    #[arg(long = "target-token-file", id = "target_token_file", value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,

    /// Name of that resource in Azure: the Azure CLI is asked for its endpoint, resource id and region
    /// [env: FRCOPY_TARGET_ACCOUNT]
    #[arg(long = "target-account", id = "target_account", value_name = "NAME", conflicts_with = "target_endpoint")]
    pub(crate) account: Option<String>,

    /// Its resource group [env: FRCOPY_TARGET_RESOURCE_GROUP]
    #[arg(long = "target-resource-group", id = "target_resource_group", value_name = "NAME")]
    pub(crate) resource_group: Option<String>,

    /// Its subscription, where it is not that of the Azure CLI [env: FRCOPY_TARGET_SUBSCRIPTION]
    #[arg(long = "target-subscription", id = "target_subscription", value_name = "ID")]
    pub(crate) subscription: Option<String>,

    /// Ask the Azure CLI for its key as well
    #[arg(long = "target-key-from-az", id = "target_key_from_az", conflicts_with_all = ["target_key", "target_key_file"])]
    pub(crate) key_from_az: bool,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target resource")]
pub(crate) struct TargetAddressArgs {
    /// Azure resource id of the target, which v2.1 needs [env: FRCOPY_TARGET_RESOURCE_ID]
    #[arg(long = "target-resource-id", value_name = "ID")]
    pub(crate) resource_id: Option<String>,

    /// Region of the target, such as westus2, which v2.1 needs [env: FRCOPY_TARGET_REGION]
    #[arg(long = "target-region", value_name = "REGION")]
    pub(crate) region: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Copy")]
pub(crate) struct HowArgs {
    /// API version: 2.1, 3.0, 3.1, 4.0, one of the service's dates, or auto for the model's own
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    pub(crate) api_version: String,

    /// Models or classifiers, which are copied from v4.0 on; needed where an id is both [default: both]
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindArg>,

    /// Id of the copy (v3.0 and later) [default: the source's]
    #[arg(long, value_name = "ID")]
    pub(crate) target_model_id: Option<String>,

    /// Description of the copy (v3.0 and later), "" for none [default: the source's]
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,

    /// Tag of the copy (v3.0 and later), repeatable; given once, none is taken from the source [default: the source's]
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub(crate) tags: Vec<String>,

    /// Accept a copy that is less protected than the source: from customer-managed keys to none
    #[arg(long)]
    pub(crate) allow_degrade: bool,

    /// What to do where the target has the id: fail; skip what is of the same training; or replace what is not, without
    /// ever being without a copy. In v2.1, anything but fail skips a model whose copy is there
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = IfExistsArg::Fail)]
    pub(crate) if_exists: IfExistsArg,

    /// File that says which copy belongs to which v2.1 model, kept up to date; JSON
    #[arg(long, value_name = "PATH")]
    pub(crate) id_map: Option<PathBuf>,

    /// Copy with the leave in this file, which frcopy authorize has made on the target's side, - for stdin; nothing of the
    /// target is needed then
    #[arg(long, value_name = "FILE", conflicts_with_all = NOT_WITH_AUTHORIZATION)]
    pub(crate) authorization: Option<PathBuf>,

    /// Only say what would be copied and what stands in the way; nothing is changed
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) follow: FollowArgs,
}

/// What only the target's side can say or do.
const NOT_WITH_AUTHORIZATION: [&str; 23] = [
    "all",
    "include",
    "exclude",
    "from_file",
    "jobs",
    "target_endpoint",
    "target_key",
    "target_key_file",
    "target_auth",
    "target_tenant",
    "target_token_file",
    "target_account",
    "target_key_from_az",
    "resource_id",
    "region",
    "api_version",
    "kind",
    "target_model_id",
    "description",
    "tags",
    "if_exists",
    "id_map",
    "no_verify",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfExistsArg {
    Fail,
    Skip,
    Replace,
}

/// Which part of a resource is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct ScopeArgs {
    /// Models or classifiers only [default: both]
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindArg>,

    /// API version: 2.1, 3.0, 3.1, 4.0, one of the service's dates, or auto for all of them
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    pub(crate) api_version: String,
}

/// Patterns that pick models by their ids.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct PatternArgs {
    /// Only what this matches, such as 'invoices-*'; repeatable; v2.1 models also by name
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,

    /// Not what this matches; repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
}

/// What copying and waiting have in common.
#[derive(Debug, Args)]
#[command(next_help_heading = "Copy")]
pub(crate) struct FollowArgs {
    /// Leave out the last look at the target
    #[arg(long)]
    pub(crate) no_verify: bool,

    /// For the whole command, such as 90s, 30m or 1h30m
    #[arg(long, value_name = "DURATION", default_value = "30m", allow_hyphen_values = true)]
    pub(crate) timeout: String,

    /// From one question for the status to the next
    #[arg(long, value_name = "DURATION", default_value = "1s", allow_hyphen_values = true)]
    pub(crate) poll_interval: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// What goes to stdout: the ids of the copies, or one line of JSON for each
    #[arg(long = "output", value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// A line for each request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    Model,
    Classifier,
}

/// How a resource lets us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthArg {
    Key,
    Entra,
}

/// A secret from the command line: never shown, and never refused by clap, whose errors repeat what they refuse.
#[derive(Debug, Clone)]
pub(crate) struct SecretArg(pub(crate) SecretString);

impl FromStr for SecretArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

/// Runs two or more resources on this machine that speak the copy API of every version, until Ctrl-C.
///
/// What a shell needs to use them goes to stdout, a line for each request to stderr. They listen on the loopback
/// address only, and forget everything when they end.
#[cfg(feature = "emulator")]
#[derive(Debug, Args)]
#[command(after_help = EMULATOR_EXAMPLES)]
pub(crate) struct EmulatorArgs {
    /// How many resources: source, target, resource3 and so on
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(crate) resources: u8,

    /// Port of the first resource, the others follow; 0 for free ones
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,

    /// For which shell the settings are written
    #[arg(long, value_enum, default_value_t = Shell::Bash)]
    pub(crate) shell: Shell,

    /// Models of each version, and classifiers, that the source has
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) models: u16,

    /// How long a copy takes
    #[arg(long, value_name = "DURATION", default_value = "2s", allow_hyphen_values = true)]
    pub(crate) operation_time: String,

    /// How long each answer takes
    #[arg(long, value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    pub(crate) latency: String,

    /// Rate limits of each resource
    #[arg(long, value_enum, default_value_t = TierArg::Unlimited)]
    pub(crate) tier: TierArg,

    /// Let the next copy end with this error of the service, such as 2024 or ModelExists
    #[arg(long, value_name = "CODE")]
    pub(crate) fail: Option<String>,

    /// Give a resource an encryption key of its own, by name; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) encrypted: Vec<String>,

    /// How many models a resource may have, to rehearse a target that is full [default: the service's]
    #[arg(long, value_name = "N")]
    pub(crate) most_models: Option<usize>,
}

#[cfg(feature = "emulator")]
const EMULATOR_EXAMPLES: &str = "\
Examples:
  frcopy emulator
  frcopy emulator --port 7071 > settings.sh      # in another shell: . ./settings.sh
  frcopy emulator --tier f0 --models 5
  frcopy emulator --fail 2024                    # rehearse a failed copy
  frcopy emulator --encrypted source             # rehearse --allow-degrade";

#[cfg(feature = "emulator")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Powershell,
}

#[cfg(feature = "emulator")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierArg {
    Unlimited,
    F0,
    S0,
}
