//! `frcopy completions` and `frcopy man`.

use std::process::ExitCode;

use crate::error::Error;
use clap::{Args, Command};
use clap_complete::Shell;

use super::help::{self, Topic};
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

/// Prints the manual page of frcopy, of one of its commands or of a help topic, in roff.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  frcopy man | man -l -\n  frcopy man copy > frcopy-copy.1\n  frcopy man guarantees | man -l -"
)]
pub(super) struct ManArgs {
    /// The command or the topic [default: frcopy itself, with a list of the commands]
    #[arg(value_name = "COMMAND_OR_TOPIC")]
    name: Option<String>,
}

pub(super) fn completions(args: &CompletionsArgs, mut cli: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "frcopy", &mut script);
    json::print_document(&script);
    ExitCode::SUCCESS
}

pub(super) fn man(args: &ManArgs, cli: Command) -> anyhow::Result<ExitCode> {
    if let Some(topic) = args.name.as_deref().and_then(Topic::find) {
        json::print_document(topic_page(topic).as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let page = match page_of(args.name.as_deref(), cli) {
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

/// The manual page of a topic: its text as it is.
fn topic_page(topic: &Topic) -> String {
    let Topic { name, .. } = topic;
    let mut page = format!(
        ".TH frcopy-{name} 7 \"\" \"frcopy {}\"\n.SH NAME\nfrcopy-{name} \\- {}\n.SH DESCRIPTION\n.nf\n.in 0\n",
        env!("CARGO_PKG_VERSION"),
        topic.title()
    );
    for line in topic.text().replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").lines() {
        // The zero-width \\& keeps a line from being read as a request.
        page = page + "\\&" + line + "\n";
    }
    page + ".fi\n"
}

/// The command of a page. The page of a subcommand is called `frcopy-copy`.
fn page_of(name: Option<&str>, mut cli: Command) -> Result<Command, Error> {
    // Sets the version and the full name of every subcommand.
    cli.build();
    let Some(name) = name else { return Ok(cli) };
    let command = cli.find_subcommand(name).cloned().ok_or_else(|| help::no_command_or_topic(name, &cli))?;
    Ok(command.display_name(format!("frcopy-{name}")))
}
