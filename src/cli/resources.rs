//! `frcopy resources`: the named resources, and where each is defined.

use std::process::ExitCode;

use clap::Args;

use super::args::Format;
use super::config::ConfigArgs;
use super::console;
use super::exit_code::Code;
use super::input::process_environment;
use super::{json, runner, table};

/// Lists the named resources, and where each is defined.
///
/// It reads the configuration file and the environment, and sends no request. frcopy help configuration explains both.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResourcesArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Format of stdout: a table, or one line of JSON per resource
    #[arg(long = "output", value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,

    /// Print names only
    #[arg(short, long, conflicts_with = "format", help_heading = "Output")]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  frcopy resources
  frcopy resources --config ./frcopy.toml --output json";

const HEAD: [&str; 4] = ["NAME", "ENDPOINT", "AUTHENTICATION", "DEFINED IN"];

pub(super) fn run(args: &ResourcesArgs) -> ExitCode {
    let config = match args.config.load(&process_environment) {
        Ok(config) => config,
        Err(error) => return runner::refuse(&error),
    };
    let definitions = config.definitions();
    match args.format {
        Format::Json => json::print_lines(definitions.iter().map(json::named_resource)),
        Format::Text if args.quiet => json::print_lines(definitions.iter().map(|one| one.name.to_string())),
        Format::Text => {
            let row = |name: &str, endpoint: &str, authentication: &str, place: &str| {
                [name, endpoint, authentication, place].map(str::to_owned)
            };
            let rows =
                definitions.iter().map(|one| row(one.name.as_str(), &one.address(), one.authentication(), &one.place));
            table::print(HEAD, rows.collect());
        }
    }
    if definitions.is_empty() && !args.quiet {
        console::line(&format!("no resource has a name; define them in {}", config.place()));
    }
    Code::Success.into()
}
