//! `frcopy completions` and `frcopy man`: for shells, packagers and people who read manuals.

use std::process::ExitCode;

use crate::error::Error;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::report;

/// Prints the completions of a shell, to be put where it looks for them.
#[derive(Debug, Args)]
#[command(after_help = WHERE_COMPLETIONS_GO)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

const WHERE_COMPLETIONS_GO: &str = "\
Examples:
  frcopy completions bash > ~/.local/share/bash-completion/completions/frcopy
  frcopy completions zsh > \"${fpath[1]}/_frcopy\"
  frcopy completions fish > ~/.config/fish/completions/frcopy.fish
  frcopy completions powershell >> $PROFILE
  frcopy completions elvish >> ~/.config/elvish/rc.elv";

/// Prints the manual page of frcopy or of one of its commands, in roff.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  frcopy man | man -l -\n  frcopy man copy > frcopy-copy.1")]
pub(crate) struct ManArgs {
    /// Of which command [default: frcopy itself, with a list of the commands]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "frcopy", &mut script);
    report::document(&script);
    ExitCode::SUCCESS
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let page = match page_of(args.command.as_deref()) {
        Ok(command) => command,
        Err(error) => return Ok(super::refuse(&error)),
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff)?;
    report::document(&roff);
    Ok(ExitCode::SUCCESS)
}

/// The command that a page is about; a subcommand has the page `frcopy-copy`.
fn page_of(name: Option<&str>) -> Result<Command, Error> {
    let mut cli = Cli::command();
    // Lets every command know its version and how it is called.
    cli.build();
    let Some(name) = name else { return Ok(cli) };
    let known: Vec<_> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = cli.find_subcommand(name).cloned().ok_or_else(|| {
        Error::settings(format!("there is no command {name:?}"), format!("choose one of {}", known.join(", ")))
    })?;
    Ok(command.display_name(format!("frcopy-{name}")))
}
