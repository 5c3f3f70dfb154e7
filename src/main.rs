//! frcopy: parse, run, report, exit.

mod cli;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    cli::run(&arguments.command).unwrap_or_else(|error| {
        // One line: returning the error from main would print its Debug form, with a backtrace.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}
