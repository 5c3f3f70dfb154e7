//! The errors of a command line that clap refuses, in the form of all other errors.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::error::Error;

use super::input::without_keys;
use super::nearest::nearest;
use crate::text::clean_line;

/// The error in frcopy's own form, if clap's text is not clear enough. `arguments` are those of the command line.
pub(super) fn of_clap(error: &clap::Error, cli: &Command, arguments: &[String]) -> Option<Error> {
    let command = arguments.iter().find(|word| cli.find_subcommand(word).is_some());
    let help = command.map_or_else(|| "frcopy --help".to_owned(), |command| format!("frcopy {command} --help"));
    match error.kind() {
        ErrorKind::InvalidSubcommand => Some(no_command(&text(error, ContextKind::InvalidSubcommand)?, cli)),
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<_> = texts(error, ContextKind::InvalidArg)?.iter().map(|one| alternatives(one)).collect();
            let what = format!("the command line lacks {}", missing.join(", and "));
            Some(Error::settings(what, format!("{help} shows the arguments, with examples")))
        }
        ErrorKind::UnknownArgument => {
            let option = text(error, ContextKind::InvalidArg).filter(|option| option.starts_with("--"))?;
            let subcommand = command.and_then(|command| cli.find_subcommand(command));
            let hint = hint_for_option(&option, subcommand).map(|hint| format!("{hint} ")).unwrap_or_default();
            let option = without_keys(&option);
            let what = match command {
                Some(command) => format!("{command} has no option {option}"),
                None => format!("there is no option {option}"),
            };
            Some(Error::settings(what, format!("{hint}{help} shows all options")))
        }
        ErrorKind::ArgumentConflict => {
            let names = names_after_to(arguments)?;
            let repeated: Vec<_> = names.iter().map(|name| format!("--to {name}")).collect();
            Some(Error::settings(
                format!("--to takes one name, and {} follow it", names.len()),
                format!("repeat it: {}", without_keys(&repeated.join(" "))),
            ))
        }
        _ => None,
    }
}

/// The same error, with values of the command line that keep to their line.
pub(super) fn with_clean_values(mut error: clap::Error) -> clap::Error {
    let clean: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(clean_line(text)))),
            ContextValue::Strings(texts) => {
                Some((kind, ContextValue::Strings(texts.iter().map(|text| clean_line(text)).collect())))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in clean {
        error.insert(kind, value);
    }
    error
}

/// What is probably meant by an option that a command does not have.
fn hint_for_option(option: &str, command: Option<&Command>) -> Option<String> {
    match (option, command?.get_name()) {
        // A key must not be given where a name is meant, which is what a similar option would lead to.
        ("--source", _) => return Some("choose a named resource with --from NAME;".to_owned()),
        ("--target", _) => return Some("choose a named resource with --to NAME;".to_owned()),
        ("--target-model-id", "authorize") => return Some("give the id of the copy without an option;".to_owned()),
        _ => {}
    }
    let options: Vec<_> = command?.get_arguments().filter_map(Arg::get_long).collect();
    let near = nearest(option.trim_start_matches('-'), &options)?;
    Some(format!("did you mean --{near}?"))
}

/// The error of a command that does not exist.
pub(super) fn no_command(name: &str, cli: &Command) -> Error {
    let known: Vec<_> = cli.get_subcommands().map(Command::get_name).collect();
    let remedy = match nearest(name, &known) {
        Some(near) => format!("did you mean frcopy {near}? The commands are {}", known.join(", ")),
        None => format!("choose one of {}", known.join(", ")),
    };
    Error::settings(format!("there is no command {:?}", without_keys(name)), remedy)
}

/// The words after a `--to`, if they are several.
fn names_after_to(arguments: &[String]) -> Option<Vec<&String>> {
    let at = arguments.iter().position(|argument| argument == "--to")?;
    let names: Vec<_> = arguments.iter().skip(at + 1).take_while(|word| !word.starts_with('-')).collect();
    (names.len() > 1).then_some(names)
}

/// An argument that is missing, as clap writes it: `<A>`, or `<A|B>` where one of several is needed.
fn alternatives(argument: &str) -> String {
    let group = argument.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).filter(|rest| rest.contains('|'));
    group.map_or_else(|| argument.to_owned(), |group| group.replace('|', " or "))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn texts(error: &clap::Error, kind: ContextKind) -> Option<Vec<String>> {
    match error.get(kind)? {
        ContextValue::Strings(texts) => Some(texts.clone()),
        ContextValue::String(text) => Some(vec![text.clone()]),
        _ => None,
    }
}
