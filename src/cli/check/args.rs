//! The arguments of `frcopy check`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::cli::args::{Format, PatternArgs, ScopeArgs};
use crate::cli::config::ConfigArgs;
use crate::cli::samples::SamplesArgs;
use crate::cli::side::{FromArg, SourceArgs, TargetArgs, ToArgs};

/// Compares source and target: what a failover would miss.
///
/// One line per model goes to stdout: = same, + only on the source, - only on the target, * differs, ! could not be read;
/// then the kind, the id, and the id of the copy if that is another one. Two models are the same if they come from the
/// same training. Copies of v2.1 models have other ids; they are paired by the manifest, or by name and dates. A model
/// that has expired, or that a preview version trained, counts as a difference.
/// With --samples, documents show whether both read alike: frcopy help samples.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct CheckArgs {
    /// Only these models and classifiers [default: all]
    #[arg(value_name = "MODEL_ID", conflicts_with_all = ["include", "exclude"])]
    pub(super) model_ids: Vec<String>,

    #[command(flatten)]
    pub(super) patterns: PatternArgs,

    #[command(flatten)]
    pub(super) scope: ScopeArgs,

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

    /// Ignore models that only the target has
    #[arg(long, help_heading = "Check")]
    pub(super) one_way: bool,

    /// Also report models that expire within this time, such as 60d; exit 9 if there are any, as if any has expired
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Check")]
    pub(super) expiring_within: Option<String>,

    /// Ids of the copies (v3.0 and later), if a template made them, such as '{id}-v2'
    #[arg(long, value_name = "TEMPLATE", help_heading = "Check")]
    pub(super) target_model_id: Option<String>,

    /// JSON file that records the copies, as of frcopy copy --manifest. Models that are the same are recorded as verified;
    /// when the source cannot be reached, the target is compared with the file, and the exit code is 7
    #[arg(long, value_name = "PATH", help_heading = "Check")]
    pub(super) manifest: Option<PathBuf>,

    /// Compare the target with the manifest alone; the source is not asked, and its credential is not needed
    #[arg(long, requires = "manifest", help_heading = "Check")]
    pub(super) target_only: bool,

    /// Exit 9 if a copy in the manifest was last verified longer ago than this, such as 26h
    #[arg(long, value_name = "DURATION", requires = "manifest", allow_hyphen_values = true, help_heading = "Check")]
    pub(super) max_age: Option<String>,

    #[command(flatten)]
    pub(super) samples: SamplesArgs,

    /// Deadline of the whole command
    #[arg(long, value_name = "DURATION", default_value = "30m", allow_hyphen_values = true, help_heading = "Check")]
    pub(super) timeout: String,

    /// Format of stdout: a sign, the kind and the ids, or one line of JSON per model
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    pub(super) format: Format,

    /// Nothing on stdout and only errors on stderr; the exit code is the result
    #[arg(short, long, conflicts_with_all = ["verbose", "format"], help_heading = "Output")]
    pub(super) quiet: bool,

    /// One line per request on stderr; -vv for more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub(super) verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  frcopy check
  frcopy check --from east --to west --to north
  frcopy check --one-way --expiring-within 60d
  frcopy check --manifest models.json --target-only --max-age 26h
  frcopy check --samples documents invoices-v4
  frcopy check --output json | jq 'select(.sign != \"=\").source.modelId'

Exit codes: 0 every line is =, 5 there is nothing to compare,
  7 the source or the target cannot be reached,
  9 source and target differ, a model has expired, a copy is too old;
  frcopy help exit-codes explains all of them";
