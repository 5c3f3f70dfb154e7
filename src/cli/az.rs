//! What the Azure CLI knows of a resource, for people who know its name and not its endpoint.

use std::process::{Command, Stdio};

use crate::error::{Error, ErrorKind};
use crate::resource::Side;
use crate::text::sanitize;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// On Windows it is a batch file, which is found under its whole name only.
const AZ: &str = if cfg!(windows) { "az.cmd" } else { "az" };

/// A resource by the name that it has in Azure.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) side: Side,
    pub(super) name: String,
    pub(super) resource_group: String,
    /// The Azure CLI's own where there is none.
    pub(super) subscription: Option<String>,
}

/// What `az cognitiveservices account show` says of it, as far as a copy needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Details {
    /// Its id in Azure Resource Manager.
    pub(super) id: String,
    /// Its region, spelt as when it was made.
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
    /// Asks for endpoint, resource id and region.
    pub(super) fn details(&self) -> Result<Details, Error> {
        self.ask(&["show"])
    }

    /// Asks for one of the two keys.
    pub(super) fn key(&self) -> Result<SecretString, Error> {
        let Keys { key1 } = self.ask(&["keys", "list"])?;
        Ok(key1)
    }

    fn ask<T: DeserializeOwned>(&self, what: &[&str]) -> Result<T, Error> {
        let Self { side, name, resource_group, subscription } = self;
        let mut az = Command::new(AZ);
        az.args(["cognitiveservices", "account"]).args(what).args(["--name", name, "--resource-group", resource_group]);
        az.args(subscription.iter().flat_map(|id| ["--subscription", id])).args(["--output", "json"]);
        let output = az.stdin(Stdio::null()).output().map_err(|error| {
            Error::settings(
                format!("the Azure CLI, which was to be asked for the {side}, cannot be run"),
                format!(
                    "install it, or give --{side}-endpoint and what else is needed in the place of --{side}-account"
                ),
            )
            .with_source(error)
        })?;
        if !output.status.success() {
            let words = sanitize(&String::from_utf8_lossy(&output.stderr));
            return Err(Error::new(
                ErrorKind::Credentials,
                format!("the Azure CLI does not say what the {side} {} is", sanitize(name)),
            )
            .with_source(words)
            .with_remedy(format!(
                "sign in with `az login`, and check --{side}-account, --{side}-resource-group and --{side}-subscription"
            )));
        }
        // What it says may hold a key, so it is not repeated.
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Unforeseen, "the Azure CLI says something of another form than expected")
                .with_source(place)
                .with_remedy(format!("update it, or give --{side}-endpoint and what else is needed"))
        })
    }
}
