//! What the tests share: constants, builders, the test doubles, and the binary under test.
//!
//! The test doubles:
//! - [`ScriptedService`]: source and target as HTTP servers that answer each step of a copy from a script;
//! - `EmulatedPair`: source and target as emulated resources inside the test process;
//! - `RecordedPair`: such resources with names, and a manifest;
//! - [`raw_server`]: one answer per connection, written as bytes, over plain HTTP or TLS;
//! - [`UnusedHost`]: a host that must not be contacted.
//!
//! Other doubles belong to one file: `EmulatorProcess` (`emulator.rs`), `ReplayServer` (`replay.rs`), `FaultyProxy`
//! (`connection_faults.rs`), `TunnelProxy` (`proxy.rs`), `TokenServer` (`entra.rs`) and `FakeAzureCli` (`az.rs`).

mod answers;
mod api_version;
#[cfg(unix)]
pub(crate) mod child_process;
#[cfg(feature = "emulator")]
pub(crate) mod emulated_pair;
pub(crate) mod raw_server;
#[cfg(feature = "emulator")]
pub(crate) mod recorded_pair;
mod scripted_service;
mod unused_host;

use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

pub(crate) use answers::{Authorization, Model, Operation, error_reply, reply};
pub(crate) use api_version::{DOCUMENT_VERSIONS, V2_1, V3_0, V3_1, V4_0, VERSIONS, Version, on_each, on_every_version};
#[cfg(feature = "emulator")]
pub(crate) use scripted_service::mock_server;
pub(crate) use scripted_service::{ScriptedService, Seen, Step};
pub(crate) use unused_host::UnusedHost;

pub(crate) const SOURCE_KEY: &str = "5ourcek3y0123456789abcdef0123456";
pub(crate) const TARGET_KEY: &str = "7argetk3y0123456789abcdef0123456";
pub(crate) const ACCESS_TOKEN: &str = "acce5570-7cd2-4f4e-9b99-0a1aeafab5a5";
pub(crate) const MODEL: &str = "eccc3f13-8289-4020-ba16-9f1d1374e96f";
pub(crate) const COPY_OF_V2_1: &str = "33f4d42c-cd2f-4e74-b990-a1aeafab5a5d";
pub(crate) const RESOURCE_ID: &str =
    "/subscriptions/1111/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/target";

/// The binary with an empty environment, so that the settings of the machine have no effect.
pub(crate) fn frcopy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
    command.env_clear().timeout(Duration::from_secs(60));
    // Windows needs it to open a socket.
    if let Some(root) = std::env::var_os("SYSTEMROOT") {
        command.env("SYSTEMROOT", root);
    }
    command
}

/// The binary with the endpoints and keys of both resources.
pub(crate) fn frcopy_between(source: &str, target: &str) -> Command {
    let mut command = frcopy();
    command
        .envs([("FRCOPY_SOURCE_ENDPOINT", source), ("FRCOPY_TARGET_ENDPOINT", target)])
        .envs([("FRCOPY_SOURCE_KEY", SOURCE_KEY), ("FRCOPY_TARGET_KEY", TARGET_KEY)]);
    command
}

/// The same command for `std::process`, whose pipes a test can choose.
pub(crate) fn std_command(command: &Command) -> std::process::Command {
    let mut result = std::process::Command::new(command.get_program());
    result.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        result.env(name, value.unwrap());
    }
    result
}

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandOutput {
    /// Runs a command without any check of its output.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().expect("an exit code: the command did not end in time, or a signal killed it"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The only line of stdout, as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Asserts the exit code, and that stderr contains these texts.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is missing in {self:#?}");
        }
        self
    }

    fn assert_contains_none_of(&self, secrets: &[&str]) {
        for secret in secrets {
            assert!(!self.stdout.contains(secret) && !self.stderr.contains(secret), "leaked {secret}: {self:#?}");
        }
    }
}

/// Runs a command and checks that it prints no secret.
pub(crate) fn run(command: &mut Command) -> CommandOutput {
    let output = CommandOutput::of(command);
    output.assert_contains_none_of(&[SOURCE_KEY, TARGET_KEY, ACCESS_TOKEN]);
    output
}

/// Runs a command and checks that it prints none of these secrets either.
#[cfg(feature = "emulator")]
pub(crate) fn run_without(secrets: &[&str], command: &mut Command) -> CommandOutput {
    let output = run(command);
    output.assert_contains_none_of(secrets);
    output
}
