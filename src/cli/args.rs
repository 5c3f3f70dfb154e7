//! The command line as clap sees it. What the values mean is decided in `settings`.
#![expect(clippy::doc_markdown, reason = "these comments are the help text, which is read on a terminal")]

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

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
    #[cfg(feature = "emulator")]
    Emulator(EmulatorArgs),
    /// Shows the main job on this machine: a v2.1 and a v4.0 model are copied between two emulated resources.
    ///
    /// Nothing needs to be set up, nothing leaves this machine, and it takes a few seconds.
    #[cfg(feature = "emulator")]
    Demo,
}

/// Copies a model from the source resource to the target resource and waits for the verdict.
///
/// The id of the copy goes to stdout, and only when the copy is there and ready; everything else goes to stderr.
/// Keys belong into the environment or a file: on the command line they show in the process list.
#[derive(Debug, Args)]
#[command(after_help = COPY_EXAMPLES)]
pub(crate) struct CopyArgs {
    /// The model to copy
    #[arg(value_name = "MODEL_ID", required_unless_present = "model_id_option")]
    pub(crate) model_id: Option<String>,

    /// The model to copy, as an option
    #[arg(long = "model-id", id = "model_id_option", value_name = "ID", conflicts_with = "model_id")]
    pub(crate) model_id_option: Option<String>,

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

const COPY_EXAMPLES: &str = "\
Examples:
  The endpoints and keys stand in FRCOPY_SOURCE_ENDPOINT, FRCOPY_SOURCE_KEY, FRCOPY_TARGET_ENDPOINT
  and FRCOPY_TARGET_KEY.

  frcopy copy my-model
  frcopy copy my-model --target-model-id my-model-backup --tag backup=nightly
  frcopy copy 33f4d42c-cd2f-4e74-b990-a1aeafab5a5d --api-version 2.1 --target-region westus2 \\
      --target-resource-id /subscriptions/…/providers/Microsoft.CognitiveServices/accounts/contoso

Exit codes:
  0 the copy is there and ready    5 no such model, operation or resource
  1 anything unforeseen            6 the target id exists or is reserved
  2 usage or settings              7 not reachable, throttled or out of quota
  3 the copy failed                8 still under way at the deadline
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
}

#[derive(Debug, Args)]
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

    /// What to copy; classifiers are copied from v4.0 on
    #[arg(long, value_enum, default_value_t = KindArg::Model)]
    pub(crate) kind: KindArg,

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

    #[command(flatten)]
    pub(crate) follow: FollowArgs,
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
    /// What goes to stdout: the id of the copy, or one line of JSON
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
