//! `frcopy explain`: the meaning and the remedy of a code of the service, or of an exit code.

use std::process::ExitCode;

use crate::api::catalogue::{Explanation, explanations};
use crate::error::Error;
use clap::Args;

use super::exit_code::Code;
use super::help::wrap;
use super::input::without_keys;
use super::{json, runner};

/// Explains a code of the service, such as 2024, or an exit code.
///
/// The service's message can be given as well: a few failures have no code of their own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    /// The code or the message of the service, or the exit code; upper and lower case are the same
    #[arg(value_name = "CODE", required = true, num_args = 1..)]
    code: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  frcopy explain 2024
  frcopy explain ModelExists
  frcopy explain 8
  frcopy explain Out of call volume quota";

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let code = args.code.join(" ");
    let code = code.trim();
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
    if remedy.to_lowercase().contains("<side>") {
        text += &wrap("", "<side> is source or target: the resource that sent it.");
    }
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
    let exit_codes = Code::ALL.map(|code| code.number().to_string()).join(", ");
    let service_codes: Vec<_> = explanations().filter(|known| !known.is_message).map(|known| known.text).collect();
    Error::settings(
        format!("{:?} is not a known code", without_keys(code)),
        format!(
            "give one of the exit codes {exit_codes}, or one of the service's codes {}; the service's message explains \
             other codes",
            service_codes.join(", ")
        ),
    )
}
