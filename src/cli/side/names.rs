//! The options that choose resources by name.

use clap::Args;

use super::flags::{address_flag_ids, flag_ids};
use crate::resource::Side;

/// The source by name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Named resources")]
pub(in crate::cli) struct FromArg {
    /// Name of the source, instead of its flags and variables
    #[arg(long, value_name = "NAME", conflicts_with_all = flag_ids(Side::Source))]
    pub(in crate::cli) from: Option<String>,
}

/// The target by name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Named resources")]
pub(in crate::cli) struct ToArg {
    /// Name of the target, instead of its flags and variables
    #[arg(long, value_name = "NAME", conflicts_with_all = flag_ids(Side::Target))]
    pub(in crate::cli) to: Option<String>,
}

/// One target or several by name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Named resources")]
pub(in crate::cli) struct ToArgs {
    /// Name of the target, instead of its flags and variables; repeatable
    #[arg(long, value_name = "NAME", conflicts_with_all = flag_ids(Side::Target))]
    pub(in crate::cli) to: Vec<String>,
}

/// The ids of all arguments of the target, for an argument that conflicts with them.
pub(in crate::cli) fn target_ids() -> impl Iterator<Item = String> {
    flag_ids(Side::Target).chain(address_flag_ids()).chain(["to".to_owned()])
}
