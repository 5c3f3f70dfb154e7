//! Runs another program, with limits on its time and its output.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{self, KillOnDrop};

/// The longest output that is read. The output for an account has a few KiB.
const MAX_OUTPUT: u64 = 1024 * 1024;
/// Delay between two looks whether the process has ended after it closed its output.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// Runs a program without the settings of frcopy, and kills it if it does not end in time.
pub(super) fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let until = Instant::now() + limit;
    child::prepare(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let guard = KillOnDrop::new(Some(child.id()));
    let stdout = child.stdout.take().map(read_in_thread);
    let stderr = child.stderr.take().map(read_in_thread);
    let received = |output: Option<mpsc::Receiver<Vec<u8>>>| match output {
        Some(output) => output.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(|_| timed_out()),
        None => Ok(Vec::new()),
    };
    let (stdout, stderr) = (received(stdout)?, received(stderr)?);
    loop {
        if let Some(status) = child.try_wait()? {
            guard.ended();
            return Ok(Output { status, stdout, stderr });
        }
        if Instant::now() >= until {
            return Err(timed_out());
        }
        thread::sleep(END_INTERVAL);
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Reads an output to its end. The thread ends with the program or with this process.
fn read_in_thread(output: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown or fails to parse; after a time-out there is no receiver.
        let _ = output.take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}
