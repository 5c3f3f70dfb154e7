//! `frcopy explain`: the meaning and the remedy of a code of the service, or of an exit code.

use std::process::ExitCode;

use crate::api::catalogue::{Explanation, explanations};
use crate::error::Error;
use clap::Args;

use super::exit_code::Code;
use super::help::wrap;
use super::input::without_keys;
use super::nearest::nearest;
use super::{json, runner};

/// Explains a code of the service, such as 2024, or an exit code.
///
/// The service's message can be given as well: a few failures have no code of their own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    /// The code or the message of the service, or the exit code; upper and lower case are the same [default: list all
    /// of them]
    #[arg(value_name = "CODE")]
    code: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  frcopy explain
  frcopy explain 2024
  frcopy explain ModelExists
  frcopy explain 8
  frcopy explain Out of call volume quota";

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let code = args.code.join(" ");
    let code = code.trim();
    if code.is_empty() {
        json::print_document(list().as_bytes());
        return Code::Success.into();
    }
    let text = find(code)
        .map(|known| explain(&known))
        .or_else(|| Code::ALL.into_iter().find(|known| known.number().to_string() == code).map(exit_code));
    match text {
        Some(text) => {
            json::print_document(text.as_bytes());
            Code::Success.into()
        }
        None => runner::refuse(&unknown(code)),
    }
}

/// Every code with its meaning.
fn list() -> String {
    let mut text = "Exit codes of frcopy:\n\n".to_owned();
    for code in Code::ALL {
        text += &wrap(&format!("{:>5}  ", code.number()), code.meaning());
    }
    for (title, is_message) in [("Codes", false), ("Parts of messages", true)] {
        text = text + "\n" + title + " of the service:\n\n";
        for known in explanations().filter(|known| known.is_message == is_message) {
            text = text + "  " + known.text + "\n" + &wrap("      ", known.meaning);
        }
    }
    text + "\nfrcopy explain CODE also says what to do.\n"
}

/// Finds a code, or a message that the given text contains.
fn find(code: &str) -> Option<Explanation> {
    let text = code.to_ascii_lowercase();
    explanations().find(|known| match known.text.to_ascii_lowercase() {
        message if known.is_message => text.contains(&message),
        code => text == code,
    })
}

fn explain(Explanation { text: code, is_message, kind, meaning, remedy }: &Explanation) -> String {
    let exit = Code::from(*kind);
    let what = if *is_message { "is part of a message" } else { "is a code" };
    let mut text = format!("{code} {what} of the service.\n\n");
    text += &wrap("meaning: ", meaning);
    text += &wrap("help: ", remedy);
    // A code in a refused request and the same code in a failed operation may end with different exit codes.
    let exit_codes = if exit == Code::Verdict || *is_message {
        exit.number().to_string()
    } else {
        format!("{} for a refused request, {} for a failed copy", exit.number(), Code::Verdict.number())
    };
    text + &wrap("exit code: ", &exit_codes)
}

fn exit_code(code: Code) -> String {
    let title = format!("{} is an exit code of frcopy.\n\n", code.number());
    title + &wrap("meaning: ", code.meaning()) + &wrap("help: ", code.remedy())
}

fn unknown(code: &str) -> Error {
    let known: Vec<_> = explanations().filter(|known| !known.is_message).map(|known| known.text).collect();
    Error::settings(
        format!("{:?} is not a known code", without_keys(code)),
        match nearest(code, &known) {
            Some(near) => format!("did you mean {near}? frcopy explain lists all codes"),
            None => {
                "give one of the codes that frcopy explain lists; the service's message explains other codes".into()
            }
        },
    )
}
