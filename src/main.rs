//! The frcopy command: everything is in the library's [`frcopy::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    frcopy::cli::main()
}
