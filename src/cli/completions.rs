//! `frcopy completions` and `frcopy man`.

use std::process::ExitCode;

use crate::error::Error;
use clap::{Args, Command};
use clap_complete::Shell;

use super::help::{self, Topic};
use super::{json, runner};

/// Prints the completion script of a shell.
///
/// bash, zsh and fish complete the names of resources as well: those that frcopy resources -q prints. They need frcopy in
/// the path.
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

/// Stands for the names of resources, which are known when a word is completed and not when the script is generated.
/// Completion by the binary itself (`clap_complete::CompleteEnv`) is behind features that are not stable, and makes the
/// binary larger.
const NAMES: &str = "FRCOPY_RESOURCE_NAMES";
/// Prints them. It sends nothing and runs no `key-command`.
const PRINT_NAMES: &str = "frcopy resources -q 2>/dev/null";
/// The commands that take a resource as an argument: fish completes the values of options only.
const FISH_ARGUMENTS: &str = "\
complete -c frcopy -n '__fish_seen_subcommand_from list prune' -f -a 'source target'
complete -c frcopy -n '__fish_seen_subcommand_from list prune doctor' -f -a '(frcopy resources -q 2>/dev/null)'
";

pub(super) fn completions(args: &CompletionsArgs, cli: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut with_names(cli), "frcopy", &mut script);
    json::print_document(looking_up_names(args.shell, &String::from_utf8_lossy(&script)).as_bytes());
    ExitCode::SUCCESS
}

/// Gives the arguments that choose a resource their values.
fn with_names(cli: Command) -> Command {
    cli.mut_subcommands(|command| {
        command.mut_args(|argument| match argument.get_id().as_str() {
            "from" | "to" => argument.value_parser([NAMES]),
            "resource" => argument.value_parser(["source", "target", NAMES]),
            _ => argument,
        })
    })
}

/// Replaces [`NAMES`] by the command that prints them, as far as the shell completes values.
fn looking_up_names(shell: Shell, script: &str) -> String {
    match shell {
        // Values are words of a string or of a list, in which commands are substituted.
        Shell::Bash | Shell::Zsh => script.replace(NAMES, &format!("$({PRINT_NAMES})")),
        // A value is followed by its description.
        Shell::Fish => script.replace(&format!("{NAMES}\\t''"), &format!("({PRINT_NAMES})")) + FISH_ARGUMENTS,
        _ => script.to_owned(),
    }
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
    let heading = if page.get_name() == "frcopy" { ".SH TOPICS" } else { ".SH EXAMPLES" };
    let page = clap_mangen::Man::new(page).source(concat!("frcopy ", env!("CARGO_PKG_VERSION")));
    page.render(&mut roff)?;
    // Without hyphenation and justification: both would break up names of options and variables.
    let roff = String::from_utf8_lossy(&roff).replacen(".SH NAME", ".nh\n.ad l\n.SH NAME", 1);
    let roff = roff.replacen(".SH EXTRA", heading, 1).replacen("<\\fIsubcommands\\fR>", "<\\fICOMMAND\\fR>", 1);
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
