//! `frcopy explain`: the meaning and the remedy of a code of the service, or of an exit code.

use std::process::ExitCode;

use crate::api::service_error::{ExplainedCode, explained_codes};
use crate::error::Error;
use clap::Args;

use super::exit_code::Code;
use super::help::wrap;
use super::input::without_keys;
use super::{json, runner};

/// Explains a code of the service, such as 2024, or an exit code.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  frcopy explain 2024\n  frcopy explain ModelExists\n  frcopy explain 8")]
pub(super) struct ExplainArgs {
    /// The code of the service, or the exit code; upper and lower case are the same
    #[arg(value_name = "CODE")]
    code: String,
}

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let code = args.code.trim();
    let text = explained_codes()
        .find(|known| known.code.eq_ignore_ascii_case(code))
        .map(|known| service_code(&known))
        .or_else(|| Code::ALL.into_iter().find(|known| known.number().to_string() == code).map(exit_code));
    match text {
        Some(text) => {
            json::print_document(text.as_bytes());
            Code::Success.into()
        }
        None => runner::refuse(&unknown(code)),
    }
}

fn service_code(ExplainedCode { code, kind, remedy }: &ExplainedCode) -> String {
    let exit = Code::from(*kind);
    let mut text = format!("{code} is a code of the service.\n\n");
    text += &wrap("meaning: ", exit.meaning());
    text += &wrap("help: ", remedy);
    if remedy.to_lowercase().contains("<side>") {
        text += &wrap("", "<side> is source or target: the resource that sent the code.");
    }
    // A code in a refused request and the same code in a failed operation may end with different exit codes.
    let exit_codes = if exit == Code::Verdict {
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
    let service_codes: Vec<_> = explained_codes().map(|known| known.code).collect();
    Error::settings(
        format!("{:?} is not a known code", without_keys(code)),
        format!(
            "give one of the exit codes {exit_codes}, or one of the service's codes {}; the service's message explains \
             other codes",
            service_codes.join(", ")
        ),
    )
}
