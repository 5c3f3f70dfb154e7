//! A command that is stopped in the middle, by whoever listens to what the resources are asked.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::emulated_pair::EmulatedPair;

/// The command that is to be stopped, while it runs.
#[derive(Clone, Default)]
pub(crate) struct ChildProcess(Arc<Mutex<Option<Child>>>);

impl ChildProcess {
    /// Does something to the command, if it runs.
    pub(crate) fn with(&self, act: impl FnOnce(&mut Child)) {
        if let Some(child) = self.0.lock().unwrap().as_mut() {
            act(child);
        }
    }

    /// Runs a command until it ends or is stopped. Returns its exit code, if it has one, and what it has said.
    pub(crate) fn run(&self, pair: &EmulatedPair, arguments: &[&str]) -> (Option<i32>, String) {
        let mut stderr = {
            // Whoever listens waits until the command is known.
            let mut child_process = self.0.lock().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
            command.env_clear().envs(pair.environment()).args(arguments);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let stderr = child.stderr.take().unwrap();
            *child_process = Some(child);
            stderr
        };
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        let mut child = self.0.lock().unwrap().take().unwrap();
        (child.wait().unwrap().code(), said)
    }
}

/// What Ctrl-C does.
pub(crate) fn interrupt(child: &mut Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}
