//! The binary as a child process: tests read its stderr while it runs, and send it signals.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
#[cfg(feature = "emulator")]
use std::sync::{Arc, Mutex};

use super::std_command;

/// How a child process ended. The exit code is absent if a signal killed it.
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct ChildProcess {
    child: Child,
    stderr: BufReader<ChildStderr>,
    read: String,
}

impl ChildProcess {
    pub(crate) fn spawn(command: &assert_cmd::Command) -> Self {
        let mut child = std_command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, read: String::new() }
    }

    /// Reads stderr until it contains a text.
    pub(crate) fn read_until(&mut self, text: &str) {
        while !self.read.contains(text) {
            assert!(self.stderr.read_line(&mut self.read).unwrap() > 0, "{text:?} is missing in {}", self.read);
        }
    }

    /// Sends a signal, such as `-INT`.
    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Waits for the end of the process.
    pub(crate) fn finish(mut self) -> Exit {
        self.read_to_end();
        self.wait()
    }

    fn read_to_end(&mut self) {
        self.stderr.read_to_string(&mut self.read).unwrap();
    }

    fn wait(mut self) -> Exit {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        Exit { code: self.child.wait().unwrap().code(), stdout, stderr: self.read }
    }
}

#[cfg(feature = "emulator")]
/// Runs a command and lets another thread, such as an observer of requests, send it signals meanwhile.
#[derive(Clone, Default)]
pub(crate) struct SignalTarget(Arc<Mutex<Option<u32>>>);

#[cfg(feature = "emulator")]
impl SignalTarget {
    /// Sends a signal if the command runs and the condition is true. The condition is evaluated only if it runs.
    pub(crate) fn signal_if(&self, signal: &str, condition: impl FnOnce() -> bool) {
        let process = self.0.lock().unwrap();
        if let Some(id) = *process
            && condition()
        {
            send_signal(id, signal);
        }
    }

    pub(crate) fn run(&self, command: &assert_cmd::Command) -> Exit {
        let mut process = {
            // Locked until the id is known, so that no signal is lost.
            let mut id = self.0.lock().unwrap();
            let process = ChildProcess::spawn(command);
            *id = Some(process.child.id());
            process
        };
        process.read_to_end();
        *self.0.lock().unwrap() = None;
        process.wait()
    }
}

fn send_signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}
