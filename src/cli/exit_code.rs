//! The documented exit codes, from one exhaustive match.

use std::process::ExitCode;

use frcopy::error::{Error, ErrorKind};

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
}

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

/// The exit code of an ending.
pub(crate) fn of(result: &Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(Code::from(error.kind()) as u8),
    }
}
