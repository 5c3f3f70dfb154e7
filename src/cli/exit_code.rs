//! The exit codes: their numbers, their meanings, and the one match from error kinds to codes.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

use super::signals::Signal;

/// An exit code. Scripts rely on the numbers, so a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Success = 0,
    Unforeseen = 1,
    Settings = 2,
    Verdict = 3,
    Credentials = 4,
    NotFound = 5,
    Exists = 6,
    Unavailable = 7,
    UnderWay = 8,
    Differs = 9,
    Interrupted = Signal::Interrupt as u8,
    Terminated = Signal::Terminate as u8,
}

impl Code {
    fn number(self) -> u8 {
        self as u8
    }
}

/// With several models, the exit code is the first of these that one of the models ended with.
const PRECEDENCE: [Code; 8] = [
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
            // `from_errors` handles signals before it asks for this.
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

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// The exit code for the errors of a command: one for each model that failed.
pub(super) fn from_errors<'e>(errors: impl IntoIterator<Item = &'e Error>, signal: Option<Signal>) -> ExitCode {
    let kinds: Vec<_> = errors.into_iter().map(Error::kind).collect();
    if kinds.contains(&ErrorKind::Interrupted) {
        return from_signal(signal);
    }
    let occurs = |code: &Code| kinds.iter().any(|kind| Code::from(*kind) == *code);
    PRECEDENCE.into_iter().find(occurs).unwrap_or(Code::Success).into()
}

/// The exit code of a command that a signal ended.
pub(super) fn from_signal(signal: Option<Signal>) -> ExitCode {
    match signal.unwrap_or(Signal::Interrupt) {
        Signal::Interrupt => Code::Interrupted.into(),
        Signal::Terminate => Code::Terminated.into(),
    }
}
