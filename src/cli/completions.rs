//! `frcopy completions` and `frcopy man`.

use std::process::ExitCode;

use crate::error::Error;
use clap::{Args, Command};
use clap_complete::Shell;

use super::{json, runner};

/// Prints the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  cd ~/.local/share/bash-completion/completions
  frcopy completions bash > frcopy
  frcopy completions zsh > \"${fpath[1]}/_frcopy\"
  frcopy completions fish > ~/.config/fish/completions/frcopy.fish
  frcopy completions powershell >> $PROFILE
  frcopy completions elvish >> ~/.config/elvish/rc.elv";

/// Prints the manual page of frcopy or of one of its commands, in roff.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  frcopy man | man -l -\n  frcopy man copy > frcopy-copy.1")]
pub(super) struct ManArgs {
    /// The command [default: frcopy itself, with a list of the commands]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(super) fn completions(args: &CompletionsArgs, mut cli: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "frcopy", &mut script);
    json::print_document(&script);
    ExitCode::SUCCESS
}

pub(super) fn man(args: &ManArgs, cli: Command) -> anyhow::Result<ExitCode> {
    let page = match page_of(args.command.as_deref(), cli) {
        Ok(command) => command,
        Err(error) => return Ok(runner::refuse(&error)),
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff)?;
    // Without hyphenation and justification: both would break up names of options and variables.
    let roff = String::from_utf8_lossy(&roff).replacen(".SH NAME", ".nh\n.ad l\n.SH NAME", 1);
    json::print_document(roff.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// The command of a page. The page of a subcommand is called `frcopy-copy`.
fn page_of(name: Option<&str>, mut cli: Command) -> Result<Command, Error> {
    // Sets the version and the full name of every subcommand.
    cli.build();
    let Some(name) = name else { return Ok(cli) };
    let known: Vec<_> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = cli.find_subcommand(name).cloned().ok_or_else(|| {
        Error::settings(format!("there is no command {name:?}"), format!("choose one of {}", known.join(", ")))
    })?;
    Ok(command.display_name(format!("frcopy-{name}")))
}
