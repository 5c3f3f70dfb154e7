//! What the tests share: constants, builders, the test doubles, and the binary under test.
//!
//! The test doubles:
//! - [`ScriptedService`]: source and target as HTTP servers that answer each step of a copy from a script;
//! - `EmulatedPair`: source and target as emulated resources inside the test process;
//! - `RawServer`: one answer per connection, over plain HTTP or TLS, written as bytes;
//! - `UnusedHost`: a host that must not be contacted.

mod api_version;
#[cfg(all(unix, feature = "emulator"))]
pub(crate) mod child_process;
#[cfg(feature = "emulator")]
pub(crate) mod emulated_pair;
mod scripted_service;

use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

pub(crate) use api_version::{V2_1, V3_0, V3_1, V4_0, VERSIONS, Version, on_every_version};
pub(crate) use scripted_service::{ScriptedService, Step, error_reply, reply};

pub(crate) const SOURCE_KEY: &str = "5ourcek3y0123456789abcdef0123456";
pub(crate) const TARGET_KEY: &str = "7argetk3y0123456789abcdef0123456";
pub(crate) const ACCESS_TOKEN: &str = "acce5570-7cd2-4f4e-9b99-0a1aeafab5a5";
pub(crate) const MODEL: &str = "eccc3f13-8289-4020-ba16-9f1d1374e96f";
pub(crate) const COPY_OF_V2_1: &str = "33f4d42c-cd2f-4e74-b990-a1aeafab5a5d";
pub(crate) const RESOURCE_ID: &str =
    "/subscriptions/1111/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/target";

/// The binary with an environment of its own: nothing of the developer's machine reaches it.
pub(crate) fn frcopy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
    command.env_clear().timeout(Duration::from_secs(60));
    // Windows opens no socket without it.
    if let Some(root) = std::env::var_os("SYSTEMROOT") {
        command.env("SYSTEMROOT", root);
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandOutput {
    /// The one line of `--output json`.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is missing in {self:#?}");
        }
        self
    }
}

/// Runs a command to its end, which must not print these secrets either.
#[cfg(feature = "emulator")]
pub(crate) fn run_without(secrets: &[&str], command: &mut Command) -> CommandOutput {
    let ending = run(command);
    for secret in secrets {
        assert!(!ending.stdout.contains(secret) && !ending.stderr.contains(secret), "leaked {secret}: {ending:#?}");
    }
    ending
}

/// Runs a command to its end. Whatever the test is about, no secret may have been printed.
pub(crate) fn run(command: &mut Command) -> CommandOutput {
    let output = command.output().unwrap();
    let ending = CommandOutput {
        code: output.status.code().expect("the command hangs, or was killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    for secret in [SOURCE_KEY, TARGET_KEY, ACCESS_TOKEN] {
        assert!(!ending.stdout.contains(secret) && !ending.stderr.contains(secret), "leaked {secret}: {ending:#?}");
    }
    ending
}
