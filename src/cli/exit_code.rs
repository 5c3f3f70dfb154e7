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
    /// Every code, in the order of the numbers.
    pub(super) const ALL: [Self; 12] = [
        Self::Success,
        Self::Unforeseen,
        Self::Settings,
        Self::Verdict,
        Self::Credentials,
        Self::NotFound,
        Self::Exists,
        Self::Unavailable,
        Self::UnderWay,
        Self::Differs,
        Self::Interrupted,
        Self::Terminated,
    ];

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    /// What the code means.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Success => "every copy exists and is ready; check: source and target are the same",
            Self::Unforeseen => "a fault of frcopy itself, or an answer that it cannot read",
            Self::Settings => {
                "the usage or the settings are wrong; of several copies, those that need no other settings were made"
            }
            Self::Verdict => "the service refused, failed, canceled or skipped a copy",
            Self::Credentials => "the credentials were rejected (401, 403)",
            Self::NotFound => "no such model, operation, resource or API version; nothing is selected",
            Self::Exists => "the target model id exists or is reserved",
            Self::Unavailable => "unreachable, rate limited or out of quota; no copy is running",
            Self::UnderWay => "no verdict: running at the deadline, or the answer to a start was lost",
            Self::Differs => {
                "check: source and target differ, a model expires or has expired, or a copy was verified too long ago"
            }
            Self::Interrupted => "interrupted by SIGINT (Ctrl-C); a copy may still be running",
            Self::Terminated => "terminated by SIGTERM; a copy may still be running",
        }
    }

    /// What a script should do.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Success => "continue",
            Self::Unforeseen => "report it",
            Self::Settings => "correct the command line, the environment or the files that it names",
            Self::Verdict => "read the error and its help",
            Self::Credentials => "correct the key, the token, the role or the network rules",
            Self::NotFound => "correct the id, the endpoint or the version",
            Self::Exists => "choose another id, or use --if-exists",
            Self::Unavailable => "try again later",
            Self::UnderWay | Self::Interrupted | Self::Terminated => {
                "run the command that was printed, which resumes it"
            }
            Self::Differs => "copy what is missing, and train again what expires or has expired",
        }
    }
}

/// With several models, the exit code is the first of these that one of the models ended with.
pub(super) const PRECEDENCE: [Code; 8] = [
    Code::Credentials,
    Code::Settings,
    Code::Verdict,
    Code::NotFound,
    Code::Exists,
    // A script must not start again what is running.
    Code::UnderWay,
    Code::Unavailable,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_copy_comes_before_one_that_can_be_started_again() {
        let code = |kinds: &[ErrorKind]| {
            let errors: Vec<_> = kinds.iter().map(|kind| Error::new(*kind, "x")).collect();
            format!("{:?}", from_errors(&errors, None))
        };
        let number = |code: Code| format!("{:?}", ExitCode::from(code));
        let order = [
            (ErrorKind::Credentials, Code::Credentials),
            (ErrorKind::Settings, Code::Settings),
            (ErrorKind::Failed, Code::Verdict),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::Exists, Code::Exists),
            (ErrorKind::UnderWay, Code::UnderWay),
            (ErrorKind::Unavailable, Code::Unavailable),
            (ErrorKind::Unforeseen, Code::Unforeseen),
        ];
        for (at, (first, expected)) in order.iter().enumerate() {
            for (other, _) in &order[at..] {
                assert_eq!(code(&[*other, *first]), number(*expected), "{other:?} and {first:?}");
            }
        }
    }
}
