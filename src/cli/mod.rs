//! The command line of frcopy: arguments, output and exit codes. Nothing else in the library imports this.
//!
//! Each command has a file with its arguments, its plan and its run. Commands print through `console` (stderr, for
//! people), `json` (stdout, for scripts) and `ci` (CI systems).

mod account_query;
mod args;
mod authorization_file;
mod authorize;
mod az;
mod check;
mod ci;
mod completions;
mod config;
mod console;
mod copy;
mod copy_result;
mod dates;
mod deadline;
#[cfg(feature = "emulator")]
mod demo;
mod doctor;
#[cfg(feature = "emulator")]
mod emulator;
mod error_text;
mod event_text;
mod exit_code;
mod explain;
mod help;
mod input;
mod json;
mod key_command;
mod list;
mod nearest;
mod prune;
mod request_log;
mod resources;
mod retirement;
mod runner;
mod samples;
mod samples_object;
mod screen;
mod side;
mod side_names;
mod signals;
mod status;
mod table;
mod usage_error;
mod wait;
mod wrapping;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::Error;
use exit_code::Code;
use input::{parse_timeout, without_keys};

/// Copies custom models between Azure Form Recognizer / Document Intelligence resources, v2.1 to v4.0.
#[derive(Debug, Parser)]
#[command(
    name = "frcopy",
    bin_name = "frcopy",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = help::TOPICS_HINT
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Copy(Box<copy::CopyArgs>),
    Wait(Box<wait::WaitArgs>),
    List(Box<list::ListArgs>),
    Check(Box<check::CheckArgs>),
    Authorize(Box<authorize::AuthorizeArgs>),
    Doctor(Box<doctor::DoctorArgs>),
    Prune(Box<prune::PruneArgs>),
    Resources(resources::ResourcesArgs),
    #[cfg(feature = "emulator")]
    Emulator(Box<emulator::EmulatorArgs>),
    /// Copies a v2.1 and a v4.0 model between two emulated resources on this machine.
    ///
    /// It needs no settings, sends nothing to the network, and takes a few seconds.
    #[cfg(feature = "emulator")]
    Demo,
    Explain(explain::ExplainArgs),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
    Help(help::HelpArgs),
}

/// Parses the command line, runs the command, and returns the exit code of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    run(&cli.command).unwrap_or_else(|error| {
        console::plain_error(&format!("{error:#}"));
        Code::Unforeseen.into()
    })
}

/// The arguments, or the exit code after help, the version or an error was printed.
fn parse() -> Result<Cli, ExitCode> {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let command = matches.subcommand().map(|(_, matches)| matches);
        let timeout = command.and_then(|matches| matches.try_get_one::<String>("timeout").ok().flatten());
        // A text that is not a duration is refused later.
        deadline::start(timeout.and_then(|text| parse_timeout(text).ok()));
        Cli::from_arg_matches(&matches)
    });
    parsed.map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A closed pipe is no error.
            let _ = error.print();
            return Code::Success.into();
        }
        let arguments: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        if let Some(error) = usage_error::of_clap(&error, &Cli::command(), &arguments) {
            console::error(&error);
            publish_usage_error(&error.to_string());
            return Code::Settings.into();
        }
        let error = usage_error::with_clean_values(error);
        screen::print_coloured(&without_keys(&error.render().ansi().to_string()));
        let text = without_keys(&error.render().to_string());
        ci::error(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
        publish_usage_error(&text);
        Code::Settings.into()
    })
}

/// Tells the CI system the first line of a usage error, without the usage. There are no parsed arguments that say which
/// results the command has.
fn publish_usage_error(text: &str) {
    let Some(line) = text.lines().next().map(|line| line.trim_start_matches("error: ")) else { return };
    let results = match std::env::args().nth(1).as_deref() {
        Some("copy" | "wait") => ci::Results::Copies,
        Some("check") => ci::Results::Check,
        _ => ci::Results::None,
    };
    let error = Error::settings(line, "see frcopy --help");
    drop(console::unpublished(ci::publish_failure(results, &error)));
}

/// Runs a command. An error is one that has no exit code of its own.
fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let code = match command {
        Command::Copy(args) => copy::run(args),
        Command::Wait(args) => wait::run(args),
        Command::List(args) => list::run(args),
        Command::Check(args) => check::run(args),
        Command::Authorize(args) => authorize::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Prune(args) => prune::run(args),
        Command::Resources(args) => Ok(resources::run(args)),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(args),
        #[cfg(feature = "emulator")]
        Command::Demo => demo::run(),
        Command::Explain(args) => Ok(explain::run(args)),
        Command::Completions(args) => Ok(completions::completions(args, Cli::command())),
        Command::Man(args) => completions::man(args, Cli::command()),
        Command::Help(args) => Ok(help::run(args, Cli::command())),
    }?;
    let Some(error) = json::stdout_error() else { return Ok(code) };
    console::plain_error(&format!("stdout is incomplete: {error}"));
    Ok(if code == ExitCode::SUCCESS { Code::Unforeseen.into() } else { code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_examples_fit_into_the_80_columns_of_a_manual_page() {
        const INDENT: usize = 7;
        for command in Cli::command().get_subcommands() {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let longest = examples.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(longest.chars().count() + INDENT <= 80, "{}: {longest}", command.get_name());
        }
    }
}
