//! Child processes, which are the Azure CLIs and programs that print keys: what they inherit, and how they end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The variables that a configuration file names as those of keys.
static KEY_VARIABLES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on, no child inherits these variables.
pub(crate) fn withhold(names: impl IntoIterator<Item = String>) {
    KEY_VARIABLES.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
}

/// Prepares a child for [`KillOnDrop`]: it leads a process group, and inherits no settings of frcopy.
pub(crate) fn prepare(command: &mut Command) {
    for name in own_variables() {
        command.env_remove(name);
    }
    for name in &*KEY_VARIABLES.lock().unwrap_or_else(PoisonError::into_inner) {
        command.env_remove(name);
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// The settings of frcopy, some of which are keys and tokens. A child needs none of them.
fn own_variables() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().to_ascii_uppercase().starts_with("FRCOPY_"))
}

/// Kills a child and its children when it is dropped, unless the child has ended. The child must lead a process group.
#[derive(Debug)]
pub(crate) struct KillOnDrop(Option<u32>);

impl KillOnDrop {
    /// Takes the process id of a child that runs.
    pub(crate) fn new(process: Option<u32>) -> Self {
        Self(process)
    }

    /// The child has ended: its process id may belong to another process by now.
    pub(crate) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Some(process) = self.0 else { return };
        let mut kill = if cfg!(windows) { Command::new("taskkill") } else { Command::new("kill") };
        if cfg!(windows) {
            kill.args(["/F", "/T", "/PID", &process.to_string()]);
        } else {
            kill.args(["-KILL", "--", &format!("-{process}")]);
        }
        // If it cannot be killed, it ends by itself or stays: this process ends in either case.
        let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
