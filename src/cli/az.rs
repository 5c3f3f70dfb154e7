//! Asks the Azure CLI for the endpoint, address and key of a resource that is given by name.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::deadline;
use crate::child::{self, KillOnDrop};
use crate::error::{Error, ErrorKind};
use crate::resource::Side;
use crate::text::sanitize;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// On Windows the Azure CLI is a batch file, which must be called by its full name.
const AZ: &str = if cfg!(windows) { "az.cmd" } else { "az" };

/// The longest time for one call.
const MAX_TIME: Duration = Duration::from_secs(60);
/// The longest output that is read. The output for an account has a few KiB.
const MAX_OUTPUT: u64 = 1024 * 1024;
/// Delay between two looks whether the process has ended after it closed its output.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// The name of a resource in Azure.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) side: Side,
    pub(super) name: String,
    pub(super) resource_group: String,
    /// The Azure CLI's default subscription if absent.
    pub(super) subscription: Option<String>,
}

/// The part of the output of `az cognitiveservices account show` that a copy needs.
#[derive(Debug, Deserialize)]
pub(super) struct Details {
    /// The id in Azure Resource Manager.
    pub(super) id: String,
    /// The region, as it was spelt when the resource was created.
    pub(super) location: String,
    pub(super) properties: Properties,
}

#[derive(Debug, Deserialize)]
pub(super) struct Properties {
    pub(super) endpoint: String,
}

#[derive(Deserialize)]
struct Keys {
    key1: SecretString,
}

impl Account {
    /// Gets the endpoint, resource id and region.
    pub(super) fn details(&self) -> Result<Details, Error> {
        self.ask(&["show"])
    }

    /// Gets one of the two keys.
    pub(super) fn key(&self) -> Result<SecretString, Error> {
        let Keys { key1 } = self.ask(&["keys", "list"])?;
        Ok(key1)
    }

    fn ask<T: DeserializeOwned>(&self, what: &[&str]) -> Result<T, Error> {
        let Self { side, name, resource_group, subscription } = self;
        let mut az = Command::new(AZ);
        az.args(["cognitiveservices", "account"]).args(what).args(["--name", name, "--resource-group", resource_group]);
        az.args(subscription.iter().flat_map(|id| ["--subscription", id])).args(["--output", "json"]);
        let limit = deadline::left().min(MAX_TIME);
        let output = output_within(&mut az, limit).map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut {
                let what = format!("the Azure CLI did not answer in {} s for --{side}-account", limit.as_secs());
                return Error::new(ErrorKind::Unavailable, what).with_remedy(format!(
                    "check that `az account show` works, or give --{side}-endpoint and a credential instead of \
                     --{side}-account"
                ));
            }
            Error::settings(
                format!("the Azure CLI, which is needed for --{side}-account, cannot be run"),
                format!("install it, or give --{side}-endpoint and a credential instead of --{side}-account"),
            )
            .with_source(error)
        })?;
        if !output.status.success() {
            let words = sanitize(&String::from_utf8_lossy(&output.stderr));
            return Err(Error::new(
                ErrorKind::Credentials,
                format!("the Azure CLI did not find the {side} {}", sanitize(name)),
            )
            .with_source(words)
            .with_remedy(format!(
                "sign in with `az login`, and check --{side}-account, --{side}-resource-group and --{side}-subscription"
            )));
        }
        // The output may contain a key, so it is not repeated.
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Unforeseen, "the output of the Azure CLI has an unknown format")
                .with_source(place)
                .with_remedy(format!(
                    "update it, or give --{side}-endpoint and a credential instead of --{side}-account"
                ))
        })
    }
}

/// Runs a program without the settings of frcopy, and kills it if it does not end in time.
fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
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
