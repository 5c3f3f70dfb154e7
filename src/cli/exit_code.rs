//! The documented exit codes, from one exhaustive match.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

use super::signals::Signal;

/// What a script may rely on. The numbers are a promise; see the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Unforeseen = 1,
    Settings = 2,
    Verdict = 3,
    Credentials = 4,
    NotFound = 5,
    Exists = 6,
    Unavailable = 7,
    UnderWay = 8,
    Differs = 9,
}

/// With several models, the code of the first of these that one of them ended with.
const ORDER: [Code; 8] = [
    Code::Credentials,
    Code::Settings,
    Code::Verdict,
    Code::NotFound,
    Code::Exists,
    Code::Unavailable,
    Code::UnderWay,
    Code::Unforeseen,
];

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            // The signal that interrupted has a code of its own, which is known where signals are.
            ErrorKind::Unforeseen | ErrorKind::Interrupted => Self::Unforeseen,
            ErrorKind::Settings => Self::Settings,
            ErrorKind::Refused | ErrorKind::Failed | ErrorKind::Canceled | ErrorKind::Skipped => Self::Verdict,
            ErrorKind::Credentials => Self::Credentials,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Exists => Self::Exists,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::UnderWay => Self::UnderWay,
        }
    }
}

/// The exit code of a command: what it ended with, one error for each model that did not end well.
pub(crate) fn of<'e>(errors: impl IntoIterator<Item = &'e Error>, signal: Option<Signal>) -> ExitCode {
    let kinds: Vec<_> = errors.into_iter().map(Error::kind).collect();
    if kinds.contains(&ErrorKind::Interrupted) {
        return of_signal(signal);
    }
    let met = |code: &&Code| kinds.iter().any(|kind| Code::from(*kind) == **code);
    ORDER.iter().find(met).map_or(ExitCode::SUCCESS, |code| ExitCode::from(*code as u8))
}

/// The exit code of a command that a signal ended.
pub(crate) fn of_signal(signal: Option<Signal>) -> ExitCode {
    ExitCode::from(signal.unwrap_or(Signal::Interrupt) as u8)
}

/// The exit code of a check that has found differences.
pub(crate) fn of_differences() -> ExitCode {
    ExitCode::from(Code::Differs as u8)
}
