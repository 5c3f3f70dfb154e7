//! Runs another program, with limits on its time and its output.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{self, KillOnDrop};

/// The longest output that is read. The output for an account or a token has a few KiB.
const MAX_OUTPUT: u64 = 1024 * 1024;
/// Delay between two looks at the program.
const INTERVAL: Duration = Duration::from_millis(10);

/// Runs a program without the settings of frcopy, and kills it if it does not end in time.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let until = Instant::now() + limit;
    let mut program = Program::start(command)?;
    loop {
        if let Some(output) = program.output(until)? {
            return Ok(output);
        }
        thread::sleep(INTERVAL);
    }
}

/// As [`output_within`], and the program is killed as well if the future is dropped.
pub(crate) async fn output_soon(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let until = Instant::now() + limit;
    let mut program = Program::start(command)?;
    loop {
        if let Some(output) = program.output(until)? {
            return Ok(output);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A program that runs. It is killed when the value is dropped, unless it has ended.
struct Program {
    child: Child,
    guard: Option<KillOnDrop>,
    stdout: Reading,
    stderr: Reading,
}

/// An output that is being read.
enum Reading {
    Open(Receiver<Vec<u8>>),
    Complete(Vec<u8>),
}

impl Program {
    fn start(command: &mut Command) -> io::Result<Self> {
        child::prepare(command);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let guard = Some(KillOnDrop::new(Some(child.id())));
        let (stdout, stderr) = (Reading::of(child.stdout.take()), Reading::of(child.stderr.take()));
        Ok(Self { child, guard, stdout, stderr })
    }

    /// Its output, once it has ended and closed it. None before.
    fn output(&mut self, until: Instant) -> io::Result<Option<Output>> {
        let is_read = self.stdout.is_complete() & self.stderr.is_complete();
        let ended = if is_read { self.child.try_wait()? } else { None };
        match ended {
            Some(status) => Ok(Some(self.end(status))),
            None if Instant::now() >= until => Err(io::ErrorKind::TimedOut.into()),
            None => Ok(None),
        }
    }

    fn end(&mut self, status: ExitStatus) -> Output {
        if let Some(guard) = self.guard.take() {
            guard.ended();
        }
        Output { status, stdout: self.stdout.take(), stderr: self.stderr.take() }
    }
}

impl Reading {
    /// Reads an output to its end in a thread, which ends with the program or with this process.
    fn of(output: Option<impl Read + Send + 'static>) -> Self {
        let Some(output) = output else { return Self::Complete(Vec::new()) };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is shown or fails to parse; after a time-out there is no receiver.
            let _ = output.take(MAX_OUTPUT).read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        });
        Self::Open(receiver)
    }

    fn is_complete(&mut self) -> bool {
        if let Self::Open(receiver) = self {
            match receiver.try_recv() {
                Ok(bytes) => *self = Self::Complete(bytes),
                Err(TryRecvError::Disconnected) => *self = Self::Complete(Vec::new()),
                Err(TryRecvError::Empty) => {}
            }
        }
        matches!(self, Self::Complete(_))
    }

    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Complete(bytes) => std::mem::take(bytes),
            Self::Open(_) => Vec::new(),
        }
    }
}
